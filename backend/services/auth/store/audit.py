"""Table of audit records, which are never updated. The caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.types import UtcDateTime
from backend.services.auth.store.base import Base


class AuditRecord(Base):
    """One audited action: actor, time, client address and outcome."""

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
