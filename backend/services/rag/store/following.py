"""Things kept in memory for each collection, brought up to date before they are used."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    def __len__(self) -> int: ...


T = TypeVar("T", bound=Sized)
# From the thing as it is and the version it stands at (neither for the first time) to the thing
# as it is now and the version that is.
Catch = Callable[[str, T | None, int], tuple[T, int]]


@dataclass(slots=True)
class _Held(Generic[T]):
    thing: T | None = None
    version: int = -1
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return 0 if self.thing is None else len(self.thing)


class Following(Generic[T]):
    """One thing for each of the collections asked last, of a length of *most* in all."""

    def __init__(self, catch: Catch[T], most: int) -> None:
        self._catch = catch
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held[T]] = OrderedDict()

    @contextmanager
    def at(self, collection_id: str, version: int) -> Iterator[T]:
        """The thing as it stands at *version* or later, to this caller alone."""
        with self._lock:
            held = self._held.setdefault(collection_id, _Held())
            self._held.move_to_end(collection_id)
        with held.lock:
            if held.thing is None or held.version < version:
                held.thing, held.version = self._catch(collection_id, held.thing, held.version)
            yield held.thing
        self._make_room(collection_id)

    def _make_room(self, but: str) -> None:
        with self._lock:
            total = sum(map(len, self._held.values()))
            for collection_id in [each for each in self._held if each != but]:
                if total <= self._most:
                    return
                total -= len(self._held.pop(collection_id))
