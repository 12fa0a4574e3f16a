"""The job that deletes the agent's sessions of deleted conversations."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from backend.services.chat.domain.ended_sessions import EndedSessions

_log = logging.getLogger(__name__)
_RETRY: Final = timedelta(minutes=1)
_CLOCK_TOLERANCE: Final = timedelta(seconds=1)


class EndedSessionsJob:
    """Deletes sessions in batches, and tries again a minute after a failure."""

    name = "ended sessions"
    threads = 1

    def __init__(self, sessions: EndedSessions, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._now = now
        self._retry_at: datetime | None = None

    def has_due_work(self) -> bool:
        return self._sessions.get_due_time() is not None

    def run_once(self) -> bool:
        if self._retry_at is not None and self._now() < self._retry_at:
            return False
        self._retry_at = None
        error = self._sessions.delete_next()
        if error is not None:
            _log.warning("the agent has not deleted sessions of deleted conversations: %s", error)
            self._retry_at = self._now() + _RETRY
            return False
        return self._sessions.get_due_time() is not None

    def get_next_due_time(self) -> datetime | None:
        due = self._sessions.get_due_time()
        if due is None:
            return None
        # Other processes do not know the time of the retry. For them the work is due now, and not
        # overdue since the end of the session. The caller has read the clock shortly before.
        return max(due, self._retry_at or self._now() - _CLOCK_TOLERANCE)
