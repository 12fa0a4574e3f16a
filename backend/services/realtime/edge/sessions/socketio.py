"""Socket.IO, protocol version 5 over Engine.IO 4, on WebSockets only.

    client: emit("subscribe", topic, {epoch, offset}?, ack)    emit("unsubscribe", topic, ack)
    server: emit("publication", topic, data, {epoch, offset})  emit("lost", topic)

The acknowledgement of `subscribe` is `{epoch, offset, recovered}` or `{error: {code, message}}`.
Missed publications are emitted before it.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from backend.security import HttpError, Principal
from backend.security.authentication import Credentials
from backend.services.realtime.domain.topics import (
    Topic,
    TopicForbidden,
    UnknownTopic,
    resolve_topic,
)
from backend.services.realtime.edge.encoders import encode_socket_io
from backend.services.realtime.edge.frames import encode_text_frame
from backend.services.realtime.edge.sessions.commands import (
    ConnectRequest,
    StreamPosition,
)
from backend.services.realtime.edge.websocket import WebSocket
from backend.services.realtime.errors import CloseReason, ReplyError
from backend.services.realtime.model import BrokerUnavailable, Position, Replay

if TYPE_CHECKING:
    from backend.services.realtime.domain.hub import Stream
    from backend.services.realtime.edge.server import RealtimeServer

_PING = encode_text_frame(b"2")
_PING_TIMEOUT_MILLISECONDS = 20_000
# Engine.IO message, Socket.IO packet type, namespace, id of the acknowledgement, JSON.
_PACKET = re.compile(r"4([0-6])(?:(/[^,]{0,64}),?)?([0-9]{1,15})?(.*)", re.DOTALL | re.ASCII)
_CONNECT, _DISCONNECT, _EVENT, _ACK, _CONNECT_ERROR = "0", "1", "2", "3", "4"


class SocketIoSession(WebSocket):
    """A client of Socket.IO."""

    __slots__ = ("_is_connected", "_pending", "_topics")

    encoder = staticmethod(encode_socket_io)

    def __init__(self, server: RealtimeServer, principal: Principal | None) -> None:
        super().__init__(server, principal)
        self._topics: dict[str, Topic] = {}
        self._pending: frozenset[str] = frozenset()
        self._is_connected = False

    # WebSocket

    def opened(self) -> None:
        self.client_id = uuid.uuid4().hex
        handshake = {
            "sid": self.client_id,
            "upgrades": [],
            "pingInterval": self.server.limits.ping_seconds * 1000,
            "pingTimeout": _PING_TIMEOUT_MILLISECONDS,
            "maxPayload": self.server.limits.message_bytes,
        }
        self.send_text("0" + json.dumps(handshake))

    def message_received(self, message: str) -> None:
        if message == "3":
            self.is_pong_awaited = False
            return
        if message == "1":
            self.close(CloseReason.CLIENT_LEFT)
            return
        match = _PACKET.fullmatch(message)
        if match is None:
            self.close(CloseReason.BAD_REQUEST)
            return
        kind, namespace, ack_id, text = match.groups()
        if namespace not in (None, "/"):
            self.send_text(f'44{namespace},{{"message":"Invalid namespace"}}')
        elif kind == _DISCONNECT:
            self.close(CloseReason.CLIENT_LEFT)
        elif kind == _CONNECT:
            self._connect(text)
        elif kind == _EVENT and self._is_connected:
            self._event_received(ack_id, text)
        elif kind != _ACK:
            self.close(CloseReason.BAD_REQUEST)

    def send_ping(self) -> None:
        self.is_pong_awaited = True
        self.transport.write(_PING)

    def closed(self) -> None:
        for topic in self._topics.values():
            self.server.hub.unsubscribe(topic, self)
        self._topics = {}

    # Subscriber

    def deliver(self, frame: bytes, stream: Stream) -> None:  # noqa: ARG002
        self.write(frame)

    def stream_lost(self, stream: Stream) -> None:
        self._topics.pop(stream.topic.name, None)
        self.send_text(f'42["lost",{json.dumps(stream.topic.name)}]')

    # Packets

    def _connect(self, text: str) -> None:
        request = _parse_auth(text)
        if request is None or self._is_connected:
            self.close(CloseReason.BAD_REQUEST)
        elif request.token:
            self.server.authenticate(Credentials(f"Bearer {request.token}"), self._verified)
        elif self.principal is None:
            self._reject("unauthorized")
        else:
            self._accept()

    def _verified(self, result: Principal | HttpError) -> None:
        if self.ended or self._is_connected:
            return
        if isinstance(result, HttpError):
            self._reject("temporary" if result.code == 503 else "unauthorized")
        elif self.principal is None:
            if self.authenticated(result):
                self._accept()
        elif self.principal.session_id == result.session_id:
            self._accept()
        else:
            self._reject("unauthorized")

    def _accept(self) -> None:
        self._is_connected = True
        self.send_text("40" + json.dumps({"sid": uuid.uuid4().hex}))
        self.server.start_pings(self)

    def _reject(self, message: str) -> None:
        self.send_text("44" + json.dumps({"message": message}))
        self.close(CloseReason.INVALID_TOKEN)

    def _event_received(self, ack_id: str | None, text: str) -> None:
        arguments = _parse_arguments(text)
        if arguments is None:
            self.close(CloseReason.BAD_REQUEST)
        elif not self.accept_command():
            self._acknowledge_error(ack_id, ReplyError.TOO_MANY_REQUESTS)
        elif len(arguments) < 2 or not isinstance(arguments[1], str):
            self._acknowledge_error(ack_id, ReplyError.BAD_REQUEST)
        elif arguments[0] == "subscribe":
            self._subscribe(ack_id, arguments[1], arguments[2] if len(arguments) > 2 else None)
        elif arguments[0] == "unsubscribe":
            topic = self._topics.pop(arguments[1], None)
            if topic is not None:
                self.server.hub.unsubscribe(topic, self)
            self._acknowledge(ack_id, {})
        else:
            self._acknowledge_error(ack_id, ReplyError.METHOD_NOT_FOUND)

    def _subscribe(self, ack_id: str | None, name: str, since: object) -> None:
        assert self.principal is not None  # noqa: S101 - connected clients are authenticated
        position = None
        try:
            if since is not None:
                parsed = StreamPosition.model_validate(since)
                position = Position(parsed.epoch, parsed.offset)
            topic = resolve_topic(name, self.principal)
        except ValidationError:
            self._acknowledge_error(ack_id, ReplyError.BAD_REQUEST)
        except UnknownTopic:
            self._acknowledge_error(ack_id, ReplyError.UNKNOWN_CHANNEL)
        except TopicForbidden:
            self._acknowledge_error(ack_id, ReplyError.PERMISSION_DENIED)
        else:
            if name in self._topics or name in self._pending:
                self._acknowledge_error(ack_id, ReplyError.ALREADY_SUBSCRIBED)
            elif len(self._topics) + len(self._pending) >= self.server.limits.subscriptions:
                self._acknowledge_error(ack_id, ReplyError.LIMIT_EXCEEDED)
            else:
                self._pending |= {name}
                self.server.create_task(self._join(ack_id, topic, position))

    async def _join(self, ack_id: str | None, topic: Topic, since: Position | None) -> None:
        def joined(replay: Replay) -> None:
            if self.ended:
                return
            self._topics[topic.name] = topic
            for publication in replay.publications:
                self.write(encode_socket_io(topic.name, replay.position, publication))
            result: dict[str, Any] = replay.position._asdict()
            if since is not None:
                result["recovered"] = replay.recovered
            self._acknowledge(ack_id, result)

        try:
            await self.server.hub.subscribe(topic, self, since, joined)
            if self.ended:
                self.server.hub.unsubscribe(topic, self)
        except BrokerUnavailable:
            self._acknowledge_error(ack_id, ReplyError.INTERNAL)
        finally:
            self._pending -= {topic.name}

    def _acknowledge(self, ack_id: str | None, result: dict[str, Any]) -> None:
        if ack_id is not None and not self.ended:
            self.send_text(f"43{ack_id}{json.dumps([result])}")

    def _acknowledge_error(self, ack_id: str | None, error: ReplyError) -> None:
        code, message, _ = error.value
        self._acknowledge(ack_id, {"error": {"code": code, "message": message}})


def _parse_auth(text: str) -> ConnectRequest | None:
    try:
        return ConnectRequest.model_validate_json(text or "{}")
    except ValidationError:
        return None


def _parse_arguments(text: str) -> list[Any] | None:
    """Return the name and the arguments of an event, or None if they are malformed."""
    try:
        arguments = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, list) and arguments else None
