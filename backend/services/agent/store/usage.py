"""Queries on token usage and on the reservations of current runs."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import CursorResult, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from backend.chassis.database.sessions import acquire_transaction_lock
from backend.services.agent.store.tables import Reservation, Usage

_USAGE: Final[Table] = Usage.metadata.tables[Usage.__tablename__]
_INCREASE_USAGE: Final = (
    update(_USAGE)
    .where(*(column == bindparam(f"added_{column.name}") for column in _USAGE.primary_key))
    .values(
        {
            column: column + bindparam(f"added_{column.name}", type_=column.type)
            for column in _USAGE.c
            if not column.primary_key
        }
    )
)


def lock_usage(session: Session, tenant_id: str) -> None:
    """Lock the tenant's usage and reservations until the end of the transaction."""
    acquire_transaction_lock(session, f"agent usage of {tenant_id}")


def add_usage(session: Session, key: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    """Add *counts* to the row *key* of a day, user and model. Both map column names to values."""
    parameters = {f"added_{name}": value for name, value in (*key.items(), *counts.items())}
    result = session.execute(_INCREASE_USAGE, parameters)
    if isinstance(result, CursorResult) and result.rowcount == 0:
        session.execute(insert(_USAGE), {**key, **counts})


def sum_tokens(session: Session, tenant_id: str, day: date, user_id: str | None) -> int:
    """Return the tokens used on *day* by the user, or by the tenant if *user_id* is None."""
    total = func.sum(Usage.prompt_tokens + Usage.completion_tokens)
    query = select(total).where(Usage.tenant_id == tenant_id, Usage.day == day)
    if user_id is not None:
        query = query.where(Usage.user_id == user_id)
    return int(session.scalar(query) or 0)


def sum_reserved_tokens(
    session: Session, tenant_id: str, now: datetime, user_id: str | None
) -> int:
    """Return the tokens reserved by current runs."""
    query = select(func.sum(Reservation.tokens)).where(
        Reservation.tenant_id == tenant_id, Reservation.until > now
    )
    if user_id is not None:
        query = query.where(Reservation.user_id == user_id)
    return int(session.scalar(query) or 0)


def add_reservation(session: Session, reservation: Reservation, now: datetime) -> None:
    """Add *reservation*, and delete expired ones of the tenant, left by killed runs."""
    session.execute(
        delete(Reservation).where(
            Reservation.tenant_id == reservation.tenant_id, Reservation.until <= now
        )
    )
    session.add(reservation)


def delete_reservation(session: Session, reservation_id: str) -> None:
    """Delete a reservation."""
    session.execute(delete(Reservation).where(Reservation.id == reservation_id))


def list_usage(session: Session, tenant_id: str, day: date, user_id: str | None) -> Sequence[Usage]:
    """Return the usage since *day*, newest first."""
    query = (
        select(Usage)
        .where(Usage.tenant_id == tenant_id, Usage.day >= day)
        .order_by(Usage.day.desc(), Usage.model, Usage.user_id)
    )
    if user_id is not None:
        query = query.where(Usage.user_id == user_id)
    return session.scalars(query).all()
