"""The bidirectional protocol: JSON commands and replies of Centrifuge's client protocol."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from backend import __version__
from backend.security.authentication import Credentials
from backend.security.http_errors import HttpError
from backend.services.realtime.domain.presence import PRESENCE_SECONDS, enter_topic
from backend.services.realtime.domain.publications import format_event, read_history
from backend.services.realtime.domain.topics import (
    Topic,
    TopicForbidden,
    UnknownTopic,
    resolve_topic,
)
from backend.services.realtime.edge.encoders import encode_centrifuge, format_publication
from backend.services.realtime.edge.frames import encode_text_frame
from backend.services.realtime.edge.sessions.commands import (
    Command,
    SubscribeRequest,
    parse_command,
    parse_typing,
)
from backend.services.realtime.edge.websocket import WebSocket
from backend.services.realtime.errors import (
    UNSUBSCRIBED_INSUFFICIENT,
    CloseReason,
    ReplyError,
)
from backend.services.realtime.model import (
    BrokerUnavailable,
    Position,
    PresenceEntry,
    Publication,
    Replay,
)

if TYPE_CHECKING:
    from backend.security import Principal
    from backend.services.realtime.domain.hub import Stream
    from backend.services.realtime.edge.server import RealtimeServer

_MAX_PRESENCE = 1000
_MAX_HISTORY = 1000
_TYPING_SECONDS = 1.0
_MAX_TYPING_CONVERSATIONS = 16
_NOTHING: frozenset[str] = frozenset()


class CentrifugeSession(WebSocket):
    """A client of the bidirectional protocol."""

    __slots__ = ("_connected", "_connected_at", "_early", "_pending", "_topics", "_typing_at")

    encoder = staticmethod(encode_centrifuge)

    def __init__(self, server: RealtimeServer, principal: Principal | None) -> None:
        super().__init__(server, principal)
        self._topics: dict[str, Topic] = {}
        self._pending = _NOTHING
        self._early: list[Command] = []
        self._connected = False
        self._connected_at = 0.0
        self._typing_at: dict[str, float] | None = None

    # WebSocket

    def message_received(self, message: str) -> None:
        for line in message.split("\n"):
            if self.ended:
                return
            if line:
                self._command_received(line)

    def closed(self) -> None:
        for topic in self._topics.values():
            self._leave(topic)
        self._topics = {}

    # Subscriber

    def deliver(self, frame: bytes, stream: Stream) -> None:  # noqa: ARG002
        self.write(frame)

    def stream_lost(self, stream: Stream) -> None:
        name = stream.topic.name
        self._topics.pop(name, None)
        code, reason = UNSUBSCRIBED_INSUFFICIENT
        self._push(name, {"unsubscribe": {"code": code, "reason": reason}})

    # Commands

    def _command_received(self, line: str) -> None:
        if line == "{}":
            self.is_pong_awaited = False
            return
        command = parse_command(line)
        if command is None or not command.id:
            self.close(CloseReason.BAD_REQUEST)
            return
        if not self.accept_command():
            self._reply_error(command.id, ReplyError.TOO_MANY_REQUESTS)
            return
        if command.connect is not None:
            self._connect(command.id, command.connect.token)
        elif self._connected:
            self._run(command)
        elif self.client_id:
            # The JavaScript SDK sends its subscriptions together with the connect command. Their
            # number is bounded by the limit of commands a second.
            self._early.append(command)
        else:
            self.close(CloseReason.BAD_REQUEST)

    def _connect(self, command_id: int, token: str) -> None:
        if self.client_id:
            self.close(CloseReason.BAD_REQUEST)
            return
        self.client_id = uuid.uuid4().hex
        if token:
            self.server.authenticate(
                Credentials(f"Bearer {token}"), lambda result: self._verified(command_id, result)
            )
        elif self.principal is None:
            self._reject_connect(command_id, ReplyError.UNAUTHORIZED)
        else:
            self._accept(command_id)

    def _verified(self, command_id: int, result: Principal | HttpError) -> None:
        if self.ended:
            return
        if isinstance(result, HttpError):
            if result.code == 503:
                self._await_connect(command_id, ReplyError.INTERNAL)
            elif "expired" in result.detail:
                # The SDKs then ask the application for a new token.
                self._await_connect(command_id, ReplyError.TOKEN_EXPIRED)
            else:
                self._reject_connect(command_id, ReplyError.UNAUTHORIZED)
            return
        if self.principal is None:
            if self.authenticated(result):
                self._accept(command_id)
        elif self.principal.session_id == result.session_id:
            self._accept(command_id)
        else:
            self._reject_connect(command_id, ReplyError.UNAUTHORIZED)

    def _accept(self, command_id: int) -> None:
        result = {
            "client": self.client_id,
            "version": __version__,
            "ping": self.server.limits.ping_seconds,
            "pong": True,
        }
        self._connected = True
        self._connected_at = time.time()
        self._reply(command_id, {"connect": result})
        self.server.start_pings(self)
        early, self._early = self._early, []
        for command in early:
            if not self.ended:
                self._run(command)

    def _await_connect(self, command_id: int, error: ReplyError) -> None:
        """Reply with an error after which the client may send another connect command."""
        self.client_id = ""
        self._early = []
        self._reply_error(command_id, error)

    def _reject_connect(self, command_id: int, error: ReplyError) -> None:
        self._reply_error(command_id, error)
        self.close(CloseReason.INVALID_TOKEN)

    def _run(self, command: Command) -> None:
        assert command.id  # noqa: S101 - checked by the caller
        if command.subscribe is not None:
            self._subscribe(command.id, command.subscribe)
        elif command.unsubscribe is not None:
            self._unsubscribe(command.unsubscribe.channel)
            self._reply(command.id, {"unsubscribe": {}})
        elif command.refresh is not None:
            self._refresh(command.id, command.refresh.token)
        elif command.history is not None:
            request = command.history
            since = request.since
            position = None if since is None else Position(since.epoch, since.offset)
            self._start_reading(
                command.id,
                request.channel,
                lambda topic: self._history(
                    command.id, topic, position, request.limit, reverse=request.reverse
                ),
            )
        elif command.presence is not None:
            self._start_reading(
                command.id, command.presence.channel, lambda t: self._presence(command.id, t)
            )
        elif command.presence_stats is not None:
            self._start_reading(
                command.id,
                command.presence_stats.channel,
                lambda t: self._presence(command.id, t, stats=True),
            )
        elif command.publish is not None:
            self._reply_error(command.id, ReplyError.PERMISSION_DENIED)
        elif command.rpc is not None and command.rpc.method == "typing":
            self._typing(command.id, command.rpc.data)
        else:
            self._reply_error(command.id, ReplyError.METHOD_NOT_FOUND)

    # Subscriptions

    def _subscribe(self, command_id: int, request: SubscribeRequest) -> None:
        name = request.channel
        if name in self._topics or name in self._pending:
            self._reply_error(command_id, ReplyError.ALREADY_SUBSCRIBED)
            return
        if len(self._topics) + len(self._pending) >= self.server.limits.subscriptions:
            self._reply_error(command_id, ReplyError.LIMIT_EXCEEDED)
            return
        topic = self._resolve(command_id, name)
        if topic is not None:
            # The set exists only while a subscription is in progress, to save memory.
            self._pending = self._pending | {name}
            self.server.create_task(self._join(command_id, topic, request))

    async def _join(self, command_id: int, topic: Topic, request: SubscribeRequest) -> None:
        since = Position(request.epoch, request.offset) if request.recover else None

        def joined(replay: Replay) -> None:
            if not self.ended:
                self._topics[topic.name] = topic
                self._reply_subscribed(command_id, replay, was_recovering=request.recover)

        try:
            await self.server.hub.subscribe(topic, self, since, joined)
            if self.ended:
                self.server.hub.unsubscribe(topic, self)
            elif topic.kind.presence and self.principal is not None:
                await enter_topic(self.server.broker, topic, self._create_presence(self.principal))
        except BrokerUnavailable:
            if topic.name not in self._topics:
                self._reply_error(command_id, ReplyError.INTERNAL)
        finally:
            self._pending = (self._pending - {topic.name}) or _NOTHING

    def _reply_subscribed(self, command_id: int, replay: Replay, *, was_recovering: bool) -> None:
        epoch, offset = replay.position
        publications = ",".join(map(format_publication, replay.publications))
        flags = (
            f'"was_recovering":true,"recovered":{json.dumps(replay.recovered)},'
            if was_recovering
            else ""
        )
        self.send_text(
            f'{{"id":{command_id},"subscribe":{{"recoverable":true,"positioned":true,'
            f'"epoch":{json.dumps(epoch)},"offset":{offset},{flags}'
            f'"publications":[{publications}]}}}}'
        )

    def _unsubscribe(self, name: str) -> None:
        topic = self._topics.pop(name, None)
        if topic is not None:
            self._leave(topic)

    def _leave(self, topic: Topic) -> None:
        self.server.hub.unsubscribe(topic, self)
        if topic.kind.presence and self.principal is not None:
            self.server.create_task(
                self.server.leave_topic(topic, self.client_id, self.principal.user_id)
            )

    async def refresh_presence(self, topic: Topic) -> None:
        """Store that this client is still present in *topic*."""
        if self.principal is not None:
            entry = self._create_presence(self.principal)
            await self.server.broker.add_presence(topic.stream, entry, PRESENCE_SECONDS)

    def _create_presence(self, principal: Principal) -> PresenceEntry:
        return PresenceEntry(self.client_id, principal.user_id, self._connected_at)

    def list_presence_topics(self) -> list[Topic]:
        """Return the topics in which the presence of this client has to be refreshed."""
        return [topic for topic in self._topics.values() if topic.kind.presence]

    # Reading

    def _start_reading(
        self,
        command_id: int,
        name: str,
        read: Callable[[Topic], Coroutine[Any, Any, None]],
    ) -> None:
        topic = self._resolve(command_id, name)
        if topic is not None:
            self.server.create_task(self._answer(command_id, read(topic)))

    async def _answer(self, command_id: int, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except BrokerUnavailable:
            self._reply_error(command_id, ReplyError.INTERNAL)

    async def _history(
        self, command_id: int, topic: Topic, since: Position | None, limit: int, *, reverse: bool
    ) -> None:
        publications: list[Publication] = []
        position, _, read = await read_history(self.server.broker, topic, since)
        if limit:
            ordered = read[::-1] if reverse else read
            publications = ordered[: _MAX_HISTORY if limit < 0 else min(limit, _MAX_HISTORY)]
        items = ",".join(map(format_publication, publications))
        self.send_text(
            f'{{"id":{command_id},"history":{{"epoch":{json.dumps(position.epoch)},'
            f'"offset":{position.offset},"publications":[{items}]}}}}'
        )

    async def _presence(self, command_id: int, topic: Topic, *, stats: bool = False) -> None:
        if not topic.kind.presence:
            self._reply_error(command_id, ReplyError.PERMISSION_DENIED)
            return
        entries = await self.server.broker.list_presence(topic.stream, _MAX_PRESENCE)
        if stats:
            counts = {"num_clients": len(entries), "num_users": len({e.user_id for e in entries})}
            self._reply(command_id, {"presence_stats": counts})
            return
        clients = {e.client_id: {"client": e.client_id, "user": e.user_id} for e in entries}
        self._reply(command_id, {"presence": {"presence": clients}})

    # Other commands

    def _refresh(self, command_id: int, token: str) -> None:
        def verified(result: Principal | HttpError) -> None:
            if self.ended or self.principal is None:
                return
            if isinstance(result, HttpError) or result.user_id != self.principal.user_id:
                self._reply_error(command_id, ReplyError.UNAUTHORIZED)
                return
            self.server.replace_principal(self, result)
            reply = {"client": self.client_id, "version": __version__}
            self._reply(command_id, {"refresh": reply})

        self.server.authenticate(Credentials(f"Bearer {token}"), verified)

    def _typing(self, command_id: int, data: object) -> None:
        notice = parse_typing(data)
        if notice is None:
            self._reply_error(command_id, ReplyError.BAD_REQUEST)
            return
        topic = self._resolve(command_id, f"chat:conversation:{notice.conversation_id}")
        if topic is None or self.principal is None:
            return
        now = self.server.loop.time()
        times = self._typing_at = self._typing_at or {}
        if len(times) > _MAX_TYPING_CONVERSATIONS:
            times.clear()
        if notice.typing and now - times.get(topic.name, -_TYPING_SECONDS) < _TYPING_SECONDS:
            self._reply(command_id, {"rpc": {"data": {}}})
            return
        times[topic.name] = now
        event = {
            "conversation_id": notice.conversation_id,
            "user_id": self.principal.user_id,
            "typing": notice.typing,
        }
        self.server.create_task(
            self._answer(command_id, self._publish_typing(command_id, topic, event))
        )

    async def _publish_typing(self, command_id: int, topic: Topic, event: dict[str, Any]) -> None:
        data = format_event("chat.typing", event)
        await self.server.broker.publish(topic.stream, data, None)
        self._reply(command_id, {"rpc": {"data": {}}})

    # Replies

    def _resolve(self, command_id: int, name: str) -> Topic | None:
        """Return the topic *name*, or reply with an error and return None."""
        if self.principal is None:
            return None
        try:
            return resolve_topic(name, self.principal)
        except UnknownTopic:
            self._reply_error(command_id, ReplyError.UNKNOWN_CHANNEL)
        except TopicForbidden:
            self._reply_error(command_id, ReplyError.PERMISSION_DENIED)
        return None

    def _reply(self, command_id: int, result: dict[str, Any]) -> None:
        if not self.ended:
            self.send_text(json.dumps({"id": command_id, **result}))

    def _reply_error(self, command_id: int, error: ReplyError) -> None:
        code, message, temporary = error.value
        detail: dict[str, Any] = {"code": code, "message": message}
        if temporary:
            detail["temporary"] = True
        self._reply(command_id, {"error": detail})

    def _push(self, name: str, event: dict[str, Any]) -> None:
        self.write(encode_text_frame(json.dumps({"push": {"channel": name, **event}}).encode()))
