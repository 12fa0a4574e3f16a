"""Second factors and their recovery codes. The caller owns the transaction."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, Text, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.auth.store.base import Base


class TotpFactor(Base):
    """The secret of somebody's codes; it counts once it was confirmed."""

    __tablename__ = "totp_factors"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    sealed_secret: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The newest half-minute whose code was used: none of it or before is taken again.
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[int] = mapped_column(default=0)
    blocked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RecoveryCode(Base):
    """A code that is good once in place of the device, known by its SHA-256."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)


def put(session: Session, factor: TotpFactor) -> None:
    """Keep *factor* in the place of one that was not confirmed."""
    session.merge(factor)
    session.flush()


def find(session: Session, user_id: str) -> TotpFactor | None:
    """The factor; whoever writes next waits until this transaction ends."""
    return session.get(TotpFactor, user_id, with_for_update=True)


def is_on(session: Session, user_id: str) -> bool:
    confirmed = select(TotpFactor.confirmed_at).where(TotpFactor.user_id == user_id)
    return session.scalar(confirmed) is not None


def give_codes(session: Session, user_id: str, digests: Iterable[str]) -> None:
    session.add_all(RecoveryCode(user_id=user_id, digest=digest) for digest in digests)
    session.flush()


def spend_code(session: Session, user_id: str, digest: str) -> bool:
    """Spend the recovery code; False if there is none like it."""
    spent = session.execute(
        delete(RecoveryCode)
        .where(RecoveryCode.user_id == user_id, RecoveryCode.digest == digest)
        .returning(RecoveryCode.digest)
        .execution_options(synchronize_session=False)
    )
    return spent.first() is not None


def unblock(session: Session, user_id: str) -> None:
    session.execute(
        update(TotpFactor)
        .where(TotpFactor.user_id == user_id)
        .values(failures=0, blocked_until=None)
        .execution_options(synchronize_session=False)
    )


def remove(session: Session, user_id: str) -> None:
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    session.execute(delete(TotpFactor).where(TotpFactor.user_id == user_id))
