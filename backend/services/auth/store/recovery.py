"""Who forgot a password, and the tokens that were sent. The caller owns the transaction."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, delete, exists, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.auth.store.base import Base, new_id


class ResetRequest(Base):
    """Somebody asked for help; it stays until a mail has left or was given up."""

    __tablename__ = "password_reset_requests"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    # Sealed, because people type passwords where a name belongs.
    sealed_name: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    attempts: Mapped[int] = mapped_column(default=0)


class PasswordReset(Base):
    """A token that was sent, known by its SHA-256; it is gone when it was used."""

    __tablename__ = "password_resets"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


def ask(session: Session, request: ResetRequest) -> None:
    session.add(request)


def is_any_due(session: Session, now: datetime) -> bool:
    return bool(session.scalar(select(exists().where(ResetRequest.not_before <= now))))


def is_any_waiting(session: Session) -> bool:
    return bool(session.scalar(select(exists().where(ResetRequest.id.is_not(None)))))


def claim(session: Session, now: datetime, until: datetime) -> ResetRequest | None:
    """The request that has waited longest, out of everybody else's way up to *until*."""
    oldest = (
        select(ResetRequest.id)
        .where(ResetRequest.not_before <= now)
        .order_by(ResetRequest.created_at)
        .limit(1)
        .scalar_subquery()
    )
    return session.scalar(
        update(ResetRequest)
        .where(ResetRequest.id == oldest, ResetRequest.not_before <= now)
        .values(not_before=until, attempts=ResetRequest.attempts + 1)
        .returning(ResetRequest)
        .execution_options(synchronize_session=False)
    )


def put_off(session: Session, request_id: str, until: datetime) -> None:
    session.execute(
        update(ResetRequest)
        .where(ResetRequest.id == request_id)
        .values(not_before=until)
        .execution_options(synchronize_session=False)
    )


def settle(session: Session, request_id: str) -> None:
    session.execute(delete(ResetRequest).where(ResetRequest.id == request_id))


def add(session: Session, reset: PasswordReset) -> None:
    session.add(reset)
    session.flush()


def find(session: Session, digest: str, now: datetime) -> PasswordReset | None:
    return session.scalar(
        select(PasswordReset).where(PasswordReset.digest == digest, PasswordReset.expires_at > now)
    )


def sent_since(session: Session, user_id: str, since: datetime) -> int:
    """How many tokens the user was sent."""
    count = select(func.count()).where(
        PasswordReset.user_id == user_id, PasswordReset.created_at >= since
    )
    return session.scalar(count) or 0


def spend(session: Session, digest: str, now: datetime) -> str | None:
    """Spend the token; whose it was, or None if it is no longer good."""
    return session.scalar(
        delete(PasswordReset)
        .where(PasswordReset.digest == digest, PasswordReset.expires_at > now)
        .returning(PasswordReset.user_id)
        .execution_options(synchronize_session=False)
    )


def forget(session: Session, user_id: str) -> None:
    session.execute(delete(PasswordReset).where(PasswordReset.user_id == user_id))
