"""Limit of the event streams of visitors: each holds a thread of the service."""

import threading
from collections import Counter
from typing import Final

from backend.services.chat.errors import TooManyStreams

_PER_VISITOR: Final = 2
# Share of the threads. Other visitors request their messages every few seconds.
_SHARE: Final = 4


class VisitorStreams:
    """Counts the open streams of this process.

    Args:
        threads: number of requests that the process handles at once.
    """

    def __init__(self, threads: int) -> None:
        self._max_streams = max(1, threads // _SHARE)
        self._by_visitor: Counter[str] = Counter()
        self._lock = threading.Lock()

    def acquire(self, visitor_id: str) -> None:
        """Count a stream. Raises TooManyStreams if the process or the visitor has too many."""
        with self._lock:
            is_full = self._by_visitor.total() >= self._max_streams
            if is_full or self._by_visitor[visitor_id] >= _PER_VISITOR:
                raise TooManyStreams
            self._by_visitor[visitor_id] += 1

    def release(self, visitor_id: str) -> None:
        with self._lock:
            self._by_visitor[visitor_id] -= 1
            if self._by_visitor[visitor_id] <= 0:
                del self._by_visitor[visitor_id]
