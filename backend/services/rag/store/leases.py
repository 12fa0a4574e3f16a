"""Leases: of all processes, only the holder of a lease does its background work."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, String, or_, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session, mapped_column

from backend.chassis.database.sessions import acquire_transaction_lock
from backend.chassis.database.types import UtcDateTime
from backend.services.rag.store.base import Base, utc_now


class LeaseRow(Base):
    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    held_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


def acquire_lease(session: Session, name: str, seconds: float) -> bool:
    """Acquire the lease *name* for *seconds*. Return False if another process holds it."""
    acquire_transaction_lock(session, f"rag lease {name}")
    if session.get(LeaseRow, name) is None:
        session.add(LeaseRow(name=name))
        session.flush()
    now = utc_now()
    lease_end = now + timedelta(seconds=seconds)
    statement = (
        update(LeaseRow)
        .where(LeaseRow.name == name, is_free(LeaseRow.held_until, now, lease_end))
        .values(held_until=lease_end)
    )
    result: CursorResult[tuple[()]] = session.execute(statement)  # type: ignore[assignment]
    return result.rowcount == 1


def is_free(
    held_until: InstrumentedAttribute[datetime | None], now: datetime, lease_end: datetime
) -> ColumnElement[bool]:
    """Return the condition that no process holds the lease at *now*.

    Args:
        held_until: column with the end of the lease, or NULL.
        lease_end: end of a lease that starts now. A later end was stored before the clock was set
            back.
    """
    return or_(held_until.is_(None), held_until < now, held_until > lease_end)


def release_lease(session: Session, name: str) -> None:
    session.execute(update(LeaseRow).where(LeaseRow.name == name).values(held_until=None))
