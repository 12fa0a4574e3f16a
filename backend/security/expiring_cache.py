"""A cache of a bounded number of values, each with a time until which it is valid."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ExpiringCache(Generic[K, V]):
    """Keeps values until they expire; if there are too many, the oldest is removed. Thread-safe.

    Args:
        max_entries: number of values that are kept.
        clock: returns seconds, such as `time.monotonic`.
    """

    def __init__(self, max_entries: int, clock: Callable[[], float]) -> None:
        self._max_entries = max_entries
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value of *key*, or None if there is none that is valid."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and self._clock() < entry[0] else None

    def set(self, key: K, value: V, until: float) -> None:
        """Store *value*, which is valid before the time *until* of the clock."""
        with self._lock:
            self._entries[key] = until, value
            self._entries.move_to_end(key)
            if len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)

    def remove(self, key: K) -> None:
        """Remove the value of *key*, if there is one."""
        with self._lock:
            self._entries.pop(key, None)
