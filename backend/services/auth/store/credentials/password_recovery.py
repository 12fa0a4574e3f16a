"""Tables of password reset requests and tokens. The caller owns the transaction."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, delete, exists, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base, generate_id


class PasswordResetRequest(Base):
    """A queued reset request, deleted once the mail is sent or abandoned."""

    __tablename__ = "password_reset_requests"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=generate_id)
    # Encrypted, because users sometimes type a password into the name field.
    sealed_name: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    attempts: Mapped[int] = mapped_column(default=0)


class PasswordResetToken(Base):
    """A reset token, stored as its SHA-256 digest and deleted when used."""

    __tablename__ = "password_resets"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


def add_request(session: Session, request: PasswordResetRequest) -> None:
    session.add(request)


def has_due_request(session: Session, now: datetime) -> bool:
    return bool(session.scalar(select(exists().where(PasswordResetRequest.not_before <= now))))


def has_pending_request(session: Session) -> bool:
    return bool(session.scalar(select(exists().where(PasswordResetRequest.id.is_not(None)))))


def claim_request(session: Session, now: datetime, until: datetime) -> PasswordResetRequest | None:
    """Claim the oldest due request: other processes skip it until *until*."""
    oldest = (
        select(PasswordResetRequest.id)
        .where(PasswordResetRequest.not_before <= now)
        .order_by(PasswordResetRequest.created_at)
        .limit(1)
        .scalar_subquery()
    )
    return session.scalar(
        update(PasswordResetRequest)
        .where(PasswordResetRequest.id == oldest, PasswordResetRequest.not_before <= now)
        .values(not_before=until, attempts=PasswordResetRequest.attempts + 1)
        .returning(PasswordResetRequest)
        .execution_options(synchronize_session=False)
    )


def postpone_request(session: Session, request_id: str, until: datetime) -> None:
    session.execute(
        update(PasswordResetRequest)
        .where(PasswordResetRequest.id == request_id)
        .values(not_before=until)
        .execution_options(synchronize_session=False)
    )


def delete_request(session: Session, request_id: str) -> None:
    session.execute(delete(PasswordResetRequest).where(PasswordResetRequest.id == request_id))


def add_reset_token(session: Session, reset: PasswordResetToken) -> None:
    session.add(reset)
    session.flush()


def find_reset_token(session: Session, digest: str, now: datetime) -> PasswordResetToken | None:
    return session.scalar(
        select(PasswordResetToken).where(
            PasswordResetToken.digest == digest, PasswordResetToken.expires_at > now
        )
    )


def count_tokens_since(session: Session, user_id: str, since: datetime) -> int:
    """Return the number of tokens issued to the user since *since*."""
    count = select(func.count()).where(
        PasswordResetToken.user_id == user_id, PasswordResetToken.created_at >= since
    )
    return session.scalar(count) or 0


def consume_reset_token(session: Session, digest: str, now: datetime) -> str | None:
    """Delete the token and return its user id, or None if it is unknown or expired."""
    return session.scalar(
        delete(PasswordResetToken)
        .where(PasswordResetToken.digest == digest, PasswordResetToken.expires_at > now)
        .returning(PasswordResetToken.user_id)
        .execution_options(synchronize_session=False)
    )


def delete_user_tokens(session: Session, user_id: str) -> None:
    session.execute(delete(PasswordResetToken).where(PasswordResetToken.user_id == user_id))
