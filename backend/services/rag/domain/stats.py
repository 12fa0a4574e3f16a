"""Statistics of stored documents: totals and counts by day."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.database.sessions import Database
from backend.services.rag.store import stats as store
from backend.services.rag.store.stats import StorageTotals


@dataclass(frozen=True, slots=True)
class StorageStats:
    """Totals by document status, and totals of the documents uploaded on each day (UTC)."""

    collections: int
    by_status: Mapping[str, StorageTotals]
    days: Sequence[tuple[date, StorageTotals]]


@dataclass(frozen=True, slots=True)
class UserStats:
    """Documents that a user uploaded on each day (UTC) and that still exist."""

    days: Sequence[tuple[date, StorageTotals]]
    last_activity_at: datetime | None


class StatsService:
    """Statistics of all tenants."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        """*database* sees all tenants' rows."""
        self._database = database
        self._now = now

    def get_stats(self, query: StatsQuery) -> StorageStats:
        period = query.get_period(self._now())
        with self._database.read() as session:
            return StorageStats(
                collections=store.count_collections(session),
                by_status=store.get_totals_by_status(session),
                days=list(
                    period.fill_gaps(store.get_totals_by_day(session, period), StorageTotals())
                ),
            )

    def get_user_stats(self, tenant_id: str, user_id: str, query: StatsQuery) -> UserStats:
        """Return the statistics of one user in a tenant."""
        period = query.get_period(self._now())
        with self._database.read() as session:
            totals = store.get_user_totals_by_day(session, tenant_id, user_id, period)
            return UserStats(
                list(period.fill_gaps(totals, StorageTotals())),
                store.get_last_upload(session, tenant_id, user_id),
            )
