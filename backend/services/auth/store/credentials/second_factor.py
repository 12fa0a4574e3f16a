"""Tables of TOTP factors and recovery codes. The caller owns the transaction."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, Text, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base


class TotpFactor(Base):
    """A user's TOTP secret (RFC 6238). The factor is active once it is confirmed."""

    __tablename__ = "totp_factors"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    sealed_secret: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The latest time step (30 s) whose code was used. Codes of this step and earlier ones are
    # rejected, so a code cannot be replayed.
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[int] = mapped_column(default=0)
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RecoveryCode(Base):
    """A one-time code that replaces a TOTP code, stored as its SHA-256 digest."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)


def save_factor(session: Session, factor: TotpFactor) -> None:
    """Store *factor*, replacing an unconfirmed one of the same user."""
    session.merge(factor)
    session.flush()


def find_factor_for_update(session: Session, user_id: str) -> TotpFactor | None:
    """Return the user's factor and lock its row until the transaction ends."""
    return session.get(TotpFactor, user_id, with_for_update=True)


def is_factor_active(session: Session, user_id: str) -> bool:
    confirmed = select(TotpFactor.confirmed_at).where(TotpFactor.user_id == user_id)
    return session.scalar(confirmed) is not None


def add_recovery_codes(session: Session, user_id: str, digests: Iterable[str]) -> None:
    session.add_all(RecoveryCode(user_id=user_id, digest=digest) for digest in digests)
    session.flush()


def consume_recovery_code(session: Session, user_id: str, digest: str) -> bool:
    """Delete the recovery code; return False if it does not exist."""
    spent = session.execute(
        delete(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.digest == digest)
        .returning(RecoveryCode.digest)
        .execution_options(synchronize_session=False)
    )
    return spent.first() is not None


def reset_failures(session: Session, user_id: str) -> None:
    session.execute(
        update(TotpFactor)
        .where(TotpFactor.user_id == user_id)
        .values(failures=0, blocked_until=None)
        .execution_options(synchronize_session=False)
    )


def delete_factor(session: Session, user_id: str) -> None:
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    session.execute(delete(TotpFactor).where(TotpFactor.user_id == user_id))
