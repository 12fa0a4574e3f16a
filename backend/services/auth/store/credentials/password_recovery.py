"""Tables of password reset requests and tokens. The caller owns the transaction."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base
from backend.services.auth.store.delivery_queue import DeliveryRow


class PasswordResetRequest(DeliveryRow):
    """A queued reset request."""

    __tablename__ = "password_reset_requests"

    # Encrypted, because users sometimes type a password into the name field.
    sealed_name: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(128))


class PasswordResetToken(Base):
    """A reset token, stored as its SHA-256 digest and deleted when used."""

    __tablename__ = "password_resets"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


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
