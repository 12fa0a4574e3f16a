"""Table of the counters of failed sign-ins and proofs. The caller owns the transaction."""

from datetime import datetime

from sqlalchemy import String, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base

# Each attempt deletes more outdated counters than it adds, so that the table shrinks.
_MAX_DELETED_COUNTERS = 100


class FailedAttempts(Base):
    """The failed attempts of one subject, for example of an account at a network."""

    __tablename__ = "failed_attempts"

    # SHA-256 of the subject: users sometimes type a password into the name field.
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


def get_counter_for_update(session: Session, digest: str) -> FailedAttempts | None:
    """Return the counter and lock its row until the transaction ends."""
    return session.get(FailedAttempts, digest, populate_existing=True, with_for_update=True)


def add_counter(session: Session, digest: str, now: datetime) -> None:
    """Insert a counter with one failure."""
    session.add(FailedAttempts(digest=digest, failures=1, first_at=now, last_at=now))
    session.flush()


def withdraw_failure(session: Session, digest: str, at: datetime, last_at: datetime) -> None:
    """Subtract the failure that was counted at *at* in advance.

    Args:
        last_at: time of the previous failure, restored unless another failure was counted since.
    """
    session.execute(
        update(FailedAttempts)
        .where(FailedAttempts.digest == digest, FailedAttempts.last_at == at)
        .values(last_at=last_at)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(FailedAttempts)
        .where(FailedAttempts.digest == digest)
        .values(failures=FailedAttempts.failures - 1)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        delete(FailedAttempts).where(FailedAttempts.digest == digest, FailedAttempts.failures <= 0)
    )


def delete_counter(session: Session, digest: str) -> None:
    session.execute(delete(FailedAttempts).where(FailedAttempts.digest == digest))


def delete_counters_unused_since(session: Session, before: datetime) -> None:
    """Delete some outdated counters that no other transaction has locked."""
    outdated = (
        select(FailedAttempts.digest)
        .where(FailedAttempts.last_at < before)
        .limit(_MAX_DELETED_COUNTERS)
        .with_for_update(skip_locked=True)
    )
    digests = session.scalars(outdated).all()
    if digests:
        session.execute(
            delete(FailedAttempts)
            .where(FailedAttempts.digest.in_(digests))
            .execution_options(synchronize_session=False)
        )
