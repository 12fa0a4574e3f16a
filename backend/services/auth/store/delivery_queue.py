"""Base of the tables that queue mails for delivery. The caller owns the transaction."""

from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import ColumnElement, String, delete, exists, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base, generate_id

# Longest time between two attempts.
MAX_WAIT = timedelta(minutes=10)


class DeliveryRow(Base):
    """Columns of a queue table. A row is deleted once it is delivered or abandoned.

    Attributes:
        not_before: time from which the next attempt is due.
        attempts: number of attempts so far.
    """

    __abstract__ = True

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=generate_id)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    attempts: Mapped[int] = mapped_column(default=0)


Row = TypeVar("Row", bound=DeliveryRow)


def has_rows(session: Session, table: type[Row]) -> bool:
    return bool(session.scalar(select(exists().where(table.id.is_not(None)))))


def has_due_row(session: Session, table: type[Row], now: datetime) -> bool:
    return bool(session.scalar(select(exists().where(_is_due(table, now)))))


def claim_row(session: Session, table: type[Row], now: datetime, until: datetime) -> Row | None:
    """Claim the oldest due row: other processes skip it until *until*."""
    oldest = (
        select(table.id)
        .where(_is_due(table, now))
        .order_by(table.created_at)
        .limit(1)
        .scalar_subquery()
    )
    return session.scalar(
        update(table)
        .where(table.id == oldest, _is_due(table, now))
        .values(not_before=until, attempts=table.attempts + 1)
        .returning(table)
        .execution_options(synchronize_session=False)
    )


def _is_due(table: type[Row], now: datetime) -> ColumnElement[bool]:
    # A time after the longest possible wait was stored before the clock was set back (ADR 38).
    return or_(table.not_before <= now, table.not_before > now + MAX_WAIT)


def postpone_row(session: Session, table: type[Row], row_id: str, until: datetime) -> None:
    session.execute(
        update(table)
        .where(table.id == row_id)
        .values(not_before=until)
        .execution_options(synchronize_session=False)
    )


def delete_row(session: Session, table: type[Row], row_id: str) -> None:
    session.execute(delete(table).where(table.id == row_id))
