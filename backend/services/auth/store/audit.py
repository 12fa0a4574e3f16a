"""Tables of the audit log. The caller owns the transaction.

Records are never changed, except that repeated events increase the count of one record.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Index,
    Integer,
    String,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base


class AuditRecord(Base):
    """One audited action: actor, time, client address and outcome.

    `count` events with the same `merge_key` share a record: `at` is the time of the first one,
    `last_at` that of the last one, None without a repetition.
    """

    __tablename__ = "audit_records"
    __table_args__ = (Index("ix_audit_records_counted", "action", "outcome", "at"),)

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    # No foreign keys: records outlive the users and tenants that they refer to.
    actor_id: Mapped[str | None] = mapped_column(String(32), index=True)
    tenant_id: Mapped[str | None] = mapped_column(String(32), index=True)
    action: Mapped[str] = mapped_column(String(64), index=True)
    outcome: Mapped[str] = mapped_column(String(64))
    target: Mapped[str | None] = mapped_column(String(128))
    address: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(128))
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    count: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    last_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    merge_key: Mapped[str | None] = mapped_column(String(64), unique=True, index=True)


class ReceivedAuditEvent(Base):
    """Id of an event that another service delivered, to recognise a repeated delivery."""

    __tablename__ = "received_audit_events"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Conditions that a record must meet; None matches any value."""

    tenant_id: str | None = None
    actor_id: str | None = None
    # Matches records in which this user is the actor or the target.
    actor_or_target_id: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def add_record(session: Session, record: AuditRecord) -> None:
    session.add(record)


def add_repetitions(session: Session, merge_key: str, count: int, last_at: datetime) -> bool:
    """Count *count* events in the record with *merge_key*; return False if there is none."""
    counted = session.execute(
        update(AuditRecord)
        .where(AuditRecord.merge_key == merge_key)
        .values(count=AuditRecord.count + count, last_at=last_at)
        .returning(AuditRecord.id)
        .execution_options(synchronize_session=False)
    )
    return counted.first() is not None


def find_received_events(session: Session, event_ids: Collection[str]) -> set[str]:
    """Return those of *event_ids* that were received before."""
    query = select(ReceivedAuditEvent.id).where(ReceivedAuditEvent.id.in_(event_ids))
    return set(session.scalars(query))


def add_received_event(session: Session, event_id: str, now: datetime) -> None:
    session.add(ReceivedAuditEvent(id=event_id, received_at=now))


def delete_records_before(session: Session, before: datetime, limit: int) -> int:
    """Delete up to *limit* records whose last event was before *before*; return their number."""
    last_event = func.coalesce(AuditRecord.last_at, AuditRecord.at)
    expired = select(AuditRecord.id).where(AuditRecord.at < before, last_event < before)
    deleted = session.execute(
        delete(AuditRecord)
        .where(AuditRecord.id.in_(expired.limit(limit)))
        .returning(AuditRecord.id)
        .execution_options(synchronize_session=False)
    )
    return len(deleted.all())


def delete_received_events_before(session: Session, before: datetime) -> None:
    session.execute(delete(ReceivedAuditEvent).where(ReceivedAuditEvent.received_at < before))


def find_records(
    session: Session, record_filter: RecordFilter, before_id: int | None, limit: int
) -> Sequence[AuditRecord]:
    """Return up to *limit* records with an id below *before_id*, newest first."""
    query = select(AuditRecord).order_by(AuditRecord.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(AuditRecord.id < before_id)
    if record_filter.tenant_id is not None:
        query = query.where(AuditRecord.tenant_id == record_filter.tenant_id)
    if record_filter.actor_id is not None:
        query = query.where(AuditRecord.actor_id == record_filter.actor_id)
    if record_filter.actor_or_target_id is not None:
        query = query.where(
            or_(
                AuditRecord.actor_id == record_filter.actor_or_target_id,
                AuditRecord.target == record_filter.actor_or_target_id,
            )
        )
    if record_filter.action is not None:
        query = query.where(AuditRecord.action == record_filter.action)
    if record_filter.since is not None:
        query = query.where(AuditRecord.at >= record_filter.since)
    if record_filter.until is not None:
        query = query.where(AuditRecord.at < record_filter.until)
    return session.scalars(query).all()
