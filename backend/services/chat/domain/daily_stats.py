"""Keeps the statistics by day up to date.

Messages and conversations only ever add to the current day, so the days since the last count are
counted again when a tenant has new messages. All other changes mark their day in their own
transaction: a conversation is resolved or deleted, a delivery fails or is repeated, a contact is
erased. Counting reads without a lock; the result is stored only if nothing else has counted or
marked the day in the meantime.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from backend.chassis.daily_counts import Period
from backend.chassis.database.sessions import Database, Session
from backend.services.chat.store import daily_stats as store
from backend.services.chat.store.tables import DailyStats, TenantState

# A transaction commits at most this much later than the time of its messages.
_MAX_COMMIT_DELAY: Final = timedelta(seconds=10)
_ONE_DAY: Final = timedelta(days=1)


class DailyStatsUpdate:
    """Counts the days that have changed. *database* must bypass row-level security."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def has_changes(self) -> bool:
        """Return whether a day has to be counted."""
        with self._database.read() as session:
            return bool(store.list_tenants_with_changed_days(session) or _list_uncounted(session))

    def update_all(self) -> int:
        """Count all changed days of all tenants. Returns the number of days that were stored."""
        with self._database.read() as session:
            uncounted = _list_uncounted(session)
            marked = store.list_tenants_with_changed_days(session)
        stored = sum(self._count_new_days(tenant_id) for tenant_id in uncounted)
        return stored + sum(self.count_changed_days(tenant_id) for tenant_id in marked)

    def count_changed_days(self, tenant_id: str) -> int:
        """Count the marked days of a tenant. Returns the number of days that were stored."""
        with self._database.read() as session:
            marks = store.list_changed_days(session, tenant_id)
        stored = 0
        for day, token in marks.items():
            rows = self._count(tenant_id, day)
            with self._database.write() as session:
                state = store.ensure_tenant_state(session, tenant_id)
                if store.take_mark(session, tenant_id, day, token) and _is_kept(state, day):
                    store.replace_days(session, tenant_id, Period(day, day), rows)
                    stored += 1
        return stored

    def count_tenant(self, tenant_id: str) -> None:
        """Count the new and changed days of a tenant."""
        self._count_new_days(tenant_id)
        self.count_changed_days(tenant_id)

    def count_all_days(self, tenant_id: str) -> int:
        """Count every day of a tenant that is kept, as if no statistics were stored."""
        with self._database.write() as session:
            store.ensure_tenant_state(session, tenant_id).counted_at = None
        return self._count_new_days(tenant_id)

    def _count_new_days(self, tenant_id: str) -> int:
        started_at = self._now()
        with self._database.read() as session:
            state = store.get_tenant_state(session, tenant_id)
            seen = state.counted_at if state else None
            period = get_uncounted_period(session, tenant_id, state, started_at)
        days = list(period) if period is not None else []
        for day in days:
            rows = self._count(tenant_id, day)
            with self._database.write() as session:
                state = store.ensure_tenant_state(session, tenant_id)
                if state.counted_at != seen:
                    return 0
                if _is_kept(state, day):
                    store.replace_days(session, tenant_id, Period(day, day), rows)
                if day == days[-1]:
                    # In the same transaction, so that a concurrent count notices it.
                    state.counted_at = started_at
        return len(days)

    def _count(self, tenant_id: str, day: date) -> list[DailyStats]:
        with self._database.read() as session:
            return store.count_days(session, tenant_id, Period(day, day))


def _is_kept(state: TenantState, day: date) -> bool:
    """Return whether messages of *day* are kept. If not, some of them may be deleted already."""
    return state.kept_from is None or day >= state.kept_from


def get_uncounted_period(
    session: Session, tenant_id: str, state: TenantState | None, now: datetime
) -> Period | None:
    """Return the days that may have messages which are not counted, or None without any day."""
    today = now.astimezone(UTC).date()
    if state is not None and state.counted_at is not None:
        first: date | None = (state.counted_at - _MAX_COMMIT_DELAY).date()
    else:
        first = store.get_first_day(session, tenant_id)
    if first is None:
        return None
    if state is not None and state.kept_from is not None:
        first = max(first, state.kept_from)
    return Period(first, today) if first <= today else None


def list_current_stats(
    session: Session, tenant_id: str, period: Period, now: datetime
) -> list[DailyStats]:
    """Return the counts of *period* by day and account. Days that have changed are counted now."""
    state = store.get_tenant_state(session, tenant_id)
    kept_from = state.kept_from if state is not None else None
    changed = {
        day
        for day in store.list_changed_days(session, tenant_id)
        if period.first <= day <= period.last and (kept_from is None or day >= kept_from)
    }
    uncounted = get_uncounted_period(session, tenant_id, state, now)
    if uncounted is not None:
        first = max(uncounted.first, period.first)
        changed.update(Period(first, min(uncounted.last, period.last)))
    rows = [
        row for row in store.list_daily_stats(session, tenant_id, period) if row.day not in changed
    ]
    for days in _join_days(sorted(changed)):
        rows += store.count_days(session, tenant_id, days)
    return sorted(rows, key=lambda row: (row.day, row.account_id))


def _join_days(days: Sequence[date]) -> Iterator[Period]:
    """Yield consecutive *days* as periods."""
    first: date | None = None
    for index, day in enumerate(days):
        first = first or day
        if index + 1 == len(days) or days[index + 1] != day + _ONE_DAY:
            yield Period(first, day)
            first = None


def _list_uncounted(session: Session) -> Iterable[str]:
    return [
        tenant_id
        for tenant_id, (counted_at, last) in store.list_active_tenants(session).items()
        if counted_at is None or last > counted_at - _MAX_COMMIT_DELAY
    ]
