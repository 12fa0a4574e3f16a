"""Queries on token usage and on the reservations of current runs."""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from backend.chassis.database.sessions import acquire_transaction_lock
from backend.services.agent.store.tables import Reservation, Usage


def lock_usage(session: Session, tenant_id: str) -> None:
    """Lock the tenant's usage and reservations until the end of the transaction."""
    acquire_transaction_lock(session, f"agent usage of {tenant_id}")


def add_usage(session: Session, usage: Usage) -> None:
    """Add *usage* to the row of its day, user and model."""
    key = (usage.tenant_id, usage.day, usage.user_id, usage.model)
    row = session.get(Usage, key)
    if row is None:
        session.add(usage)
        return
    row.prompt_tokens += usage.prompt_tokens
    row.completion_tokens += usage.completion_tokens
    row.calls += usage.calls


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
