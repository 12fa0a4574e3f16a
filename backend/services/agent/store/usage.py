"""Questions asked of what was used, and of what runs under way will use."""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from backend.chassis.database.sessions import take_turns
from backend.services.agent.store.tables import Reservation, Usage


def alone(session: Session, tenant_id: str) -> None:
    """Let nobody else change or weigh the tenant's usage until the transaction ends."""
    take_turns(session, f"agent usage of {tenant_id}")


def add(session: Session, used: Usage) -> None:
    """Add *used* to the row of its day, user and model."""
    key = (used.tenant_id, used.day, used.user_id, used.model)
    row = session.get(Usage, key)
    if row is None:
        session.add(used)
        return
    row.prompt_tokens += used.prompt_tokens
    row.completion_tokens += used.completion_tokens
    row.calls += used.calls


def spent(session: Session, tenant_id: str, day: date, user_id: str | None) -> int:
    """Tokens that the user has used on *day*; the tenant, if *user_id* is None."""
    total = func.sum(Usage.prompt_tokens + Usage.completion_tokens)
    wanted = select(total).where(Usage.tenant_id == tenant_id, Usage.day == day)
    if user_id is not None:
        wanted = wanted.where(Usage.user_id == user_id)
    return int(session.scalar(wanted) or 0)


def reserved(session: Session, tenant_id: str, now: datetime, user_id: str | None) -> int:
    """Tokens that runs under way have reserved."""
    wanted = select(func.sum(Reservation.tokens)).where(
        Reservation.tenant_id == tenant_id, Reservation.until > now
    )
    if user_id is not None:
        wanted = wanted.where(Reservation.user_id == user_id)
    return int(session.scalar(wanted) or 0)


def reserve(session: Session, reservation: Reservation, now: datetime) -> None:
    """Keep *reservation*; what killed runs of the tenant have left behind goes."""
    session.execute(
        delete(Reservation).where(
            Reservation.tenant_id == reservation.tenant_id, Reservation.until <= now
        )
    )
    session.add(reservation)


def release(session: Session, reservation_id: str) -> None:
    """Let a reservation go."""
    session.execute(delete(Reservation).where(Reservation.id == reservation_id))


def since(session: Session, tenant_id: str, day: date, user_id: str | None) -> Sequence[Usage]:
    """What was used from *day* on, the newest first."""
    wanted = (
        select(Usage)
        .where(Usage.tenant_id == tenant_id, Usage.day >= day)
        .order_by(Usage.day.desc(), Usage.model, Usage.user_id)
    )
    if user_id is not None:
        wanted = wanted.where(Usage.user_id == user_id)
    return session.scalars(wanted).all()
