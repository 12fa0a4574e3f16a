"""Subscriptions of this process, and delivery of publications to them without gaps or repeats.

Each stream with subscribers has one position in this process. A publication with the next offset is
delivered, an older one is dropped. After a gap or another epoch the missing publications are read
from the broker. If they are no longer stored, the subscribers are informed that they lost the
stream; they are never given a part of it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from backend.services.realtime.domain.topics import Topic
from backend.services.realtime.model import (
    Broker,
    BrokerUnavailable,
    Position,
    Publication,
    Replay,
)

POSITION_CHECK_SECONDS = 25.0
_MAX_BUFFERED_MESSAGES = 1000
_RETRY_SECONDS = 1.0
_log = logging.getLogger(__name__)

Encoder = Callable[[str, Position, Publication], bytes]
"""Encodes a publication (topic name, position, publication) for the clients of one protocol."""


class Subscriber(Protocol):
    """A subscription of one client to one or more topics."""

    @property
    def encoder(self) -> Encoder: ...

    def deliver(self, frame: bytes, stream: "Stream") -> None:
        """Send an encoded publication."""

    def stream_lost(self, stream: "Stream") -> None:
        """Publications were lost. The stream has no more subscribers."""


class Stream:
    """A stream with subscribers in this process.

    Attributes:
        position: the last delivered position; None until it was read from the broker.
        subscribers: subscribers by encoder, so that a publication is encoded once for each.
        joining: subscribers that have already received publications up to an offset after
            `position`.
        is_reading: publications may be missing, and a task reads them.
        reading_number: number of that task. Tasks with lower numbers end.
    """

    __slots__ = (
        "buffer",
        "is_reading",
        "joining",
        "position",
        "reading_number",
        "ready",
        "subscribers",
        "topic",
    )

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.position: Position | None = None
        self.subscribers: dict[Encoder, set[Subscriber]] = {}
        self.joining: dict[Subscriber, int] = {}
        self.buffer: list[tuple[str, Publication]] = []
        self.is_reading = False
        self.reading_number = 0
        self.ready: asyncio.Task[None] | None = None

    @property
    def is_empty(self) -> bool:
        return not self.subscribers and not self.joining

    def add(self, subscriber: Subscriber) -> None:
        self.subscribers.setdefault(subscriber.encoder, set()).add(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        self.joining.pop(subscriber, None)
        group = self.subscribers.get(subscriber.encoder)
        if group is not None:
            group.discard(subscriber)
            if not group:
                del self.subscribers[subscriber.encoder]

    def list_subscribers(self) -> list[Subscriber]:
        return [s for group in self.subscribers.values() for s in group] + list(self.joining)


class Hub:
    """All streams of this process.

    Args:
        broker: stores and distributes publications.
        create_task: runs a coroutine and holds a reference to its task.
    """

    def __init__(
        self, broker: Broker, create_task: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._broker = broker
        self._create_task = create_task
        self.streams: dict[str, Stream] = {}
        self._waiting: dict[str, int] = {}
        self.deliveries = 0
        self.publications = 0
        self.lost_streams = 0

    async def subscribe(
        self,
        topic: Topic,
        subscriber: Subscriber,
        since: Position | None,
        joined: Callable[[Replay], None],
    ) -> None:
        """Subscribe to *topic*. Call *joined* with the missed publications, then deliver new ones.

        No publication is delivered between the end of the replay and the first delivery, because
        *joined* is called in the same turn of the event loop in which the subscriber is added.

        Args:
            since: position of a client that resumes, or None to start at the current end.

        Raises:
            BrokerUnavailable: the broker does not respond. There is no subscription then.
        """
        name = topic.stream
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            stream = await self._open_stream(topic)
            replay = await self._read_up_to_date(stream, since)
            stream = self._require_same(stream)
            self._join(stream, subscriber, replay)
            joined(replay)
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name]
            self._drop_if_unused(name)

    def unsubscribe(self, topic: Topic, subscriber: Subscriber) -> None:
        stream = self.streams.get(topic.stream)
        if stream is not None:
            stream.remove(subscriber)
            self._drop_if_unused(topic.stream)

    def receive(self, name: str, epoch: str, publication: Publication) -> None:
        """Handle a publication that the broker distributes."""
        stream = self.streams.get(name)
        if stream is None:
            return
        if publication.offset == 0:
            if stream.position is not None:
                self._deliver(stream, stream.position, publication)
        elif stream.position is None or stream.is_reading:
            self._buffer(stream, epoch, publication)
        else:
            self._apply(stream, epoch, publication)

    def connection_lost(self) -> None:
        """Stop delivery until `recover` is called: publications may be missed."""
        for stream in self.streams.values():
            _next_reading(stream)

    async def recover(self) -> None:
        """Subscribe again to all streams and deliver what was missed."""
        for stream in list(self.streams.values()):
            self._start_task(stream, self._resume)

    async def check_positions(self) -> None:
        """Compare all positions with the broker's: a lost message would otherwise stay unnoticed
        until the next publication.
        """
        streams = [s for s in self.streams.values() if s.position and not s.is_reading]
        try:
            positions = await self._broker.get_positions([s.topic.stream for s in streams])
        except BrokerUnavailable:
            return
        for stream, position in zip(streams, positions, strict=True):
            if stream.position is None or stream.is_reading:
                continue
            known = stream.position
            if position is None or (position.epoch == known.epoch and position <= known):
                continue
            self._start_reading(stream)

    # Opening a stream

    async def _open_stream(self, topic: Topic) -> Stream:
        stream = self.streams.get(topic.stream)
        if stream is None:
            stream = self.streams[topic.stream] = Stream(topic)
            stream.ready = asyncio.get_running_loop().create_task(self._initialize(stream))
        if stream.ready is not None:
            await asyncio.shield(stream.ready)
        return stream

    async def _initialize(self, stream: Stream) -> None:
        """Subscribe first, then read the position: what arrives in between is buffered."""
        try:
            await self._broker.subscribe(stream.topic.stream)
            replay = await self._broker.read(
                stream.topic.stream, None, 0, stream.topic.kind.retention
            )
        except BaseException:
            if self.streams.get(stream.topic.stream) is stream:
                del self.streams[stream.topic.stream]
            raise
        stream.position = replay.position
        stream.ready = None
        self._apply_buffer(stream)

    async def _read_up_to_date(self, stream: Stream, since: Position | None) -> Replay:
        """Read the publications after *since*, at least up to the position of this process."""
        retention = stream.topic.kind.retention
        max_entries = 0 if since is None else retention.max_entries
        while True:
            position = stream.position
            if since is None and position is not None and not stream.is_reading:
                return Replay(position, False, ())
            # While missing publications are read, only the broker knows the current end.
            replay = await self._broker.read(stream.topic.stream, since, max_entries, retention)
            position = stream.position
            if position is None or replay.position.epoch != position.epoch:
                # Another epoch: the check below reads the stream again for all subscribers.
                if position is not None and not stream.is_reading:
                    self._start_reading(stream)
                raise BrokerUnavailable
            if replay.position.offset >= position.offset:
                return replay

    def _require_same(self, stream: Stream) -> Stream:
        """Return *stream* if it still exists; it is removed when publications were lost."""
        if self.streams.get(stream.topic.stream) is not stream:
            raise BrokerUnavailable
        return stream

    def _join(self, stream: Stream, subscriber: Subscriber, replay: Replay) -> None:
        position = stream.position
        if position is not None and replay.position.offset > position.offset:
            stream.joining[subscriber] = replay.position.offset
        else:
            stream.add(subscriber)

    def _drop_if_unused(self, name: str) -> None:
        stream = self.streams.get(name)
        if stream is not None and stream.is_empty and name not in self._waiting:
            del self.streams[name]
            self._create_task(self._unsubscribe(name))

    async def _unsubscribe(self, name: str) -> None:
        if name not in self.streams:
            with suppress(BrokerUnavailable):
                await self._broker.unsubscribe(name)
        if (stream := self.streams.get(name)) is not None:
            # A client has subscribed meanwhile: the broker may have seen its subscription before
            # the end of the previous one.
            self._start_task(stream, self._resume)

    # Delivery

    def _apply(self, stream: Stream, epoch: str, publication: Publication) -> None:
        position = stream.position
        assert position is not None  # noqa: S101 - callers check it
        if epoch == position.epoch:
            if publication.offset == position.offset + 1:
                stream.position = Position(epoch, publication.offset)
                self._deliver(stream, stream.position, publication)
                return
            if publication.offset <= position.offset:
                return
        self._buffer(stream, epoch, publication)
        self._start_reading(stream)

    def _deliver(self, stream: Stream, position: Position, publication: Publication) -> None:
        self.publications += 1
        name = stream.topic.name
        # Copies: a subscriber that is too slow is removed while it is delivered to.
        for encoder, group in tuple(stream.subscribers.items()):
            frame = encoder(name, position, publication)
            self.deliveries += len(group)
            for subscriber in tuple(group):
                subscriber.deliver(frame, stream)
        if stream.joining:
            self._deliver_to_joining(stream, position, publication)

    def _deliver_to_joining(
        self, stream: Stream, position: Position, publication: Publication
    ) -> None:
        for subscriber, offset in list(stream.joining.items()):
            if publication.offset == 0:
                frame = subscriber.encoder(stream.topic.name, position, publication)
                subscriber.deliver(frame, stream)
            elif position.offset >= offset:
                del stream.joining[subscriber]
                stream.add(subscriber)

    def _buffer(self, stream: Stream, epoch: str, publication: Publication) -> None:
        # If there are too many, the last ones are missing. They are read after a gap is noticed.
        if len(stream.buffer) < _MAX_BUFFERED_MESSAGES:
            stream.buffer.append((epoch, publication))

    def _apply_buffer(self, stream: Stream) -> None:
        buffer, stream.buffer = stream.buffer, []
        for index, (epoch, publication) in enumerate(buffer):
            self._apply(stream, epoch, publication)
            if stream.is_reading:
                stream.buffer += buffer[index + 1 :]
                return

    # Gaps

    def _start_reading(self, stream: Stream) -> None:
        if not stream.is_reading:
            self._start_task(stream, self._read_missing)

    def _start_task(
        self, stream: Stream, read: Callable[[Stream, int], Coroutine[Any, Any, None]]
    ) -> None:
        """Run *read* as the only task that reads publications of *stream*."""
        number = _next_reading(stream)

        async def run() -> None:
            try:
                await read(stream, number)
            except Exception:  # noqa: BLE001
                # Without this, publications would be buffered for ever.
                _log.exception("publications of %s cannot be read", stream.topic.name)
                if self._is_current(stream, number):
                    self._lose(stream)

        self._create_task(run())

    async def _resume(self, stream: Stream, number: int) -> None:
        """Subscribe again, then deliver what was missed."""
        if stream.ready is not None:
            # Without a position, nothing can be read. If this fails, the stream is removed.
            await asyncio.wait([stream.ready])
        while self._is_current(stream, number):
            try:
                await self._broker.subscribe(stream.topic.stream)
            except BrokerUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            await self._read_missing(stream, number)
            return

    async def _read_missing(self, stream: Stream, number: int) -> None:
        """Deliver the publications between the position of this process and the broker's."""
        retention = stream.topic.kind.retention
        while self._is_current(stream, number):
            try:
                replay = await self._broker.read(
                    stream.topic.stream, stream.position, retention.max_entries, retention
                )
            except BrokerUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if not self._is_current(stream, number):
                return
            if not replay.recovered:
                self._lose(stream)
                return
            for publication in replay.publications:
                stream.position = Position(replay.position.epoch, publication.offset)
                self._deliver(stream, stream.position, publication)
            stream.position = replay.position
            self._promote_joined(stream)
            stream.is_reading = False
            self._apply_buffer(stream)
            return

    def _is_current(self, stream: Stream, number: int) -> bool:
        return self.streams.get(stream.topic.stream) is stream and stream.reading_number == number

    def _promote_joined(self, stream: Stream) -> None:
        """Add subscribers whose replay is reached; latest streams replay only some offsets."""
        assert stream.position is not None  # noqa: S101 - set by the caller
        for subscriber, offset in list(stream.joining.items()):
            if stream.position.offset >= offset:
                del stream.joining[subscriber]
                stream.add(subscriber)

    def _lose(self, stream: Stream) -> None:
        _log.warning("publications of %s were lost: its clients resubscribe", stream.topic.name)
        self.lost_streams += 1
        del self.streams[stream.topic.stream]
        self._create_task(self._unsubscribe(stream.topic.stream))
        for subscriber in stream.list_subscribers():
            subscriber.stream_lost(stream)


def _next_reading(stream: Stream) -> int:
    """Buffer publications and end tasks that read. Returns the number of the next one."""
    stream.is_reading = True
    stream.reading_number += 1
    return stream.reading_number
