"""Times at which accounts and conversations may send again (generic cell rate algorithm)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.chat.store.base import Base

# Longer than the time of any burst, so that a deleted row allows no more than it did.
_KEPT = timedelta(hours=1)


class SendRate(Base):
    """The time at which an account or conversation may send next. Without a row: now."""

    __tablename__ = "chat_send_rates"

    key: Mapped[str] = mapped_column(String(96), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(String(64))
    next_at: Mapped[datetime] = mapped_column(UtcDateTime)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One message per *interval* in the long run, and *burst* messages at once."""

    interval: timedelta
    burst: int = 1


def account_key(account_id: str) -> str:
    """Return the key of an account's rate."""
    return f"account:{account_id}"


def conversation_key(conversation_id: str) -> str:
    """Return the key of a conversation's rate."""
    return f"conversation:{conversation_id}"


def consume(session: Session, tenant_id: str, key: str, limit: RateLimit, now: datetime) -> None:
    """Count one message, which was allowed at *now*."""
    tolerance = limit.interval * (limit.burst - 1)
    row = session.get(SendRate, key, populate_existing=True, with_for_update=True)
    reached = now if row is None else max(now, row.next_at + tolerance)
    _set(session, row, tenant_id, key, reached + limit.interval - tolerance)


def postpone(session: Session, tenant_id: str, key: str, until: datetime) -> None:
    """Allow nothing before *until*, as the provider asks."""
    row = session.get(SendRate, key, populate_existing=True, with_for_update=True)
    if row is None or row.next_at < until:
        _set(session, row, tenant_id, key, until)


def delete_past(session: Session, now: datetime) -> None:
    """Delete the rows that limit nothing any more."""
    session.execute(delete(SendRate).where(SendRate.next_at < now - _KEPT))


def _set(
    session: Session, row: SendRate | None, tenant_id: str, key: str, next_at: datetime
) -> None:
    if row is None:
        session.add(SendRate(key=key, tenant_id=tenant_id, next_at=next_at))
        session.flush()
    else:
        row.next_at = next_at
