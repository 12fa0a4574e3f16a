"""Connections to the instances of a service, from an event loop: strict, pooled, streaming.

One connection carries one request at a time. Anything that leaves doubt about where an
answer ended, and any byte that nobody asked for, ends the connection: what is left on it
could be taken for the answer to the next caller.
"""

import asyncio
import socket
import struct
from typing import Protocol, cast

from backend.services.gateway.clients.answers import MAX_HEAD, Answer, AnswerReader
from backend.services.gateway.clients.fields import BadFraming
from backend.services.gateway.clients.framing import Body
from backend.services.gateway.clients.instances import Instance

CONNECT_SECONDS = 1.0
IDLE_SECONDS = 45.0
_TCP_INFO = getattr(socket, "TCP_INFO", None)
_BYTES_ACKED = struct.Struct("=120xQ")


class Asker(Protocol):
    """Who sent the request that a connection carries."""

    def answer_begins(self, answer: Answer, data: bytes, ended: bool) -> None:
        """The head is there, and perhaps a first or the only piece of the body."""

    def answer_goes_on(self, data: bytes, ended: bool) -> None:
        """A further piece."""

    def answer_breaks(self, error: Exception | None) -> None:
        """There will be no (further) answer; BadFraming if what came is none."""

    def switched(self, answer: Answer, data: bytes) -> None:
        """101: from now on bytes pass as they are."""

    def tunnelled(self, data: bytes) -> None:
        """Bytes behind a 101."""

    def hold_sending(self) -> None:
        """The service takes no more just now."""

    def go_on_sending(self) -> None:
        """It does again."""


class Connection(asyncio.Protocol):
    """One connection to one instance."""

    __slots__ = (
        "_body",
        "_held",
        "_keep",
        "_pool",
        "_sent_before",
        "_tunnel",
        "answer_begun",
        "asker",
        "authority",
        "idle_since",
        "method",
        "reused",
        "sending",
        "sent",
        "transport",
    )

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self.authority = pool.instance.authority
        self._body: Body | None = None
        self._held = b""
        self._keep = False
        self._sent_before = 0
        self._tunnel = False
        self.answer_begun = False
        self.asker: Asker | None = None
        self.idle_since = 0.0
        self.method = ""
        self.reused = False
        self.sending = False
        self.sent = 0
        self.transport: asyncio.Transport

    def ask(self, asker: Asker, method: str, data: bytes, *, whole: bool) -> None:
        """Send the head, and what there is of the body, of *asker*'s request."""
        self.asker = asker
        self.sending = not whole
        self.method = method
        self.answer_begun = False
        self._sent_before = self.sent
        self.sent += len(data)
        self.transport.write(data)

    def send(self, data: bytes, *, last: bool) -> None:
        """Send a further piece of the body; *last* when there are no more."""
        if last:
            self.sending = False
        if data:
            self.sent += len(data)
            self.transport.write(data)

    def untouched(self) -> bool:
        """Whether nothing of the request in hand was acknowledged by the other side.

        The SYN counts as one byte. Where the kernel does not say, the answer is no.
        """
        peer = self.transport.get_extra_info("socket")
        if _TCP_INFO is None or peer is None:
            return False
        try:
            info = peer.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES_ACKED.size)
            acknowledged: int = _BYTES_ACKED.unpack(info)[0]
        except (OSError, struct.error):
            return False
        return 0 < acknowledged <= self._sent_before + 1

    def leave(self) -> None:
        """The asker has gone: so has this request."""
        self.asker = None
        self.transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Only streams are opened here; uvloop's transports do not derive from asyncio's.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        asker = self.asker
        if asker is None:
            self._pool.forget(self)
            self.transport.abort()
            return
        try:
            if self._body is not None:
                self._more(asker, self._body, data)
            elif self._tunnel:
                asker.tunnelled(data)
            else:
                self._head(asker, self._held + data if self._held else data)
        except BadFraming as error:
            self._break(error)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        asker, self.asker = self.asker, None
        if asker is None:
            return
        error: Exception | None = exc
        if self._body is not None and exc is None:
            try:
                self._body.end()
            except BadFraming as cut:
                error = cut
            else:
                asker.answer_goes_on(b"", True)
                return
        asker.answer_breaks(error)

    def pause_writing(self) -> None:
        if self.asker is not None:
            self.asker.hold_sending()

    def resume_writing(self) -> None:
        if self.asker is not None:
            self.asker.go_on_sending()

    def _head(self, asker: Asker, data: bytes) -> None:
        self.answer_begun = True
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD:
                    raise BadFraming("The answer's head is too large.")
                self._held = data
                return
            if end > MAX_HEAD:
                raise BadFraming("The answer's head is too large.")
            answer = self._pool.reader.read(data[:end], self.method)
            data = data[end + 4 :]
            if answer.status >= 200:
                break
            if answer.status == 101:
                self._held = b""
                self._tunnel = True
                asker.switched(answer, data)
                return
        self._held = b""
        self._keep = answer.keep_alive
        if len(data) == answer.length:
            # The usual case: all of it came at once.
            self._end(b"")
            asker.answer_begins(answer, data, True)
            return
        body = answer.body()
        piece = body.feed(data) if data else b""
        if body.done:
            self._end(body.rest)
            asker.answer_begins(answer, piece, True)
        else:
            self._body = body
            asker.answer_begins(answer, piece, False)

    def _more(self, asker: Asker, body: Body, data: bytes) -> None:
        piece = body.feed(data)
        if body.done:
            self._end(body.rest)
            asker.answer_goes_on(piece, True)
        elif piece:
            asker.answer_goes_on(piece, False)

    def _end(self, rest: bytes) -> None:
        """The answer is whole. Bytes behind it were asked for by nobody."""
        self._body = None
        self.asker = None
        if self._keep and not (rest or self.sending or self.transport.is_closing()):
            self._pool.give_back(self)
        else:
            self.transport.close()

    def _break(self, error: Exception) -> None:
        asker, self.asker = self.asker, None
        self.transport.abort()
        if asker is not None:
            asker.answer_breaks(error)


class Pool:
    """The idle connections to one instance; the one used last is used next."""

    def __init__(
        self, instance: Instance, reader: AnswerReader, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.instance = instance
        self.reader = reader
        self._loop = loop
        self._idle: list[Connection] = []
        self._closed = False
        self._now = loop.time()

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> Connection | None:
        """An idle connection, if there is one that stands."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                connection.reused = True
                return connection
        return None

    async def connect(self) -> Connection:
        """A new connection; OSError or TimeoutError if there is none to be had."""
        async with asyncio.timeout(CONNECT_SECONDS):
            _, connection = await self._loop.create_connection(
                lambda: Connection(self), self.instance.address, self.instance.port
            )
        return connection

    def give_back(self, connection: Connection) -> None:
        if self._closed:
            connection.transport.close()
            return
        connection.idle_since = self._now
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self, now: float) -> None:
        """Close what has been idle for so long that the service might close it first."""
        self._now = now
        while self._idle and now - self._idle[0].idle_since > IDLE_SECONDS:
            self._idle.pop(0).transport.close()

    def close(self) -> None:
        self._closed = True
        for connection in self._idle:
            connection.transport.close()
        self._idle.clear()
