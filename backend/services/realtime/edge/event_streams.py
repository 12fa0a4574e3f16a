"""Server-sent events: one response that never ends, with the publications of one or more topics."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from backend.chassis.web.asyncio_server import responses
from backend.chassis.web.asyncio_server.errors import ResponseError
from backend.security import Principal
from backend.security.http_errors import HttpError, unauthenticated
from backend.services.realtime.domain.hub import Encoder
from backend.services.realtime.domain.positions import parse_position
from backend.services.realtime.domain.topics import (
    MAX_TOPIC_CHARACTERS,
    Topic,
    TopicForbidden,
    UnknownTopic,
    resolve_topic,
)
from backend.services.realtime.edge.encoders import LOST_EVENT, encode_sse, format_sse
from backend.services.realtime.edge.handshake import authenticate
from backend.services.realtime.edge.websocket import limit_send_buffers
from backend.services.realtime.errors import (
    CloseReason,
    DeliveryUnavailable,
    Draining,
    InvalidPosition,
    InvalidTopics,
    TooManySockets,
    TopicNotAllowed,
    TopicNotFound,
)
from backend.services.realtime.model import (
    BrokerUnavailable,
    Position,
    Publication,
    Replay,
)

if TYPE_CHECKING:
    from backend.services.realtime.domain.hub import Stream
    from backend.services.realtime.edge.http_connection import (
        RealtimeHttpConnection,
        RealtimeRequest,
    )
    from backend.services.realtime.edge.server import RealtimeServer

MAX_TOPICS = 8
HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = b": keep-alive\n\n"
_TIMEOUT_SECONDS = 10.0
_MAX_POSITION_CHARACTERS = 4096
_NEVER = float("inf")


class EventStream:
    """Answers one request with an event stream."""

    def __init__(
        self,
        server: RealtimeServer,
        client: RealtimeHttpConnection,
        request: RealtimeRequest,
        request_id: str,
        path: str,
        query: Mapping[str, str],
    ) -> None:
        self._server = server
        self._client = client
        self._request = request
        self._request_id = request_id
        self._path = path
        self._query = query
        self.principal: Principal | None = None
        self.expires_at = 0.0
        self.stalled_at = 0.0
        self.stalled_bytes = 0
        self._topics: list[Topic] = []
        self._positions: dict[str, Position] = {}
        # Events of the first topics until all of them are subscribed.
        self._early: list[bytes] = []
        self._is_open = False
        self._ended = False
        self._next_heartbeat = 0.0
        self.encoder: Encoder = encode_sse

    # RequestHandler

    def start(self) -> None:
        if self._request.method != "GET":
            self._reject(
                HttpError(
                    405,
                    "method_not_allowed",
                    "Method not allowed",
                    "Use one of the methods of this path: GET.",
                    headers={"Allow": "GET"},
                )
            )
        elif self._server.draining:
            self._reject(Draining())
        elif self._server.is_full:
            self._reject(TooManySockets())
        else:
            self._client.set_timeout(_TIMEOUT_SECONDS)
            authenticate(self._server, self._request, self._query, self._authenticated)

    def receive_body(self, data: bytes, ended: bool) -> None:
        """Ignore the body of the request."""

    def client_disconnected(self) -> None:
        self._end()

    def handle_timeout(self, now: float) -> None:  # noqa: ARG002
        self._end()
        self._client.abort_response()

    def pause_response(self) -> None:
        self.stalled_at = self._server.loop.time()
        self.stalled_bytes = self._client.transport.get_write_buffer_size()
        self._server.stalled.add(self)

    def resume_response(self) -> None:
        self.stalled_at = 0.0
        self._server.stalled.discard(self)

    # Start

    def _authenticated(self, result: Principal | ResponseError | None) -> None:
        if self._ended:
            return
        if not isinstance(result, Principal):
            self._reject(
                result
                or unauthenticated(
                    "not_authenticated", "Send credentials in a header or as a ticket."
                )
            )
            return
        try:
            self._topics = [resolve_topic(name, result) for name in self._parse_topics()]
            since = self._parse_positions()
        except UnknownTopic:
            self._reject(TopicNotFound())
        except TopicForbidden:
            self._reject(TopicNotAllowed())
        except (InvalidTopics, InvalidPosition) as error:
            self._reject(error)
        else:
            self._server.create_task(self._open(result, since))

    def _parse_topics(self) -> list[str]:
        if self._path != "/sse":
            return [unquote(self._path.removeprefix("/sse/"))]
        text = self._query.get("topics", "")
        names = [name for name in text.split(",") if name]
        if not 0 < len(names) <= MAX_TOPICS or len(set(names)) != len(names):
            raise InvalidTopics(MAX_TOPICS)
        if any(len(name) > MAX_TOPIC_CHARACTERS for name in names):
            raise InvalidTopics(MAX_TOPICS)
        return names

    def _parse_positions(self) -> dict[str, Position]:
        """Return the positions to resume from, by topic."""
        last = self._request.headers.get("last-event-id") or self._query.get("since")
        if not last:
            return {}
        if len(self._topics) == 1:
            position = parse_position(last)
            return {} if position is None else {self._topics[0].name: position}
        return decode_positions(last)

    async def _open(self, principal: Principal, since: Mapping[str, Position]) -> None:
        if len(self._topics) > 1:
            self.encoder = self._encode_with_all_positions
        self.principal = principal
        if not self._server.register(self, principal):
            self.principal = None
            self._reject(TooManySockets())
            return
        try:
            for topic in self._topics:
                position = since.get(topic.name)
                # Every topic resumes where it was, also one that has just been added.
                await self._server.hub.subscribe(
                    topic, self, position, self._create_joined(topic, position)
                )
        except BrokerUnavailable:
            if self._is_open:
                self.close(CloseReason.RESTART)
            elif not self._ended:
                self._reject(DeliveryUnavailable())
        if self._ended:
            self._leave()

    def _create_joined(self, topic: Topic, since: Position | None) -> Callable[[Replay], None]:
        def joined(replay: Replay) -> None:
            if self._ended:
                return
            self._positions[topic.name] = since if since and replay.recovered else replay.position
            if since is not None and not replay.recovered:
                self._write(LOST_EVENT)
            for publication in replay.publications:
                frame = self.encoder(topic.name, replay.position, publication)
                self._write(frame)
            self._positions[topic.name] = replay.position
            if len(self._positions) == len(self._topics):
                self._send_head()

        return joined

    def _send_head(self) -> None:
        """Start the response: from now on, no publication of any topic is missed."""
        if self._is_open:
            return
        self._is_open = True
        self._client.deadline = _NEVER
        limit_send_buffers(self._client.transport)
        self._next_heartbeat = self._server.loop.time() + HEARTBEAT_SECONDS
        self._server.event_streams.add(self)
        # The end of the connection is the end of the stream.
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
            f"X-Accel-Buffering: no\r\nX-Request-ID: {self._request_id}\r\n"
            f"{responses.SECURITY_LINES}{self._server.get_date_header()}Connection: close\r\n\r\n"
        )
        early, self._early = self._early, []
        self._client.write(head.encode("latin-1") + b"".join(early))

    # Subscriber

    def deliver(self, frame: bytes, stream: Stream) -> None:  # noqa: ARG002
        self._write(frame)

    def stream_lost(self, stream: Stream) -> None:
        if not self._ended:
            self._write(LOST_EVENT)
            self._server.create_task(self._subscribe_again(stream.topic))

    async def _subscribe_again(self, topic: Topic) -> None:
        try:
            await self._server.hub.subscribe(topic, self, None, self._create_joined(topic, None))
        except BrokerUnavailable:
            self.close(CloseReason.RESTART)
        if self._ended:
            self._leave()

    def _encode_with_all_positions(
        self, name: str, position: Position, publication: Publication
    ) -> bytes:
        """Encode an event whose id contains the positions of all topics."""
        if not publication.offset:
            return format_sse(name, None, publication)
        self._positions[name] = Position(position.epoch, publication.offset)
        return format_sse(name, encode_positions(self._positions), publication)

    # Writing and end

    def _write(self, data: bytes) -> None:
        if self._ended:
            return
        if not self._is_open:
            self._early.append(data)
            return
        transport = self._client.transport
        transport.write(data)
        if self.stalled_at and transport.get_write_buffer_size() > self._server.limits.queued_bytes:
            self._abort(CloseReason.SLOW)

    def check_stalled(self, now: float) -> None:
        """Disconnect a client that has read nothing for the allowed time."""
        size = self._client.transport.get_write_buffer_size()
        if size < self.stalled_bytes:
            self.stalled_at = now
        elif now - self.stalled_at >= self._server.limits.stall_seconds:
            self._abort(CloseReason.SLOW)
        self.stalled_bytes = size

    def tick(self, now: float) -> None:
        """Send a heartbeat when it is due, and end the stream after its lifetime."""
        if now >= self.expires_at:
            self.close(CloseReason.EXPIRED)
        elif now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_SECONDS
            self._write(_HEARTBEAT)

    def end_session(self) -> None:
        self.close(CloseReason.SESSION_ENDED)

    def close(self, reason: CloseReason) -> None:
        """End the response. The client connects again by itself."""
        if not self._ended:
            self._server.count_close(reason)
            self._end()
            self._client.finish_response(keep_alive=False)

    def _abort(self, reason: CloseReason) -> None:
        self._server.count_close(reason)
        self._end()
        self._client.abort_response()

    def _reject(self, error: ResponseError) -> None:
        self._end()
        self._client.send_error(error, self._request_id)

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._server.event_streams.discard(self)
        self._server.stalled.discard(self)
        self._server.unregister(self)
        self._leave()

    def _leave(self) -> None:
        for topic in self._topics:
            self._server.hub.unsubscribe(topic, self)


def encode_positions(positions: Mapping[str, Position]) -> str:
    """Return positions by topic as one opaque event id."""
    text = json.dumps({name: str(position) for name, position in positions.items()})
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode_positions(text: str) -> dict[str, Position]:
    """Return the positions in an event id.

    Raises:
        InvalidPosition: *text* is no such id.
    """
    if len(text) > _MAX_POSITION_CHARACTERS:
        raise InvalidPosition
    try:
        fields = json.loads(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidPosition from error
    if not isinstance(fields, dict) or len(fields) > MAX_TOPICS:
        raise InvalidPosition
    positions = {}
    for name, value in fields.items():
        position = parse_position(value) if isinstance(value, str) else None
        if position is None:
            raise InvalidPosition
        positions[name] = position
    return positions
