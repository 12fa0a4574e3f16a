"""Times of the next message of accounts and conversations, and of the next answer of tenants.

They are computed by the generic cell rate algorithm.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import String, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.chat.store.base import Base
from backend.services.chat.store.conversations import insert_ignoring_conflicts

# Longer than the time of any burst, so that a deleted row allows no more than it did.
_KEPT = timedelta(hours=1)


class SendRate(Base):
    """The time of the next message or answer of a key that is allowed. Without a row: now."""

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


def tenant_key(tenant_id: str) -> str:
    """Return the key of the answers of a tenant."""
    return f"tenant:{tenant_id}"


def consume(
    session: Session,
    tenant_id: str,
    key: str,
    limit: RateLimit,
    now: datetime,
    *,
    weight: int = 1,
) -> None:
    """Count one message, which was allowed at *now*, as *weight* messages."""
    reserve(session, tenant_id, key, limit, now, weight=weight)


def reserve(
    session: Session,
    tenant_id: str,
    key: str,
    limit: RateLimit,
    now: datetime,
    *,
    weight: int = 1,
) -> datetime:
    """Count one message as *weight* messages. Returns the time at which it is allowed."""
    tolerance = limit.interval * (limit.burst - 1)
    row = _lock_row(session, tenant_id, key, now - tolerance)
    allowed_at = max(now, row.next_at)
    row.next_at = max(now, row.next_at + tolerance) + limit.interval * weight - tolerance
    return allowed_at


def postpone(session: Session, tenant_id: str, key: str, until: datetime) -> None:
    """Allow nothing before *until*, as the provider asks."""
    row = _lock_row(session, tenant_id, key, until)
    row.next_at = max(row.next_at, until)


def delete_past(session: Session, now: datetime) -> None:
    """Delete the rows that limit nothing any more."""
    session.execute(delete(SendRate).where(SendRate.next_at < now - _KEPT))


def _lock_row(session: Session, tenant_id: str, key: str, next_at: datetime) -> SendRate:
    row = session.get(SendRate, key, populate_existing=True, with_for_update=True)
    if row is None:
        # Another worker may insert it at the same time.
        values = {"key": key, "tenant_id": tenant_id, "next_at": next_at}
        session.execute(insert_ignoring_conflicts(session, SendRate).values(values))
        row = session.get_one(SendRate, key, populate_existing=True, with_for_update=True)
    return row
