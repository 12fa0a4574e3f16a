"""Limit of the requests that wait for a result in one process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class WaitSlots:
    """Limits the requests that wait for work which other threads or processes do.

    Each of them holds a server thread. Half of the threads stay free for other requests.

    Args:
        threads: number of requests that the process handles at once.
    """

    def __init__(self, threads: int) -> None:
        self._slots = threading.BoundedSemaphore(max(1, threads // 2))

    def acquire_slot(self) -> bool:
        """Acquire a slot without waiting. Returns False if none is free."""
        return self._slots.acquire(blocking=False)

    def release_slot(self) -> None:
        self._slots.release()

    @contextmanager
    def limit_wait(self, seconds: float) -> Iterator[float]:
        """Hold a slot inside the `with` block, and return the seconds that the request may wait.

        They are 0 if no slot is free.
        """
        if seconds <= 0 or not self.acquire_slot():
            yield 0.0
            return
        try:
            yield seconds
        finally:
            self.release_slot()
