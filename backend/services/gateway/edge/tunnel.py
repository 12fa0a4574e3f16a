"""A WebSocket: once the service has agreed, bytes pass both ways as they are."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from backend.services.gateway.clients.fields import BadFraming
from backend.services.gateway.edge.passage import Passage
from backend.services.gateway.errors import TooManySockets

if TYPE_CHECKING:
    from backend.services.gateway.clients.answers import Answer

IDLE_SECONDS = 300.0
_GOODBYE_SECONDS = 5.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Close, status 1001 (RFC 6455, 7.4.1): unmasked, as servers send it; masked with zeros,
# as clients do.
_CLOSE_TO_CLIENT = b"\x88\x02\x03\xe9"
_CLOSE_TO_SERVICE = b"\x88\x82\x00\x00\x00\x00\x03\xe9"


class Frames:
    """Counts through a stream of frames, to know when one of ours may stand between two."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    @property
    def between(self) -> bool:
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        data, self._head = self._head + data, b""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
            else:
                head = data[at : at + 14]
                step = _head_size(head)
                if len(head) < step:
                    self._head = head
                    return
                self._left = _payload(head)
            at += step


class Tunnel(Passage):
    """One WebSocket between a client and a service."""

    _switches = True

    _counted_as = ""
    _leaving = False
    _open = False

    def start(self) -> None:
        self._from_client = Frames()
        self._from_service = Frames()
        super().start()

    def _seek(self) -> None:
        if not self._counted_as and not self._count():
            self._refuse(TooManySockets(self._way.route.sockets_per_caller))
            return
        super()._seek()

    def _count(self) -> bool:
        caller = self._caller
        principal = caller.principal if caller is not None else None
        key = principal.user_id if principal is not None else self._client.peer
        sockets = self._carrier.sockets_of
        if sockets.get(key, 0) >= self._way.route.sockets_per_caller:
            return False
        sockets[key] = sockets.get(key, 0) + 1
        self._counted_as = key
        return True

    def switched(self, answer: Answer, data: bytes) -> None:
        key = self._request.said.get("sec-websocket-key", "").encode("latin-1")
        if dict(answer.fields()).get("sec-websocket-accept") != _accepted(key):
            self._leave_service()
            self.answer_breaks(BadFraming("The service switched to something else."))
            return
        self._status = 101
        self._open = True
        self._carrier.numbers.sockets += 1
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"X-Request-ID: {self._request_id}\r\n{answer.text}\r\n"
        )
        self._client.write(head.encode("latin-1"))
        early = self._client.tunnel()
        self._client.expect_within(IDLE_SECONDS)
        if data:
            self.tunnelled(data)
        if early:
            self.take(early, False)
        self._client.resume_reading()

    def tunnelled(self, data: bytes) -> None:
        """From the service to the client."""
        self._sent += len(data)
        self._from_service.feed(data)
        self._client.write(data)
        if self._leaving:
            self._say_goodbye()
        else:
            self._client.expect_within(IDLE_SECONDS)

    def take(self, data: bytes, ended: bool) -> None:
        """From the client to the service."""
        if not self._open:
            super().take(data, ended)
            return
        connection = self._connection
        if connection is None:
            return
        self._from_client.feed(data)
        connection.send(data, last=False)
        if not self._leaving:
            self._client.expect_within(IDLE_SECONDS)

    def answer_breaks(self, error: Exception | None) -> None:
        if not self._open or self._over:
            super().answer_breaks(error)
            return
        # The service has closed: so do we, after what is still under way to the client.
        self._connection = None
        self._end(101, None)
        self._client.transport.close()

    def late(self, now: float) -> None:
        if not self._open:
            super().late(now)
        elif self._leaving:
            self._leave_service()
            self._end(101, "going_away")
            self._client.cut()
        else:
            self._leaving = True
            self._client.expect_within(_GOODBYE_SECONDS)
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Close with 1001 as soon as no frame of somebody else is half through."""
        if not self._from_service.between or self._over:
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.asker = None
            if self._from_client.between:
                connection.transport.write(_CLOSE_TO_SERVICE)
            connection.transport.close()
        self._client.write(_CLOSE_TO_CLIENT)
        self._end(101, "going_away")
        self._client.transport.close()

    def _end(self, status: int, reason: str | None) -> None:
        super()._end(status, reason)
        if self._open:
            self._open = False
            self._carrier.numbers.sockets -= 1
        if self._counted_as:
            sockets = self._carrier.sockets_of
            sockets[self._counted_as] -= 1
            if not sockets[self._counted_as]:
                del sockets[self._counted_as]
            self._counted_as = ""


def _accepted(key: bytes) -> str:
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _head_size(head: bytes) -> int:
    """How long a frame's head is, as far as its first two bytes tell."""
    if len(head) < 2:
        return 2
    length = head[1] & 0x7F
    return 2 + {126: 2, 127: 8}.get(length, 0) + (4 if head[1] & 0x80 else 0)


def _payload(head: bytes) -> int:
    length = head[1] & 0x7F
    if length == 126:
        return int.from_bytes(head[2:4])
    if length == 127:
        return int.from_bytes(head[2:10])
    return length
