"""Cache of one in-memory value per collection, refreshed to a requested version."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    def __len__(self) -> int: ...


T = TypeVar("T", bound=Sized)
# Called with the collection id, the cached value and its version (None and -1 without a cached
# value). Returns the current value and its version.
Refresh = Callable[[str, T | None, int], tuple[T, int]]


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T | None = None
    version: int = -1
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return 0 if self.value is None else len(self.value)


class VersionedCache(Generic[T]):
    """Least-recently-used cache of values by collection.

    Args:
        refresh: updates or creates a value.
        max_size: maximum sum of the lengths of all values. The value in use may exceed it.
    """

    def __init__(self, refresh: Refresh[T], max_size: int) -> None:
        self._refresh = refresh
        self._max_size = max_size
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()

    @contextmanager
    def get(self, collection_id: str, version: int) -> Iterator[T]:
        """Yield the value at *version* or newer. The caller holds its lock in the block."""
        with self._lock:
            entry = self._entries.setdefault(collection_id, _Entry())
            self._entries.move_to_end(collection_id)
        with entry.lock:
            if entry.value is None or entry.version < version:
                entry.value, entry.version = self._refresh(
                    collection_id, entry.value, entry.version
                )
            yield entry.value
        self._evict_others(collection_id)

    def _evict_others(self, used_id: str) -> None:
        """Evict least recently used entries except *used_id* until the cache fits *max_size*."""
        with self._lock:
            total = sum(map(len, self._entries.values()))
            for collection_id in [other for other in self._entries if other != used_id]:
                if total <= self._max_size:
                    return
                total -= len(self._entries.pop(collection_id))
