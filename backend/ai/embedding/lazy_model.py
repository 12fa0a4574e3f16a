"""A model that is loaded with its first use and freed after minutes without use."""

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from backend import trim_heap
from backend.chassis.background import PeriodicTask

IDLE_SECONDS: Final = 300.0
_CHECKS_PER_PERIOD = 5

T = TypeVar("T")


class LazyModel(Generic[T]):
    """Holds a model, or another large object, while it is in use. Safe to share between threads.

    A thread that frees the model exists only while the model is loaded.

    Args:
        load: returns the model. Its exceptions are passed on by `get`.
        idle_seconds: the model is freed after this time without a call of `get`, and at most a
            fifth later. Threads that still use it keep it until they have finished.
    """

    def __init__(self, load: Callable[[], T], idle_seconds: float = IDLE_SECONDS) -> None:
        self._load = load
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._model: T | None = None
        self._used_at = 0.0

    def get(self) -> T:
        """Return the model, which is loaded if necessary. Keep the result for one call only."""
        with self._lock:
            self._used_at = time.monotonic()
            if self._model is None:
                self._model = self._load()
                self._start_idle_check()
            return self._model

    def _start_idle_check(self) -> None:
        def free_if_idle() -> None:
            with self._lock:
                if time.monotonic() - self._used_at < self._idle_seconds:
                    return
                self._model = None
                task.request_stop()
            trim_heap()

        interval_seconds = self._idle_seconds / _CHECKS_PER_PERIOD
        task = PeriodicTask("idle model", interval_seconds, free_if_idle, runs_at_start=False)
        task.start()
