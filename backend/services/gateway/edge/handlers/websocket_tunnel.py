"""WebSocket tunnels: after the handshake, bytes are passed on unchanged in both directions."""

from __future__ import annotations

import base64
import hashlib
import socket
from typing import TYPE_CHECKING

from backend.chassis.web.http1.errors import ProtocolError
from backend.services.gateway.domain.headers import CORS_RESPONSE_HEADERS
from backend.services.gateway.edge.handlers.proxy_exchange import ProxyExchange
from backend.services.gateway.errors import TooManyWebSockets

if TYPE_CHECKING:
    from backend.chassis.web.http1.response_head import ResponseHead

IDLE_TIMEOUT_SECONDS = 300.0
_CLOSE_TIMEOUT_SECONDS = 5.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Close frame with status 1001 (RFC 6455, 7.4.1): unmasked, as sent by a server, and masked with
# zeros, as sent by a client.
_CLOSE_FRAME_TO_CLIENT = b"\x88\x02\x03\xe9"
_CLOSE_FRAME_TO_SERVICE = b"\x88\x82\x00\x00\x00\x00\x03\xe9"
_MAX_FRAME_HEAD_BYTES = 14
_KERNEL_BUFFER_BYTES = 64 * 1024


class FrameBoundaryTracker:
    """Follows the frames in a byte stream, to find the positions where a frame can be inserted."""

    __slots__ = ("_partial_head", "_remaining")

    def __init__(self) -> None:
        self._partial_head = b""
        self._remaining = 0

    @property
    def is_at_boundary(self) -> bool:
        return not self._remaining and not self._partial_head

    def feed(self, data: bytes) -> None:
        data, self._partial_head = self._partial_head + data, b""
        position = 0
        while position < len(data):
            if self._remaining:
                step = min(self._remaining, len(data) - position)
                self._remaining -= step
            else:
                head = data[position : position + _MAX_FRAME_HEAD_BYTES]
                step = _get_head_size(head)
                if len(head) < step:
                    self._partial_head = head
                    return
                self._remaining = _get_payload_size(head)
            position += step


class WebSocketTunnel(ProxyExchange):
    """One WebSocket between a client and a service."""

    _is_upgrade = True

    _counted_key = ""
    _is_closing = False
    _is_open = False

    def start(self) -> None:
        self._client_frames = FrameBoundaryTracker()
        self._service_frames = FrameBoundaryTracker()
        super().start()

    def _forward(self) -> None:
        if not self._counted_key and not self._count_websocket():
            self._send_error(TooManyWebSockets(self._upstreams.route.sockets_per_caller))
            return
        super()._forward()

    def _count_websocket(self) -> bool:
        """Count this WebSocket for its caller. Returns False if the limit is reached."""
        caller = self._caller
        principal = caller.principal if caller is not None else None
        if principal is not None:
            key = principal.user_id
        else:
            key = self._client.peer if caller is None else caller.address
        websockets = self._state.websockets_by_caller
        if websockets.get(key, 0) >= self._upstreams.route.sockets_per_caller:
            return False
        websockets[key] = websockets.get(key, 0) + 1
        self._counted_key = key
        return True

    def protocol_switched(self, head: ResponseHead, data: bytes) -> None:
        """Open the tunnel if the service has accepted the WebSocket handshake."""
        key = self._request.headers.get("sec-websocket-key", "").encode("latin-1")
        if dict(head.parse_fields()).get("sec-websocket-accept") != _compute_accept(key):
            self._abort_upstream()
            self.response_failed(ProtocolError("The service switched to another protocol."))
            return
        self._status = 101
        self._is_open = True
        self._state.metrics.open_websockets += 1
        head_text = (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"X-Request-ID: {self._request_id}\r\n"
            f"{head.header_lines_without(CORS_RESPONSE_HEADERS)}\r\n"
        )
        self._client.write(head_text.encode("latin-1"))
        early_data = self._client.switch_to_tunnel()
        self._limit_buffers()
        self._client.set_timeout(IDLE_TIMEOUT_SECONDS)
        if data:
            self.tunnel_data_received(data)
        if early_data:
            self.receive_body(early_data, False)
        self._client.resume_reading()

    def _limit_buffers(self) -> None:
        """Limit what the kernel queues for a slow client: the service has to notice it."""
        connection = self._client.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)

    def tunnel_data_received(self, data: bytes) -> None:
        """Pass bytes from the service on to the client."""
        self._bytes_sent += len(data)
        self._service_frames.feed(data)
        self._client.write(data)
        if self._is_closing:
            self._send_close_frames()
        else:
            self._client.set_timeout(IDLE_TIMEOUT_SECONDS)

    def receive_body(self, data: bytes, ended: bool) -> None:
        """Pass bytes from the client on to the service."""
        if not self._is_open:
            super().receive_body(data, ended)
            return
        connection = self._connection
        if connection is None:
            return
        self._client_frames.feed(data)
        connection.send_body(data, last=False)
        if not self._is_closing:
            self._client.set_timeout(IDLE_TIMEOUT_SECONDS)

    def response_failed(self, error: Exception | None) -> None:
        if not self._is_open or self._finished:
            super().response_failed(error)
            return
        # The service has closed the connection. `close` sends buffered data to the client first.
        self._connection = None
        self._finish(101, None)
        self._client.transport.close()

    def handle_timeout(self, now: float) -> None:
        """Close an idle tunnel with status 1001. Abort it if that was not possible in time."""
        if not self._is_open:
            super().handle_timeout(now)
        elif self._is_closing:
            self._abort_upstream()
            self._finish(101, "going_away")
            self._client.abort_response()
        else:
            self._is_closing = True
            self._client.set_timeout(_CLOSE_TIMEOUT_SECONDS)
            self._send_close_frames()

    def _send_close_frames(self) -> None:
        """Close the tunnel with status 1001, unless the service's last frame is incomplete."""
        if not self._service_frames.is_at_boundary or self._finished:
            return
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.listener = None
            if self._client_frames.is_at_boundary:
                connection.transport.write(_CLOSE_FRAME_TO_SERVICE)
            connection.transport.close()
        self._client.write(_CLOSE_FRAME_TO_CLIENT)
        self._finish(101, "going_away")
        self._client.transport.close()

    def _finish(self, status: int, reason: str | None) -> None:
        super()._finish(status, reason)
        if self._is_open:
            self._is_open = False
            self._state.metrics.open_websockets -= 1
        if self._counted_key:
            websockets = self._state.websockets_by_caller
            websockets[self._counted_key] -= 1
            if not websockets[self._counted_key]:
                del websockets[self._counted_key]
            self._counted_key = ""


def _compute_accept(key: bytes) -> str:
    """Return the Sec-WebSocket-Accept value for *key* (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _get_head_size(head: bytes) -> int:
    """Return the size of a frame's head in bytes; 2 if fewer than two bytes are known."""
    if len(head) < 2:
        return 2
    length = head[1] & 0x7F
    return 2 + {126: 2, 127: 8}.get(length, 0) + (4 if head[1] & 0x80 else 0)


def _get_payload_size(head: bytes) -> int:
    length = head[1] & 0x7F
    if length == 126:
        return int.from_bytes(head[2:4])
    if length == 127:
        return int.from_bytes(head[2:10])
    return length
