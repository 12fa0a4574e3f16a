"""Leases: of all processes, only the holder of a lease does its background work."""

from datetime import datetime, timedelta

from sqlalchemy import String, or_, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Mapped, Session, mapped_column

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
        .where(
            LeaseRow.name == name,
            or_(
                LeaseRow.held_until.is_(None),
                LeaseRow.held_until < now,
                LeaseRow.held_until > lease_end,  # set before the clock was set back
            ),
        )
        .values(held_until=lease_end)
    )
    result: CursorResult[tuple[()]] = session.execute(statement)  # type: ignore[assignment]
    return result.rowcount == 1


def release_lease(session: Session, name: str) -> None:
    session.execute(update(LeaseRow).where(LeaseRow.name == name).values(held_until=None))
