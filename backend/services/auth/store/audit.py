"""The audit trail: written once, never changed. The caller owns the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.chassis.database.sessions import UtcDateTime
from backend.services.auth.store.base import Base


class AuditRecord(Base):
    """Who did what, when, from where, with what outcome."""

    __tablename__ = "audit_records"
    __table_args__ = (Index("ix_audit_records_counted", "action", "outcome", "at"),)

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    # No foreign keys: the trail outlives those it speaks of.
    actor_id: Mapped[str | None] = mapped_column(String(32), index=True)
    tenant_id: Mapped[str | None] = mapped_column(String(32), index=True)
    action: Mapped[str] = mapped_column(String(64), index=True)
    outcome: Mapped[str] = mapped_column(String(64))
    target: Mapped[str | None] = mapped_column(String(128))
    address: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(128))
    details: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records; None for whatever they say there."""

    tenant_id: str | None = None
    actor_id: str | None = None
    # Done by this user, or to them.
    concerned_id: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def add(session: Session, record: AuditRecord) -> None:
    session.add(record)


def find(
    session: Session, wanted: Wanted, before_id: int | None, count: int
) -> Sequence[AuditRecord]:
    """The newest first, from before *before_id*."""
    found = select(AuditRecord).order_by(AuditRecord.id.desc()).limit(count)
    if before_id is not None:
        found = found.where(AuditRecord.id < before_id)
    if wanted.tenant_id is not None:
        found = found.where(AuditRecord.tenant_id == wanted.tenant_id)
    if wanted.actor_id is not None:
        found = found.where(AuditRecord.actor_id == wanted.actor_id)
    if wanted.concerned_id is not None:
        found = found.where(
            or_(
                AuditRecord.actor_id == wanted.concerned_id,
                AuditRecord.target == wanted.concerned_id,
            )
        )
    if wanted.action is not None:
        found = found.where(AuditRecord.action == wanted.action)
    if wanted.since is not None:
        found = found.where(AuditRecord.at >= wanted.since)
    if wanted.until is not None:
        found = found.where(AuditRecord.at < wanted.until)
    return session.scalars(found).all()
