"""The unidirectional form: the server subscribes the client, which sends nothing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backend import __version__
from backend.services.realtime.edge.encoders import encode_unidirectional, format_publication
from backend.services.realtime.edge.frames import PING_FRAME
from backend.services.realtime.edge.websocket import WebSocket
from backend.services.realtime.errors import CloseReason
from backend.services.realtime.model import BrokerUnavailable, Position, Replay

if TYPE_CHECKING:
    from backend.security import Principal
    from backend.services.realtime.domain.hub import Stream
    from backend.services.realtime.domain.topics import Topic
    from backend.services.realtime.edge.server import RealtimeServer


class UnidirectionalSession(WebSocket):
    """A client that receives the publications of the topic of its path.

    Args:
        since: position after which the topic is resumed, or None.
    """

    __slots__ = ("_since", "_topic")

    encoder = staticmethod(encode_unidirectional)

    def __init__(
        self,
        server: RealtimeServer,
        principal: Principal,
        topic: Topic,
        since: Position | None,
    ) -> None:
        super().__init__(server, principal)
        self._topic = topic
        self._since = since

    def opened(self) -> None:
        self.client_id = uuid.uuid4().hex
        self.server.create_task(self._subscribe(self._since, self._send_connected))
        self.server.start_pings(self)

    def message_received(self, message: str) -> None:
        """Ignore the message, unless the client sends too many."""
        if message and not self.accept_command():
            self.close(CloseReason.BAD_REQUEST)

    def send_ping(self) -> None:
        super().send_ping()
        # These clients do not answer messages, but every client answers a ping frame.
        self.transport.write(PING_FRAME)

    def closed(self) -> None:
        self.server.hub.unsubscribe(self._topic, self)

    async def _subscribe(self, since: Position | None, joined: Callable[[Replay], None]) -> None:
        try:
            await self.server.hub.subscribe(self._topic, self, since, joined)
        except BrokerUnavailable:
            self.close(CloseReason.RESTART)
        if self.ended:
            self.closed()

    def _send_connected(self, replay: Replay) -> None:
        if self.ended:
            return
        name = self._topic.name
        connect = {
            "client": self.client_id,
            "version": __version__,
            "ping": self.server.limits.ping_seconds,
            "subs": {name: _describe(replay, was_recovering=self._since is not None)},
        }
        self.send_text(json.dumps({"connect": connect}))
        for publication in replay.publications:
            self.send_text(
                f'{{"channel":{json.dumps(name)},"pub":{format_publication(publication)}}}'
            )

    # Subscriber

    def deliver(self, frame: bytes, stream: Stream) -> None:  # noqa: ARG002
        self.write(frame)

    def stream_lost(self, stream: Stream) -> None:  # noqa: ARG002
        if not self.ended:
            self.server.create_task(self._subscribe(None, self._send_restarted))

    def _send_restarted(self, replay: Replay) -> None:
        """Inform the client that publications were lost and where the stream continues."""
        if not self.ended:
            push = {
                "channel": self._topic.name,
                "subscribe": _describe(replay, was_recovering=True),
            }
            self.send_text(json.dumps(push))


def _describe(replay: Replay, *, was_recovering: bool) -> dict[str, Any]:
    """Return the description of a subscription, without its publications."""
    described: dict[str, Any] = {
        "recoverable": True,
        "positioned": True,
        "epoch": replay.position.epoch,
        "offset": replay.position.offset,
    }
    if was_recovering:
        described |= {"was_recovering": True, "recovered": replay.recovered}
    return described
