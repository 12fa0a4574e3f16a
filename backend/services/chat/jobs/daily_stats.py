"""The job that counts statistics by day."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from backend.chassis.database.sessions import Database
from backend.services.chat.domain.daily_stats import DailyStatsUpdate

_INTERVAL: Final = timedelta(minutes=1)
_CLOCK_TOLERANCE: Final = timedelta(seconds=1)


class DailyStatsJob:
    """Counts changed days, at most once a minute."""

    name = "daily statistics"
    threads = 1

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._update = DailyStatsUpdate(database.across_tenants(), now)
        self._now = now
        self._next_run: datetime | None = None
        self._next_check: datetime | None = None
        self._has_changes = False

    def has_due_work(self) -> bool:
        return False

    def run_once(self) -> bool:
        """Count what has changed. Returns False: the next time is later."""
        now = self._now()
        if self._next_run is None or now >= self._next_run:
            self._next_run = now + _INTERVAL
            self._update.update_all()
            self._has_changes = False
        return False

    def get_next_due_time(self) -> datetime | None:
        # Called every second, but the query reads the rows of all tenants.
        now = self._now()
        if self._next_check is None or now >= self._next_check:
            self._next_check = now + _INTERVAL
            self._has_changes = self._update.has_changes()
            # The caller has read the clock shortly before.
            return (
                max(now - _CLOCK_TOLERANCE, self._next_run or now - _CLOCK_TOLERANCE)
                if self._has_changes
                else None
            )
        return max(self._next_check, self._next_run or now) if self._has_changes else None
