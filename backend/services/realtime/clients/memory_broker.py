"""A broker in this process, for an installation without a Redis-compatible server."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backend.chassis.messaging.topics import Retention
from backend.services.realtime.model import (
    MessageCallback,
    NewPublication,
    Position,
    PresenceEntry,
    Publication,
    Replay,
)

_MAX_STREAMS = 10_000


@dataclass
class _StoredStream:
    position: Position
    expires_at: float = 0.0
    entries: deque[Publication] = field(default_factory=deque)
    latest: dict[str, Publication] = field(default_factory=dict)


class MemoryBroker:
    """Stores publications in memory; they are lost when the process ends.

    Args:
        clock: returns monotonic seconds.
    """

    is_shared = False

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._streams: dict[str, _StoredStream] = {}
        self._subscribed: set[str] = set()
        self._tickets: dict[str, tuple[float, str]] = {}
        self._presence: dict[str, dict[str, tuple[float, PresenceEntry]]] = {}
        self._on_message: MessageCallback | None = None

    def start(
        self,
        on_message: MessageCallback,
        on_revocation: Callable[[str], None],  # noqa: ARG002 - no other process revokes sessions
        on_lost: Callable[[], None],  # noqa: ARG002
        on_connected: Callable[[], None],
    ) -> None:
        self._on_message = on_message
        on_connected()

    async def stop(self) -> None:
        self._streams.clear()

    async def publish(
        self, stream: str, data: str, retention: Retention | None, key: str = ""
    ) -> Position:
        if retention is None:
            stored = self._streams.get(stream)
            position = stored.position if stored else Position("", 0)
            self._distribute(stream, position.epoch, Publication(0, data))
            return Position(position.epoch, 0)
        stored = self._get_stream(stream)
        stored.position = Position(stored.position.epoch, stored.position.offset + 1)
        stored.expires_at = self._clock() + retention.seconds
        publication = Publication(stored.position.offset, data)
        if retention.by_key:
            stored.latest.pop(key, None)
            stored.latest[key] = publication
            while len(stored.latest) > retention.max_entries:
                del stored.latest[next(iter(stored.latest))]
        else:
            stored.entries.append(publication)
            while len(stored.entries) > retention.max_entries:
                stored.entries.popleft()
        self._distribute(stream, stored.position.epoch, publication)
        return stored.position

    async def publish_all(self, publications: Sequence[NewPublication]) -> None:
        for each in publications:
            await self.publish(each.stream, each.data, each.retention, each.key)

    async def read(
        self, stream: str, since: Position | None, limit: int, retention: Retention
    ) -> Replay:
        stored = self._get_stream(stream)
        position = stored.position
        if since is None or since.epoch != position.epoch or since.offset > position.offset:
            return Replay(position, False, ())
        if retention.by_key:
            return Replay(
                position, True, [p for p in stored.latest.values() if p.offset > since.offset]
            )
        entries = [p for p in stored.entries if p.offset > since.offset]
        if position.offset - since.offset != len(entries) or len(entries) > limit:
            return Replay(position, False, ())
        return Replay(position, True, entries)

    async def read_all(self, stream: str, retention: Retention) -> Replay:
        stored = self._get_stream(stream)
        entries = stored.latest.values() if retention.by_key else stored.entries
        return Replay(stored.position, True, list(entries))

    async def subscribe(self, stream: str) -> None:
        self._subscribed.add(stream)

    async def unsubscribe(self, stream: str) -> None:
        self._subscribed.discard(stream)

    async def get_positions(self, streams: Sequence[str]) -> Sequence[Position | None]:
        stored = (self._streams.get(stream) for stream in streams)
        return [None if item is None else item.position for item in stored]

    async def add_presence(self, stream: str, entry: PresenceEntry, seconds: int) -> None:
        self._presence.setdefault(stream, {})[entry.client_id] = (self._clock() + seconds, entry)

    async def remove_presence(self, stream: str, client_id: str) -> None:
        entries = self._presence.get(stream, {})
        entries.pop(client_id, None)
        if not entries:
            self._presence.pop(stream, None)

    async def list_presence(self, stream: str, limit: int) -> Sequence[PresenceEntry]:
        now = self._clock()
        entries = self._presence.get(stream, {}).values()
        return [entry for until, entry in entries if until > now][:limit]

    async def put_ticket(self, ticket: str, value: str, seconds: int) -> None:
        now = self._clock()
        self._tickets = {name: item for name, item in self._tickets.items() if item[0] > now}
        self._tickets[ticket] = (now + seconds, value)

    async def take_ticket(self, ticket: str) -> str | None:
        until, value = self._tickets.pop(ticket, (0.0, ""))
        return value if until > self._clock() else None

    def _get_stream(self, name: str) -> _StoredStream:
        stored = self._streams.get(name)
        if stored is not None and stored.expires_at and self._clock() >= stored.expires_at:
            # The position stays, so that clients that have everything can resume.
            stored.entries.clear()
            stored.latest.clear()
            stored.expires_at = 0.0
        if stored is None:
            if len(self._streams) >= _MAX_STREAMS:
                self._drop_stream()
            stored = self._streams[name] = _StoredStream(Position(secrets.token_hex(4), 0))
        return stored

    def _drop_stream(self) -> None:
        unused = (name for name in self._streams if name not in self._subscribed)
        name = next(unused, None)
        if name is not None:
            del self._streams[name]

    def _distribute(self, stream: str, epoch: str, publication: Publication) -> None:
        if stream in self._subscribed and self._on_message is not None:
            self._on_message(stream, epoch, publication)
