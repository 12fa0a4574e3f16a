"""Roles that were made here, beside the built-in ones. The caller owns the transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import JSON, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.auth.store.base import Base

# The tenant of a role that is there for all of them.
EVERYWHERE = ""


class CustomRole(Base):
    """A role of one tenant, or of all; a tenant's own hides another of that name."""

    __tablename__ = "custom_roles"

    tenant_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    description: Mapped[str | None] = mapped_column(String(200))
    permissions: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


def add(session: Session, role: CustomRole) -> None:
    session.add(role)
    session.flush()


def find(session: Session, tenant_id: str, name: str) -> CustomRole | None:
    """The role of exactly that tenant."""
    return session.get(CustomRole, (tenant_id, name), with_for_update=True)


def visible(
    session: Session, tenant_id: str, names: Iterable[str] | None = None
) -> Sequence[CustomRole]:
    """What is there for *tenant_id*, by name."""
    wanted = select(CustomRole).where(CustomRole.tenant_id.in_([EVERYWHERE, tenant_id]))
    if names is not None:
        wanted = wanted.where(CustomRole.name.in_(list(names)))
    found: dict[str, CustomRole] = {}
    for role in session.scalars(wanted.order_by(CustomRole.name, CustomRole.tenant_id)):
        found[role.name] = role  # the tenant's own comes after the one for all
    return list(found.values())


def remove(session: Session, tenant_id: str, name: str) -> None:
    session.execute(
        delete(CustomRole).where(CustomRole.tenant_id == tenant_id, CustomRole.name == name)
    )
