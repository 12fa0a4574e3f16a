"""The job that deletes messages after the retention period of their tenant."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from backend.services.chat.domain.retention import RetentionDeletion

_INTERVAL: Final = timedelta(minutes=1)
_CLOCK_TOLERANCE: Final = timedelta(seconds=1)


class RetentionJob:
    """Deletes one batch after another. Looks for expired messages once a minute."""

    name = "retention"
    threads = 1

    def __init__(self, deletion: RetentionDeletion, now: Callable[[], datetime]) -> None:
        self._deletion = deletion
        self._now = now
        self._next_check: datetime | None = None
        self._next_run: datetime | None = None

    def has_due_work(self) -> bool:
        return False

    def run_once(self) -> bool:
        now = self._now()
        if self._next_run is not None and now < self._next_run:
            return False
        if self._deletion.delete_next():
            return True
        self._next_run = now + _INTERVAL
        return False

    def get_next_due_time(self) -> datetime | None:
        now = self._now()
        if self._next_check is not None and now < self._next_check:
            return None
        self._next_check = now + _INTERVAL
        # The caller has read the clock shortly before.
        return now - _CLOCK_TOLERANCE if self._deletion.has_expired() else None
