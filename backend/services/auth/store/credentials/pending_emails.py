"""Table of new e-mail addresses that are not confirmed. The caller owns the transaction."""

from datetime import datetime
from typing import Final

from sqlalchemy import ForeignKey, String, bindparam, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base


class PendingEmail(Base):
    """The new address of a user, with the SHA-256 digest of the token that confirms it."""

    __tablename__ = "pending_emails"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


_GET_PENDING_EMAIL: Final = select(PendingEmail.email).where(
    PendingEmail.user_id == bindparam("user_id"), PendingEmail.expires_at > bindparam("now")
)


def replace_pending_email(session: Session, pending: PendingEmail) -> None:
    """Store *pending*, replacing an earlier one of the same user."""
    session.merge(pending)
    session.flush()


def get_pending_email(session: Session, user_id: str, now: datetime) -> str | None:
    return session.scalar(_GET_PENDING_EMAIL, {"user_id": user_id, "now": now})


def consume_token(session: Session, digest: str, now: datetime) -> tuple[str, str] | None:
    """Delete the pending address; return its user id and address, or None if unknown or expired."""
    row = session.execute(
        delete(PendingEmail)
        .where(PendingEmail.digest == digest, PendingEmail.expires_at > now)
        .returning(PendingEmail.user_id, PendingEmail.email)
        .execution_options(synchronize_session=False)
    ).first()
    return None if row is None else (row.user_id, row.email)


def delete_pending_email(session: Session, user_id: str) -> None:
    session.execute(delete(PendingEmail).where(PendingEmail.user_id == user_id))
