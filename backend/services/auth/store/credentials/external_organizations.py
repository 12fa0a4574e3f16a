"""Tables of organizations of identity providers. The caller owns the transaction."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ForeignKey, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base


class ExternalOrganization(Base):
    """Link between a tenant and an organization of an identity provider.

    (issuer, organization) is unique and never reassigned.
    """

    __tablename__ = "external_organizations"

    issuer: Mapped[str] = mapped_column(String(512), primary_key=True)
    organization: Mapped[str] = mapped_column(String(255), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ExternalMembership(Base):
    """The role that the latest statement of the identity provider gives to a member.

    The row stays when the provider removes the member: an older token must not add it again.
    """

    __tablename__ = "external_memberships"

    issuer: Mapped[str] = mapped_column(String(512), primary_key=True)
    organization: Mapped[str] = mapped_column(String(255), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    # None for a removed member.
    role: Mapped[str | None] = mapped_column(String(64))
    # Time of the statement at the provider: of the token's issue, or of the webhook's event.
    claimed_at: Mapped[datetime] = mapped_column(UtcDateTime)


def find_organization(
    session: Session, issuer: str, organization: str
) -> ExternalOrganization | None:
    return session.get(ExternalOrganization, (issuer, organization))


def add_organization(session: Session, row: ExternalOrganization) -> None:
    session.add(row)
    session.flush()


def find_linked_tenants(
    session: Session, issuer: str, tenant_ids: Collection[str]
) -> frozenset[str]:
    """Return those of *tenant_ids* that are linked to organizations of *issuer*."""
    return frozenset(
        session.scalars(
            select(ExternalOrganization.tenant_id).where(
                ExternalOrganization.issuer == issuer,
                ExternalOrganization.tenant_id.in_(tenant_ids),
            )
        )
    )


def find_membership(
    session: Session, issuer: str, organization: str, subject: str
) -> ExternalMembership | None:
    return session.get(ExternalMembership, (issuer, organization, subject), populate_existing=True)


def save_membership(session: Session, row: ExternalMembership) -> None:
    """Insert *row*, or replace the row with the same key."""
    session.merge(row)
    session.flush()
