"""Retention of conversations: how long a tenant keeps messages, and their deletion."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from backend.chassis.database.sessions import Database
from backend.chassis.messaging.audit_events import NO_REQUEST, AuditEvent, RequestOrigin
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.services.chat.domain.access import Caller
from backend.services.chat.domain.daily_stats import DailyStatsUpdate
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.store import daily_stats, history
from backend.services.chat.store.tables import TenantState
from backend.services.chat.store.work import announce_work

_MESSAGES: Final = 500
_CONVERSATIONS: Final = 50


@dataclass(frozen=True, slots=True)
class Retention:
    """Messages are kept for *days*, None for ever. Those before *kept_from* are deleted."""

    days: int | None
    kept_from: date | None
    updated_at: datetime | None


class RetentionService:
    """The retention period of the caller's tenant."""

    def __init__(self, database: Database, audit: AuditOutbox, now: Callable[[], datetime]) -> None:
        self._database = database
        self._audit = audit
        self._now = now

    def get_retention(self, caller: Caller) -> Retention:
        with self._database.read(caller.tenant_id) as session:
            return _to_retention(daily_stats.get_tenant_state(session, caller.tenant_id))

    def set_retention(self, caller: Caller, days: int | None, origin: RequestOrigin) -> Retention:
        """Set the period. Deleted messages do not return if it becomes longer."""
        with self._database.write(caller.tenant_id) as session:
            state = daily_stats.ensure_tenant_state(session, caller.tenant_id)
            details = {"days": days, "previous_days": state.retention_days}
            state.retention_days = days
            state.updated_at, state.updated_by = self._now(), caller.actor
            session.flush()
            self._audit.add_event(
                session,
                AuditEvent(
                    "chat.retention-change",
                    caller.user_id,
                    caller.tenant_id,
                    origin,
                    details=details,
                ),
            )
            announce_work(session)
            return _to_retention(state)


@dataclass(slots=True)
class _DeletionCounts:
    messages: int = 0
    conversations: int = 0


class RetentionDeletion:
    """Deletes what tenants no longer keep, in small transactions.

    Whole days (UTC) are deleted. Their statistics are counted for the last time before, and stay.

    Args:
        database: must bypass row-level security.
        message_log: deletes conversations, so that readers notice.
        audit: records what was deleted.
        now: the clock.
    """

    def __init__(
        self,
        database: Database,
        message_log: MessageLog,
        audit: AuditOutbox,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._message_log = message_log
        self._audit = audit
        self._now = now
        self._stats = DailyStatsUpdate(database, now)
        self._deleted: dict[str, _DeletionCounts] = {}

    def has_expired(self) -> bool:
        """Return whether a tenant has something to delete."""
        return self._find_expired() is not None

    def delete_next(self) -> bool:
        """Delete a batch of one tenant. Returns False if no tenant has anything to delete."""
        found = self._find_expired()
        if found is None:
            return False
        tenant_id, cutoff = found
        self._keep_from(tenant_id, cutoff)
        start = datetime.combine(cutoff, time(), UTC)
        deleted = self._deleted.setdefault(tenant_id, _DeletionCounts())
        with self._database.write() as session:
            messages = history.delete_messages_before(
                session, tenant_id, start, _MESSAGES, self._now()
            )
            deleted.messages += messages
            if messages == _MESSAGES:
                return True
        with self._database.write() as session:
            rows = history.list_conversations_before(session, tenant_id, start, _CONVERSATIONS)
            for conversation in rows:
                self._message_log.delete_conversation(session, conversation)
            deleted.conversations += len(rows)
            if len(rows) == _CONVERSATIONS:
                return True
        self._finish(tenant_id, cutoff, start)
        return True

    def _find_expired(self) -> tuple[str, date] | None:
        """Return a tenant and the first day that it keeps, if earlier days are not deleted."""
        today = self._now().astimezone(UTC).date()
        with self._database.read() as session:
            for state in history.list_tenants_with_retention(session):
                cutoff = today - timedelta(days=state.retention_days or 0)
                if not history.is_deleted_until(state, cutoff):
                    return state.tenant_id, cutoff
        return None

    def _keep_from(self, tenant_id: str, cutoff: date) -> None:
        """Count the days before *cutoff* for the last time."""
        with self._database.read() as session:
            state = daily_stats.get_tenant_state(session, tenant_id)
            if state is not None and state.kept_from is not None and state.kept_from >= cutoff:
                return
        self._stats.count_tenant(tenant_id)
        with self._database.write() as session:
            state = daily_stats.ensure_tenant_state(session, tenant_id)
            state.kept_from = max(cutoff, state.kept_from or cutoff)

    def _finish(self, tenant_id: str, cutoff: date, start: datetime) -> None:
        deleted = self._deleted.pop(tenant_id, _DeletionCounts())
        with self._database.write() as session:
            history.delete_milestones_before(session, tenant_id, start)
            state = daily_stats.ensure_tenant_state(session, tenant_id)
            state.deleted_until = cutoff
            session.flush()
            if deleted.messages or deleted.conversations:
                self._audit.add_event(
                    session,
                    AuditEvent(
                        "chat.retention-delete",
                        "chat-service",
                        tenant_id,
                        NO_REQUEST,
                        details={
                            "before": cutoff.isoformat(),
                            "messages": deleted.messages,
                            "conversations": deleted.conversations,
                        },
                    ),
                )


def _to_retention(state: TenantState | None) -> Retention:
    if state is None:
        return Retention(None, None, None)
    return Retention(state.retention_days, state.kept_from, state.updated_at)
