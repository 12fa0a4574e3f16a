"""Calls of a KMS command, which are slow and can fail for some time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, TypeVar

from backend.chassis.encryption import MasterKeyError
from backend.security.expiring_cache import ExpiringCache

T = TypeVar("T")

# After a failure, the command is not run for the same key for this time.
_RETRY_SECONDS: Final = 5.0
_MAX_FAILURES: Final = 1000


class KmsCalls:
    """Runs the command for one thread after another, and not at once after a failure.

    Otherwise each request would wait for a KMS that does not respond.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Locks by key id, while a thread is in a block of `wait_for_others`.
        self._running: dict[str, threading.Lock] = {}
        # The messages of failures by key id.
        self._failures: ExpiringCache[str, str] = ExpiringCache(_MAX_FAILURES, monotonic)

    @contextmanager
    def wait_for_others(self, key_id: str) -> Iterator[None]:
        """Let one thread after another be in such blocks for *key_id*."""
        with self._lock:
            running = self._running.setdefault(key_id, threading.Lock())
        with running:
            try:
                yield
            finally:
                self._running.pop(key_id, None)

    def call(self, key_id: str, run: Callable[[], T]) -> T:
        """Return the result of *run*, which is not called if it has failed a moment ago.

        Raises:
            MasterKeyError: the command fails, or has failed for *key_id*.
        """
        failure = self._failures.get(key_id)
        if failure is not None:
            raise MasterKeyError(failure)
        try:
            return run()
        except MasterKeyError as error:
            self._failures.set(key_id, str(error), monotonic() + _RETRY_SECONDS)
            raise
