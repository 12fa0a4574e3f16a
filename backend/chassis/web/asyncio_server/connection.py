"""The protocol of one client connection: parses requests and writes responses in their order."""

from __future__ import annotations

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from backend.chassis.web.asyncio_server import responses
from backend.chassis.web.asyncio_server.errors import (
    ResponseError,
    get_error_code,
    to_http_error,
)
from backend.chassis.web.asyncio_server.flask_handler import FlaskRequestHandler
from backend.chassis.web.http1.errors import InvalidRequest, ProtocolError, malformed_request
from backend.chassis.web.http1.header_writer import CLOSE_LINE
from backend.chassis.web.http1.request_head import (
    Block,
    Request,
    check_partial_head,
    strip_leading_empty_lines,
)
from backend.security.request_ids import accept_request_id

if TYPE_CHECKING:
    from backend.chassis.web.asyncio_server.request_handler import RequestHandler
    from backend.chassis.web.asyncio_server.server_state import ServerState

HEAD_TIMEOUT_SECONDS = 10.0
BODY_IDLE_TIMEOUT_SECONDS = 30.0
KEEP_ALIVE_TIMEOUT_SECONDS = 75.0
_DRAIN_IDLE_SECONDS = 3.0
_LINGER_SECONDS = 2.0
_MAX_LINGER_SECONDS = 10.0
_MAX_BUFFERED_BYTES = 64 * 1024
_NEVER = float("inf")
_CR = 13
_LINGER_RESET = struct.pack("ii", 1, 0)

# States of a connection. Plain integers, because they are compared several times per request.
_IDLE, _HEAD, _BUSY, _LINGER, _TUNNEL = range(5)

State = TypeVar("State", bound="ServerState")


class HttpConnection(asyncio.Protocol, ABC, Generic[State, Block]):
    """One connection of a client. Subclasses choose the handler of each request.

    Args:
        server: the state that all connections of the worker share.
    """

    __slots__ = (
        "_buffer",
        "_handler",
        "_linger_until",
        "_scanned",
        "body_bytes_received",
        "deadline",
        "is_body_incomplete",
        "is_reading_paused",
        "is_writing_paused",
        "peer",
        "request",
        "server",
        "state",
        "transport",
    )

    def __init__(self, server: State) -> None:
        self.server = server
        self._buffer = b""
        self._linger_until = 0.0
        self.is_reading_paused = False
        # Offset in the buffer from which to search for the end of a head.
        self._scanned = 0
        self._handler: RequestHandler | None = None
        self.is_body_incomplete = False
        self.body_bytes_received = 0
        self.deadline = _NEVER
        self.peer = ""
        self.request: Request[Block] | None = None
        self.state = _IDLE
        self.transport: asyncio.Transport
        self.is_writing_paused = False

    # Defined by subclasses

    @abstractmethod
    def _parse_request(self, data: bytes, end: int) -> Request[Block]:
        """Parse the request whose head ends at *end*.

        Raises:
            InvalidRequest: the head is invalid.
        """

    @abstractmethod
    def _select_handler(self, request: Request[Block], request_id: str) -> RequestHandler | None:
        """Return the handler of *request*, or None if it is already answered."""

    def _record_rejection(self, request_id: str, status: int, code: str) -> None:
        """Count and log a request that the server itself answered with an error."""

    def uses_openai_errors(self) -> bool:
        """Return True if errors of the current request are sent in the format of OpenAI's API."""
        return False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Only streams are opened here; uvloop's transports do not derive from asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else ""
        self.deadline = self.server.now + HEAD_TIMEOUT_SECONDS
        self.server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self.state <= _HEAD:
            self._receive_head(self._buffer + data if self._buffer else data)
        elif self.state == _BUSY:
            if self.is_body_incomplete:
                self._receive_body(data)
            else:
                self._buffer_data(data)
        elif self.state == _TUNNEL and self._handler is not None:
            self._handler.receive_body(data, False)
        elif self.state == _LINGER:
            now = self.server.loop.time()
            self.deadline = min(now + _LINGER_SECONDS, self._linger_until)

    def eof_received(self) -> bool:
        # A client that has closed the connection and one that has only closed its sending side
        # cannot be distinguished. Like most proxies, treat both as disconnected. Responses of
        # the Flask app are fast and still sent.
        return self.state == _BUSY and isinstance(self._handler, FlaskRequestHandler)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.server.connections.discard(self)
        handler, self._handler = self._handler, None
        self.state = _LINGER
        if handler is not None:
            handler.client_disconnected()

    def pause_writing(self) -> None:
        self.is_writing_paused = True
        if self._handler is not None:
            self._handler.pause_response()

    def resume_writing(self) -> None:
        self.is_writing_paused = False
        if self._handler is not None:
            self._handler.resume_response()

    # Called by request handlers

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def should_keep_alive(self) -> bool:
        """Return True if the connection stays open after the current response."""
        request = self.request
        return (
            request is not None
            and request.keep_alive
            and not self.is_body_incomplete
            and not self.server.draining
        )

    def finish_response(self, *, keep_alive: bool) -> None:
        """Continue with the next request after a complete response, or close the connection."""
        self._handler = None
        self.request = None
        if not keep_alive:
            self._close_gracefully()
            return
        self.state = _IDLE
        self.deadline = self.server.now + KEEP_ALIVE_TIMEOUT_SECONDS
        if self.is_reading_paused:
            self.resume_reading()
        if self._buffer:
            # Not called directly: a hundred pipelined requests would nest a hundred calls.
            self.server.loop.call_soon(self._receive_buffered)

    def abort_response(self) -> None:
        """Reset the connection, so that the client does not take the response for complete."""
        self._handler = None
        peer = self.transport.get_extra_info("socket")
        if peer is not None:
            # A reset instead of a normal close, which would mark the end of an HTTP/1.0 body.
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self.transport.abort()

    def reject_invalid_request(self, error: InvalidRequest) -> None:
        """Respond to bytes that are not a valid request, and close the connection."""
        request_id = self.server.create_request_id()
        extra_lines = CLOSE_LINE + self.server.get_date_header()
        self.request = None
        self._record_rejection(request_id, error.status, error.code)
        _, data = responses.build_problem_response(
            to_http_error(error), request_id, extra_lines, head_only=False
        )
        self.write(data)
        self._close_gracefully()

    def pause_reading(self) -> None:
        if not self.is_reading_paused:
            self.is_reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.is_reading_paused and not self.transport.is_closing():
            self.is_reading_paused = False
            self.transport.resume_reading()

    def switch_to_tunnel(self) -> bytes:
        """Pass all further bytes to the handler. Returns the bytes that are already buffered."""
        self.state = _TUNNEL
        buffered, self._buffer = self._buffer, b""
        return buffered

    def detach(self) -> bytes:
        """Give up the transport for another protocol. Returns the bytes that are buffered."""
        self.server.connections.discard(self)
        self._handler = None
        return self.switch_to_tunnel()

    def set_timeout(self, seconds: float) -> None:
        """Call the handler's `handle_timeout` after *seconds*, unless it is set again before."""
        self.deadline = self.server.now + seconds

    # Called by the server state

    def handle_timeout(self, now: float) -> None:
        if self.state == _IDLE:
            self.transport.close()
        elif self.state == _HEAD:
            self.reject_invalid_request(
                InvalidRequest(408, "request_timeout", "The request head arrived too slowly.")
            )
        elif self._handler is not None and self.state != _LINGER:
            self._handler.handle_timeout(now)
        else:
            self.transport.abort()

    def drain(self) -> None:
        """Shorten the idle timeout and close a tunnel, because the worker stops."""
        if self.state == _IDLE:
            self.deadline = min(self.deadline, self.server.loop.time() + _DRAIN_IDLE_SECONDS)
        elif self.state == _TUNNEL and self._handler is not None:
            self._handler.handle_timeout(_NEVER)

    def abort(self) -> None:
        self.transport.abort()

    # From bytes to requests

    def _receive_buffered(self) -> None:
        if self.state == _IDLE and self._buffer:
            self._receive_head(self._buffer)

    def _receive_head(self, data: bytes) -> None:
        self._buffer = b""
        try:
            if data[0] == _CR:
                data = strip_leading_empty_lines(data)
            end = data.find(b"\r\n\r\n", self._scanned)
            if end >= 0:
                self._scanned = 0
                request = self._parse_request(data, end)
                self._start_request(request, data[end + 4 :])
                return
            check_partial_head(data, self._scanned)
        except InvalidRequest as error:
            self.reject_invalid_request(error)
            return
        self._buffer = data
        self._scanned = max(0, len(data) - 3)
        if data and self.state == _IDLE:
            self.state = _HEAD
            self.deadline = self.server.now + HEAD_TIMEOUT_SECONDS

    def _start_request(self, request: Request[Block], rest: bytes) -> None:
        """Choose the handler of *request* and start it. *rest* are the bytes after the head."""
        self.state = _BUSY
        self.request = request
        self.body_bytes_received = 0
        server = self.server
        block = request.block
        if block.content_length or block.chunked:
            self.is_body_incomplete = True
            self.deadline = server.now + BODY_IDLE_TIMEOUT_SECONDS
        client_id = request.headers.get("x-request-id")
        request_id = (
            accept_request_id(client_id) if client_id is not None else server.create_request_id()
        )
        handler = self._select_handler(request, request_id)
        if handler is None:
            return
        self._handler = handler
        if rest:
            if self.is_body_incomplete:
                self._receive_body(rest)
            else:
                self._buffer_data(rest)
            if self._handler is not handler:
                return
        handler.start()

    def _receive_body(self, data: bytes) -> None:
        """Decode a part of the body of the current request, and buffer what follows it."""
        request, handler = self.request, self._handler
        if request is None or handler is None:
            return
        decoder = request.body_decoder
        try:
            piece = decoder.feed(data)
        except ProtocolError as error:
            self._handler = None
            handler.client_disconnected()
            self.reject_invalid_request(malformed_request(str(error)))
            return
        self.body_bytes_received += len(piece)
        ended = decoder.done
        if ended:
            self.is_body_incomplete = False
            if decoder.trailing_data:
                self._buffer_data(decoder.trailing_data)
        else:
            self.deadline = self.server.now + BODY_IDLE_TIMEOUT_SECONDS
        handler.receive_body(piece, ended)

    def _buffer_data(self, data: bytes) -> None:
        """Keep pipelined requests until the current one is answered."""
        self._buffer += data
        if len(self._buffer) > _MAX_BUFFERED_BYTES:
            self.pause_reading()

    # Responses without a handler

    def send_error(self, error: ResponseError, request_id: str) -> None:
        """Answer the current request with a problem response."""
        request = self.request
        keep_alive = self.should_keep_alive()
        extra_lines = self.server.get_date_header() + ("" if keep_alive else CLOSE_LINE)
        head_only = request is not None and request.method == "HEAD"
        status, data = responses.build_problem_response(
            error,
            request_id,
            extra_lines,
            head_only=head_only,
            as_openai_error=self.uses_openai_errors(),
        )
        self._record_rejection(request_id, status, get_error_code(error))
        self.write(data)
        self.finish_response(keep_alive=keep_alive)

    def _send_empty_response(self, status: int, request_id: str, extra_lines: str) -> None:
        keep_alive = self.should_keep_alive()
        extra_lines += self.server.get_date_header() + ("" if keep_alive else CLOSE_LINE)
        self.write(responses.build_empty_response(status, request_id, extra_lines))
        self.finish_response(keep_alive=keep_alive)

    def _close_gracefully(self) -> None:
        """Close the sending side and read on for a while (RFC 9112, 9.6).

        Closing at once could reset the connection before the client has read the response.
        """
        self.state = _LINGER
        self._buffer = b""
        now = self.server.loop.time()
        self.deadline = now + _LINGER_SECONDS
        self._linger_until = now + _MAX_LINGER_SECONDS
        if self.transport.can_write_eof():
            self.resume_reading()
            self.transport.write_eof()
        else:
            self.transport.close()
