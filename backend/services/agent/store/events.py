"""The events of each conversation's last run, for readers whose connection broke.

They are kept in Redis, where every worker finds them, or else in this process. Both forget: who
comes later gets the answer from its conversation.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, Protocol

from redis import Redis
from redis.exceptions import RedisError

from backend.chassis.observability.tracing import standing
from backend.security.redis import connect, key

_log = logging.getLogger(__name__)

_KEPT_SECONDS: Final = 3600
_MOST_OF_A_RUN: Final = 40_000
_MOST_IN_MEMORY: Final = 100_000
_READ_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Piece:
    """One event; `data` is JSON. A run's pieces are numbered from 1."""

    number: int
    name: str
    data: str


class Recording(Protocol):
    """Keeps the pieces of one run; it never fails, it may forget."""

    def add(self, piece: Piece) -> None: ...


class Events(Protocol):
    """The pieces of runs, by their conversations."""

    def record(self, conversation_id: str, run_id: str) -> Recording:
        """Begin to keep this run's pieces, in place of an earlier run's."""

    def after(self, conversation_id: str, run_id: str, number: int) -> Sequence[Piece]:
        """What is kept of this run's pieces behind *number*, without gaps, in order."""

    def forget(self, conversation_id: str) -> None:
        """Keep nothing of the conversation any more."""


class RedisEvents:
    """One stream for each conversation. A server that is silent costs a reader nothing but ease."""

    def __init__(self, url: str) -> None:
        self._redis = connect(url)

    def record(self, conversation_id: str, run_id: str) -> Recording:
        return _RedisRecording(self._redis, _key(conversation_id), run_id)

    def after(self, conversation_id: str, run_id: str, number: int) -> Sequence[Piece]:
        try:
            found: Any = self._redis.xrange(
                _key(conversation_id), f"({number}-0", count=_READ_AT_ONCE
            )
        except RedisError as error:
            _log.warning("events cannot be read: %s", error)
            return []
        pieces = [
            Piece(int(entry.partition("-")[0]), fields["name"], fields["data"])
            for entry, fields in found
            if fields["run"] == run_id
        ]
        return _without_gaps(pieces, number)

    def forget(self, conversation_id: str) -> None:
        try:
            self._redis.delete(_key(conversation_id))
        except RedisError as error:
            _log.warning("events of a conversation stay until they expire: %s", error)


class _RedisRecording:
    def __init__(self, redis: Redis, key: str, run_id: str) -> None:
        self._redis = redis
        self._key = key
        self._run_id = run_id
        self._lost = False

    def add(self, piece: Piece) -> None:
        # After one failure no more is tried: each would hold the answer up for its timeout.
        if self._lost:
            return
        try:
            with standing(None):  # a span for each word of an answer would hide all others
                self._add(piece)
        except RedisError as error:
            self._lost = True
            _log.warning("events of a run are not kept: %s", error)

    def _add(self, piece: Piece) -> None:
        fields: dict[Any, Any] = {"run": self._run_id, "name": piece.name, "data": piece.data}
        entry = f"{piece.number}-0"
        if piece.number > 1:
            # A stream that was deleted with its conversation must not come back.
            self._redis.xadd(
                self._key, fields, entry, maxlen=_MOST_OF_A_RUN, approximate=True, nomkstream=True
            )
            return
        begun = self._redis.pipeline()
        begun.delete(self._key)
        begun.xadd(self._key, fields, entry)
        begun.expire(self._key, _KEPT_SECONDS)
        begun.execute()


class LocalEvents:
    """The same within one process; the oldest are forgotten first."""

    def __init__(self, most: int = _MOST_IN_MEMORY) -> None:
        self._most = most
        self._count = 0
        self._kept: OrderedDict[str, _LocalRecording] = OrderedDict()
        self._lock = Lock()

    def record(self, conversation_id: str, run_id: str) -> Recording:
        self.forget(conversation_id)
        recording = _LocalRecording(self, conversation_id, run_id)
        with self._lock:
            self._kept[conversation_id] = recording
        return recording

    def after(self, conversation_id: str, run_id: str, number: int) -> Sequence[Piece]:
        with self._lock:
            recording = self._kept.get(conversation_id)
            if recording is None or recording.run_id != run_id:
                return []
            return recording.pieces[number:]

    def forget(self, conversation_id: str) -> None:
        with self._lock:
            if (gone := self._kept.pop(conversation_id, None)) is not None:
                self._count -= len(gone.pieces)

    def take(self, recording: "_LocalRecording", piece: Piece) -> None:
        """Keep *piece*, unless its recording has been forgotten."""
        with self._lock:
            if self._kept.get(recording.conversation_id) is not recording:
                return
            recording.pieces.append(piece)
            self._count += 1
            while self._count > self._most:
                _, oldest = self._kept.popitem(last=False)
                self._count -= len(oldest.pieces)


class _LocalRecording:
    def __init__(self, events: LocalEvents, conversation_id: str, run_id: str) -> None:
        self._events = events
        self.conversation_id = conversation_id
        self.run_id = run_id
        self.pieces: list[Piece] = []

    def add(self, piece: Piece) -> None:
        self._events.take(self, piece)


def open_events(redis_url: str | None) -> Events:
    """Where events are kept."""
    return LocalEvents() if redis_url is None else RedisEvents(redis_url)


def _without_gaps(pieces: Sequence[Piece], number: int) -> Sequence[Piece]:
    whole = 0
    for piece in pieces:
        if piece.number != number + whole + 1:
            break
        whole += 1
    return pieces[:whole]


def _key(conversation_id: str) -> str:
    return key("agent", "events", conversation_id)
