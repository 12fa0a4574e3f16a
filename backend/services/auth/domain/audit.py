"""Audit log: recording and querying audit events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Database, Session
from backend.security import Permission, Principal
from backend.services.auth.domain.usernames import normalize_login_name
from backend.services.auth.store import accounts
from backend.services.auth.store import audit as store

_MAX_TARGET_CHARACTERS = 128
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


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """Filters of an audit query. *actor* is a user id or username."""

    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditLog:
    """Query the audit log and record denied requests."""

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
            usernames = accounts.get_usernames(
                session, {row.actor_id for row in rows if row.actor_id}
            )
            usernames[OPERATOR] = OPERATOR
            return [
                AuditEntry(
                    id=row.id,
                    at=row.at,
                    actor_id=row.actor_id,
                    actor=usernames.get(row.actor_id or ""),
                    tenant_id=row.tenant_id,
                    action=row.action,
                    outcome=row.outcome,
                    target=row.target,
                    address=row.address,
                    request_id=row.request_id,
                    details=row.details,
                )
                for row in rows
            ]

    def list_user_activity(
        self, user_id: str, before_id: int | None, limit: int
    ) -> Sequence[AuditEntry]:
        """Return the records in which the user is the actor or the target."""
        return self._load_entries(store.RecordFilter(actor_or_target_id=user_id), before_id, limit)

    def record_denied_request(
        self, user_id: str, tenant_id: str, endpoint: str, reason: str, origin: RequestOrigin
    ) -> None:
        """Record a denied request of *user_id* to *endpoint*.

        Args:
            reason: error code of the response.
        """
        with self._database.write() as session:
            record_audit_event(
                session,
                self._now(),
                origin,
                "access.denied",
                reason,
                actor_id=user_id,
                tenant_id=tenant_id,
                target=endpoint,
            )


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
            target=target[:_MAX_TARGET_CHARACTERS] if target else None,
            address=origin.address,
            request_id=origin.request_id,
            details=details,
        ),
    )
