"""Pooled, streaming connections from an event loop to the instances of a service.

One connection carries one request at a time. A connection is closed if the end of a response is
ambiguous or if bytes arrive that belong to no request: they could otherwise be taken for the
response to the next caller.
"""

import asyncio
import socket
import struct
from typing import Protocol, cast

from backend.chassis.web.http1.body_framing import BodyDecoder
from backend.chassis.web.http1.errors import ProtocolError
from backend.chassis.web.http1.response_head import MAX_HEAD_BYTES, ResponseHead, ResponseHeadParser
from backend.services.gateway.clients.instances import Instance

CONNECT_TIMEOUT_SECONDS = 1.0
MAX_IDLE_SECONDS = 45.0
_TCP_INFO = getattr(socket, "TCP_INFO", None)
# Position of tcpi_bytes_acked in Linux' struct tcp_info.
_BYTES_ACKED = struct.Struct("=120xQ")


class ResponseListener(Protocol):
    """Receives the events of the request that an upstream connection carries."""

    def response_started(self, head: ResponseHead, data: bytes, ended: bool) -> None:
        """Handle the head and possibly the first, or only, part of the body."""

    def response_data_received(self, data: bytes, ended: bool) -> None:
        """Handle a further part of the body."""

    def response_failed(self, error: Exception | None) -> None:
        """Handle the loss of the response; *error* is a ProtocolError if it is malformed."""

    def protocol_switched(self, head: ResponseHead, data: bytes) -> None:
        """Handle a 101 response. From here on, bytes are passed on unchanged."""

    def tunnel_data_received(self, data: bytes) -> None:
        """Handle bytes after a 101 response."""

    def pause_sending(self) -> None:
        """Stop sending the request body: the send buffer is full."""

    def resume_sending(self) -> None:
        """Continue to send the request body."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to one instance."""

    __slots__ = (
        "_body_decoder",
        "_buffer",
        "_bytes_sent_before",
        "_is_tunnel",
        "_keep_alive",
        "_pool",
        "authority",
        "bytes_sent",
        "has_response_bytes",
        "idle_since",
        "is_sending_body",
        "listener",
        "method",
        "reused",
        "transport",
    )

    def __init__(self, pool: "ConnectionPool") -> None:
        self._pool = pool
        self.authority = pool.instance.authority
        self._body_decoder: BodyDecoder | None = None
        self._buffer = b""
        self._keep_alive = False
        self._bytes_sent_before = 0
        self._is_tunnel = False
        self.has_response_bytes = False
        self.listener: ResponseListener | None = None
        self.idle_since = 0.0
        self.method = ""
        self.reused = False
        self.is_sending_body = False
        self.bytes_sent = 0
        self.transport: asyncio.Transport

    def send_request(
        self, listener: ResponseListener, method: str, data: bytes, *, is_complete: bool
    ) -> None:
        """Send the head of a request and the part of its body that is available.

        Args:
            listener: receives the response.
            method: the method of the request.
            data: the bytes to send.
            is_complete: True if *data* includes the whole body.
        """
        self.listener = listener
        self.is_sending_body = not is_complete
        self.method = method
        self.has_response_bytes = False
        self._bytes_sent_before = self.bytes_sent
        self.bytes_sent += len(data)
        self.transport.write(data)

    def send_body(self, data: bytes, *, last: bool) -> None:
        """Send a further part of the body; *last* marks its end."""
        if last:
            self.is_sending_body = False
        if data:
            self.bytes_sent += len(data)
            self.transport.write(data)

    def is_request_unacknowledged(self) -> bool:
        """Return True if the peer's kernel has acknowledged no byte of the current request.

        The SYN counts as one byte. Returns False where TCP_INFO is not available.
        """
        peer = self.transport.get_extra_info("socket")
        if _TCP_INFO is None or peer is None:
            return False
        try:
            info = peer.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _BYTES_ACKED.size)
            acknowledged: int = _BYTES_ACKED.unpack(info)[0]
        except (OSError, struct.error):
            return False
        return 0 < acknowledged <= self._bytes_sent_before + 1

    def abort_request(self) -> None:
        """Drop the request and close the connection without notifying the listener."""
        self.listener = None
        self.transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a type check: uvloop's stream transports do not derive from asyncio's.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        listener = self.listener
        if listener is None:
            self._pool.discard_connection(self)
            self.transport.abort()
            return
        try:
            if self._body_decoder is not None:
                self._receive_body(listener, self._body_decoder, data)
            elif self._is_tunnel:
                listener.tunnel_data_received(data)
            else:
                self._receive_head(listener, self._buffer + data if self._buffer else data)
        except ProtocolError as error:
            self._fail(error)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.discard_connection(self)
        listener, self.listener = self.listener, None
        if listener is None:
            return
        error: Exception | None = exc
        if self._body_decoder is not None and exc is None:
            try:
                self._body_decoder.feed_eof()
            except ProtocolError as truncated:
                error = truncated
            else:
                listener.response_data_received(b"", True)
                return
        listener.response_failed(error)

    def pause_writing(self) -> None:
        if self.listener is not None:
            self.listener.pause_sending()

    def resume_writing(self) -> None:
        if self.listener is not None:
            self.listener.resume_sending()

    def _receive_head(self, listener: ResponseListener, data: bytes) -> None:
        self.has_response_bytes = True
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD_BYTES:
                    raise ProtocolError("The head of the response is too large.")
                self._buffer = data
                return
            if end > MAX_HEAD_BYTES:
                raise ProtocolError("The head of the response is too large.")
            head = self._pool.response_parser.parse_head(data[:end], self.method)
            data = data[end + 4 :]
            if head.status >= 200:
                break
            if head.status == 101:
                self._buffer = b""
                self._is_tunnel = True
                listener.protocol_switched(head, data)
                return
        self._buffer = b""
        self._keep_alive = head.keep_alive
        if len(data) == head.body_length:
            # The usual case: the whole response arrived at once.
            self._complete_response(b"")
            listener.response_started(head, data, True)
            return
        decoder = head.create_body_decoder()
        piece = decoder.feed(data) if data else b""
        if decoder.done:
            self._complete_response(decoder.trailing_data)
            listener.response_started(head, piece, True)
        else:
            self._body_decoder = decoder
            listener.response_started(head, piece, False)

    def _receive_body(self, listener: ResponseListener, decoder: BodyDecoder, data: bytes) -> None:
        piece = decoder.feed(data)
        if decoder.done:
            self._complete_response(decoder.trailing_data)
            listener.response_data_received(piece, True)
        elif piece:
            listener.response_data_received(piece, False)

    def _complete_response(self, trailing_data: bytes) -> None:
        """Return the connection to the pool, or close it if it cannot be reused.

        *trailing_data* are bytes after the response, which belong to no request.
        """
        self._body_decoder = None
        self.listener = None
        if self._keep_alive and not (
            trailing_data or self.is_sending_body or self.transport.is_closing()
        ):
            self._pool.release_connection(self)
        else:
            self.transport.close()

    def _fail(self, error: Exception) -> None:
        listener, self.listener = self.listener, None
        self.transport.abort()
        if listener is not None:
            listener.response_failed(error)


class ConnectionPool:
    """Idle connections to one instance. The most recently used one is reused first."""

    def __init__(
        self,
        instance: Instance,
        response_parser: ResponseHeadParser,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.instance = instance
        self.response_parser = response_parser
        self._loop = loop
        self._idle: list[UpstreamConnection] = []
        self._closed = False
        self._now = loop.time()

    def __len__(self) -> int:
        return len(self._idle)

    def acquire_idle(self) -> UpstreamConnection | None:
        """Return an idle connection that is still open, or None."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                connection.reused = True
                return connection
        return None

    async def open_connection(self) -> UpstreamConnection:
        """Open a new connection.

        Raises:
            OSError, TimeoutError: the instance does not accept a connection.
        """
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            _, connection = await self._loop.create_connection(
                lambda: UpstreamConnection(self), self.instance.address, self.instance.port
            )
        return connection

    def release_connection(self, connection: UpstreamConnection) -> None:
        if self._closed:
            connection.transport.close()
            return
        connection.idle_since = self._now
        self._idle.append(connection)

    def discard_connection(self, connection: UpstreamConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def close_expired(self, now: float) -> None:
        """Close connections that have been idle so long that the service may close them first."""
        self._now = now
        while self._idle and now - self._idle[0].idle_since > MAX_IDLE_SECONDS:
            self._idle.pop(0).transport.close()

    def close(self) -> None:
        self._closed = True
        for connection in self._idle:
            connection.transport.close()
        self._idle.clear()
