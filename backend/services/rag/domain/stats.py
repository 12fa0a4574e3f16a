"""How much the library holds, and what came on each day."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from backend.chassis.daily_counts import StatsQuery
from backend.chassis.database.sessions import Database
from backend.services.rag.store import stats as store
from backend.services.rag.store.stats import Held


@dataclass(frozen=True, slots=True)
class Counts:
    collections: int
    by_status: Mapping[str, Held]
    days: Sequence[tuple[date, Held]]


class Stats:
    """Counts across all tenants: *database* must show the rows of every one."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def of(self, asked: StatsQuery) -> Counts:
        period = asked.period(self._now())
        with self._database.read() as session:
            return Counts(
                collections=store.collections(session),
                by_status=store.by_status(session),
                days=list(period.without_holes(store.by_day(session, period), Held())),
            )
