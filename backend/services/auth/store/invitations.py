"""Table of invitations. The caller owns the transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint, delete, select, tuple_
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base, generate_id


class Invitation(Base):
    """An invitation that was not accepted, with the SHA-256 digest of its token.

    A tenant has at most one for each address.
    """

    __tablename__ = "invitations"
    __table_args__ = (
        UniqueConstraint("tenant_id", "email_key", name="uq_invitations_tenant_id_email_key"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=generate_id)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254))
    roles: Mapped[list[str]] = mapped_column(JSON)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    invited_by: Mapped[str] = mapped_column(String(32), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


def add_invitation(session: Session, invitation: Invitation) -> None:
    session.add(invitation)
    session.flush()


def get_invitation(session: Session, tenant_id: str, invitation_id: str) -> Invitation | None:
    return session.scalar(
        select(Invitation).where(Invitation.id == invitation_id, Invitation.tenant_id == tenant_id)
    )


def find_by_email(session: Session, tenant_id: str, email_key: str) -> Invitation | None:
    return session.scalar(
        select(Invitation).where(
            Invitation.tenant_id == tenant_id, Invitation.email_key == email_key
        )
    )


def find_by_digest(session: Session, digest: str, now: datetime) -> Invitation | None:
    """Return the invitation of the token, or None if it is unknown or expired."""
    return session.scalar(
        select(Invitation).where(Invitation.digest == digest, Invitation.expires_at > now)
    )


def lock_by_digest(session: Session, digest: str, now: datetime) -> Invitation | None:
    """Return the invitation as `find_by_digest`, locked until the transaction ends."""
    return session.scalar(
        select(Invitation)
        .where(Invitation.digest == digest, Invitation.expires_at > now)
        .with_for_update()
    )


def list_invitations(
    session: Session, tenant_id: str, after: tuple[datetime, str] | None, limit: int
) -> Sequence[Invitation]:
    """Return up to *limit* invitations of the tenant, newest first.

    Args:
        after: creation time and id of the last invitation on the previous page.
    """
    query = select(Invitation).where(Invitation.tenant_id == tenant_id)
    if after is not None:
        query = query.where(tuple_(Invitation.created_at, Invitation.id) < after)
    query = query.order_by(Invitation.created_at.desc(), Invitation.id.desc()).limit(limit)
    return session.scalars(query).all()


def delete_invitation(session: Session, invitation: Invitation) -> None:
    session.delete(invitation)
    session.flush()


def delete_expired_before(session: Session, tenant_id: str, time: datetime) -> None:
    session.execute(
        delete(Invitation).where(Invitation.tenant_id == tenant_id, Invitation.expires_at < time)
    )


def delete_tenant_invitations(session: Session, tenant_id: str) -> None:
    session.execute(delete(Invitation).where(Invitation.tenant_id == tenant_id))


def delete_invitations_of(session: Session, user_id: str) -> None:
    """Delete the invitations that the user has sent."""
    session.execute(delete(Invitation).where(Invitation.invited_by == user_id))
