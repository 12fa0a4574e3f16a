"""Audit log: recording and querying audit events."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.chassis.messaging.audit_events import MAX_TARGET_CHARACTERS, AuditEvent
from backend.security import Permission, Principal
from backend.services.auth.domain.usernames import normalize_login_name
from backend.services.auth.store import accounts, service_accounts
from backend.services.auth.store import audit as store

# Periods in which equal events share one record. Without this, a client that repeats a refused
# request would hide other records. Periods begin at multiples of their length.
_MERGE_PERIODS = {
    "access.denied": timedelta(minutes=10),
    "tool.refused": timedelta(minutes=10),
    "tool.run": timedelta(minutes=10),
    "api_key.use": timedelta(hours=1),
}
# Longer than an event can wait in the outbox of a service that is restored from a backup.
_RECEIVED_ID_RETENTION = timedelta(days=30)
_MAX_DELETED_RECORDS = 1000
# Actor id of the command line, which does not act as an account.
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class RequestOrigin:
    """Client address, user agent and id of a request."""

    address: str
    user_agent: str
    request_id: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An audit record with the name of its actor."""

    id: int
    at: datetime
    actor_id: str | None
    actor: str | None
    tenant_id: str | None
    action: str
    outcome: str
    target: str | None
    address: str
    request_id: str
    details: Mapping[str, Any]
    count: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveredEvent:
    """An event that another service delivers.

    Attributes:
        id: UUID by which a repeated delivery is recognised.
        time: time of the action.
    """

    id: str
    time: datetime
    event: AuditEvent


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """Filters of an audit query. *actor* is a user id or username."""

    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditLog:
    """Store, query and delete audit records, including the events that other services deliver."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def list_records(
        self, caller: Principal, filters: AuditFilters, before_id: int | None, limit: int
    ) -> Sequence[AuditEntry]:
        """Return up to *limit* records below *before_id*, newest first.

        Callers with `system:read` see the records of all tenants, others those of the
        selected tenant.
        """
        can_read_all = Permission.SYSTEM_READ in caller.permissions
        actor_id = None
        if filters.actor is not None:
            with self._database.read() as session:
                actor = accounts.find_user_by_username(session, normalize_login_name(filters.actor))
                actor_id = actor.id if actor else filters.actor
        record_filter = store.RecordFilter(
            tenant_id=None if can_read_all else caller.tenant_id,
            actor_id=actor_id,
            action=filters.action,
            since=filters.since,
            until=filters.until,
        )
        return self._load_entries(record_filter, before_id, limit)

    def _load_entries(
        self, record_filter: store.RecordFilter, before_id: int | None, limit: int
    ) -> Sequence[AuditEntry]:
        with self._database.read() as session:
            rows = store.find_records(session, record_filter, before_id, limit)
            actor_ids = {row.actor_id for row in rows if row.actor_id}
            names = accounts.get_usernames(session, actor_ids)
            names |= service_accounts.get_names(session, actor_ids - names.keys())
            names[OPERATOR] = OPERATOR
            return [
                AuditEntry(
                    id=row.id,
                    at=row.at,
                    actor_id=row.actor_id,
                    actor=names.get(row.actor_id or ""),
                    tenant_id=row.tenant_id,
                    action=row.action,
                    outcome=row.outcome,
                    target=row.target,
                    address=row.address,
                    request_id=row.request_id,
                    details=row.details,
                    count=row.count,
                    last_at=row.last_at,
                )
                for row in rows
            ]

    def list_user_activity(
        self, user_id: str, before_id: int | None, limit: int
    ) -> Sequence[AuditEntry]:
        """Return the records in which the user is the actor or the target."""
        return self._load_entries(store.RecordFilter(actor_or_target_id=user_id), before_id, limit)

    def record_event(self, event: AuditEvent) -> None:
        """Record an event of auth that changes no other table, in its own transaction."""
        with self._database.write() as session:
            _record_mergeable_event(session, event.first_at or self._now(), event)

    def record_delivered_events(self, service: str, events: Sequence[DeliveredEvent]) -> None:
        """Record the *events* that *service* delivers. Events received before are ignored."""
        now = self._now()
        with self._database.write() as session:
            acquire_transaction_lock(session, f"audit events of {service}")
            received = store.find_received_events(session, {event.id for event in events})
            for delivered in events:
                if delivered.id in received:
                    continue
                received.add(delivered.id)
                store.add_received_event(session, delivered.id, now)
                _record_mergeable_event(session, delivered.time, delivered.event, service)

    def delete_expired_records(self, retention: timedelta) -> bool:
        """Delete a batch of records older than *retention*. Returns True if there may be more."""
        now = self._now()
        with self._database.write() as session:
            store.delete_received_events_before(session, now - _RECEIVED_ID_RETENTION)
            deleted = store.delete_records_before(session, now - retention, _MAX_DELETED_RECORDS)
        return deleted == _MAX_DELETED_RECORDS


INTERNAL_ORIGIN = RequestOrigin(address="", user_agent="", request_id="")


def record_audit_event(
    session: Session,
    now: datetime,
    origin: RequestOrigin,
    action: str,
    outcome: str = "success",
    *,
    actor_id: str | None = None,
    tenant_id: str | None = None,
    target: str | None = None,
    **details: Any,
) -> None:
    """Add an audit record in the transaction of the audited change.

    Args:
        outcome: `success` or an error code.
        target: id or name of the affected object, truncated to 128 characters.
        details: further facts; never secrets.
    """
    store.add_record(
        session,
        store.AuditRecord(
            at=now,
            actor_id=actor_id,
            tenant_id=tenant_id or None,
            action=action,
            outcome=outcome,
            target=target[:MAX_TARGET_CHARACTERS] if target else None,
            address=origin.address,
            request_id=origin.request_id,
            details=details,
        ),
    )


def _record_mergeable_event(
    session: Session, at: datetime, event: AuditEvent, service: str | None = None
) -> None:
    """Count *event* in the record of an equal event of the same period, or add a new record."""
    merge_key = _get_merge_key(at, event, service)
    if merge_key is not None:
        acquire_transaction_lock(session, f"audit record {merge_key}")
        if store.add_repetitions(session, merge_key, event.count, event.last_at or at):
            return
    store.add_record(
        session,
        store.AuditRecord(
            at=at,
            actor_id=event.actor_id,
            tenant_id=event.tenant_id,
            action=event.action,
            outcome=event.outcome,
            target=event.target[:MAX_TARGET_CHARACTERS] if event.target else None,
            address=event.origin.address,
            request_id=event.origin.request_id,
            details={**event.details, **({"service": service} if service else {})},
            merge_key=merge_key,
            count=event.count,
            last_at=event.last_at,
        ),
    )
    # A later event of the same transaction must find the record.
    session.flush()


def _get_merge_key(at: datetime, event: AuditEvent, service: str | None) -> str | None:
    """Return the key that equal events of one period share, or None for unmerged actions."""
    period = _MERGE_PERIODS.get(event.action)
    if period is None:
        return None
    # Uses of a key share one record per address and hour, whichever services are called.
    scope = "" if event.action == "api_key.use" else service or ""
    values = (
        scope,
        event.action,
        event.outcome,
        event.actor_id,
        event.tenant_id or "",
        event.target or "",
        event.origin.address,
        str(int(at.timestamp() // period.total_seconds())),
    )
    return hashlib.sha256("\0".join(values).encode()).hexdigest()


def record_caller_event(
    session: Session,
    now: datetime,
    caller: Principal,
    origin: RequestOrigin,
    action: str,
    target: str,
    *,
    tenant_id: str | None = None,
    **details: Any,
) -> None:
    """Add an audit record of what *caller* did to *target*, in their selected tenant by default."""
    record_audit_event(
        session,
        now,
        origin,
        action,
        actor_id=caller.user_id,
        tenant_id=caller.tenant_id if tenant_id is None else tenant_id,
        target=target,
        **details,
    )
