"""One WebSocket: frames in and out, pings, slow clients and the end of the connection."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from backend.services.realtime.edge.frames import MessageReader, encode_text_frame
from backend.services.realtime.errors import CloseReason

if TYPE_CHECKING:
    from backend.security import Principal
    from backend.services.realtime.edge.server import RealtimeServer

_CLOSE_SECONDS = 5.0
CONNECT_SECONDS = 5.0
# Above this size of the queue, a client is observed; the limit of the queue is in the settings.
STALL_BYTES = 64 * 1024
PING_MESSAGE = encode_text_frame(b"{}")
_PONG_START = b"\x8a"
# By default the kernel queues megabytes for a client that does not read.
_KERNEL_BUFFER_BYTES = 64 * 1024


def limit_send_buffers(transport: asyncio.Transport) -> None:
    """Limit what is queued for a client before it is regarded as slow."""
    transport.set_write_buffer_limits(high=STALL_BYTES)
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)


class WebSocket(asyncio.Protocol, ABC):
    """A WebSocket after its handshake. Subclasses implement one protocol on it.

    Args:
        server: the state that all connections of the process share.
        principal: the authenticated caller, or None if the first message has to authenticate.
    """

    __slots__ = (
        "_command_allowance",
        "_commands_at",
        "_reader",
        "_timer",
        "client_id",
        "ended",
        "expires_at",
        "is_pong_awaited",
        "ping_group",
        "principal",
        "server",
        "stalled_at",
        "stalled_bytes",
        "transport",
    )

    def __init__(self, server: RealtimeServer, principal: Principal | None) -> None:
        self.server = server
        self.principal = principal
        self.client_id = ""
        self.transport: asyncio.Transport
        self._reader = MessageReader(server.limits.message_bytes)
        self._timer: asyncio.TimerHandle | None = None
        self.ended = False
        self.is_pong_awaited = False
        self.ping_group = 0
        self.expires_at = 0.0
        self.stalled_at = 0.0
        self.stalled_bytes = 0
        self._command_allowance = float(server.limits.command_burst)
        self._commands_at = monotonic()

    # Defined by subclasses

    def opened(self) -> None:
        """The handshake is complete. The principal may be None."""

    @abstractmethod
    def message_received(self, message: str) -> None:
        """Handle a text message."""

    def closed(self) -> None:
        """The connection has ended: release what the session holds."""

    def send_ping(self) -> None:
        """Send a ping that the client has to answer before the next one."""
        self.is_pong_awaited = True
        self.transport.write(PING_MESSAGE)

    # Start

    def attach(self, transport: asyncio.Transport, head: bytes, received: bytes) -> None:
        """Take over *transport* after the handshake.

        Args:
            transport: the transport of the HTTP connection.
            head: the response head of the handshake.
            received: bytes that followed the request.
        """
        self.transport = transport
        transport.set_protocol(self)
        limit_send_buffers(transport)
        transport.write(head)
        self.server.add_socket(self)
        if self.principal is None:
            self._timer = self.server.loop.call_later(CONNECT_SECONDS, self._not_authenticated)
        self.opened()
        if received:
            self.data_received(received)

    def authenticated(self, principal: Principal) -> bool:
        """Register the connection for *principal*. Returns False if a limit closed it."""
        self.principal = principal
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.server.register(self, principal):
            self.principal = None
            self.close(CloseReason.CONNECTION_LIMIT)
            return False
        return True

    def _not_authenticated(self) -> None:
        self._timer = None
        self.close(CloseReason.INVALID_TOKEN)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        messages = self._reader.feed(data)
        # Answers to ping frames come first, because a ping may arrive between the parts of a
        # message; the close frame comes last.
        output = self._reader.take_output()
        self._write_output([part for part in output if _is_pong(part)])
        for message in messages:
            if self.ended:
                continue  # Only the client's close frame is of interest now.
            if isinstance(message, bytes):
                self.binary_received(message)
            else:
                self.message_received(message)
        if self._reader.has_pong:
            self._reader.has_pong = self.is_pong_awaited = False
        self._write_output([part for part in output if not _is_pong(part)])

    def binary_received(self, message: bytes) -> None:  # noqa: ARG002 - for the tests' echo
        """Handle a binary message, which no protocol here uses."""
        self.close(CloseReason.UNSUPPORTED)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._end()

    def pause_writing(self) -> None:
        self.stalled_at = self.server.loop.time()
        self.stalled_bytes = self.transport.get_write_buffer_size()
        self.server.stalled.add(self)

    def resume_writing(self) -> None:
        self.stalled_at = 0.0
        self.server.stalled.discard(self)

    # Sending

    def send_text(self, text: str) -> None:
        self.write(encode_text_frame(text.encode()))

    def write(self, frame: bytes) -> None:
        """Send an encoded frame. A client that is too slow is disconnected."""
        if self.ended:
            return
        self.transport.write(frame)
        if self.stalled_at and (
            self.transport.get_write_buffer_size() > self.server.limits.queued_bytes
        ):
            self.abort(CloseReason.SLOW)

    def check_stalled(self, now: float) -> None:
        """Disconnect a client that has read nothing for the allowed time."""
        size = self.transport.get_write_buffer_size()
        if size < self.stalled_bytes:
            self.stalled_at = now
        elif now - self.stalled_at >= self.server.limits.stall_seconds:
            self.abort(CloseReason.SLOW)
        self.stalled_bytes = size

    def accept_command(self) -> bool:
        """Count a command of the client. Returns False if it sends too many."""
        now, limits = monotonic(), self.server.limits
        allowance = self._command_allowance + (now - self._commands_at) * limits.commands_per_second
        self._commands_at = now
        self._command_allowance = min(allowance, float(limits.command_burst))
        if self._command_allowance < 1:
            return False
        self._command_allowance -= 1
        return True

    # End

    def end_session(self) -> None:
        self.close(CloseReason.SESSION_ENDED)

    def close(self, reason: CloseReason) -> None:
        """Send a close frame; abort the connection if the client does not close it in time."""
        if self.ended:
            return
        self.server.count_close(reason)
        self._reader.close(reason.code, reason.text)
        self._write_output(self._reader.take_output())
        self._end()
        self.server.loop.call_later(_CLOSE_SECONDS, self.transport.abort)

    def abort(self, reason: CloseReason) -> None:
        """End the connection without a close frame, which a slow client would not receive."""
        if not self.ended:
            self.server.count_close(reason)
            self._end()
            self.transport.abort()

    def _write_output(self, output: Sequence[bytes]) -> None:
        for data in output:
            if data:
                self.transport.write(data)
            else:
                # The closing handshake is complete, or the client broke the protocol.
                self._end()
                if not self.transport.is_closing():
                    self.transport.close()

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
        self.server.remove_socket(self)
        self.closed()


def _is_pong(data: bytes) -> bool:
    return data[:1] == _PONG_START
