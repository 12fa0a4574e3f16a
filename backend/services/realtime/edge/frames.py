"""WebSocket frames: encoding for broadcasts, and complete messages from received frames.

The `websockets` library parses frames and enforces RFC 6455; this module joins fragments and
validates UTF-8.
"""

import codecs
import logging
from collections.abc import Sequence

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

MAX_MESSAGE_BYTES = 64 * 1024
PING_FRAME = b"\x89\x00"
_TEXT_OPCODE = 0x81
_create_decoder = codecs.getincrementaldecoder("utf-8")
# One logger for all connections: the library logs frames at debug level only.
_log = logging.getLogger(__name__)


def encode_text_frame(payload: bytes) -> bytes:
    """Return *payload* as one unmasked text frame, as a server sends it."""
    length = len(payload)
    if length < 126:
        return bytes((_TEXT_OPCODE, length)) + payload
    if length < 65536:
        return bytes((_TEXT_OPCODE, 126)) + length.to_bytes(2) + payload
    return bytes((_TEXT_OPCODE, 127)) + length.to_bytes(8) + payload


class MessageReader:
    """Reads the messages of one connection and answers control frames.

    Args:
        max_bytes: maximum size of a message. A larger one closes the connection with 1009.

    Attributes:
        has_pong: True after the client has answered a ping frame, until it is reset.
    """

    __slots__ = ("_decoder", "_is_text", "_parts", "has_pong", "protocol")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self.protocol = Protocol(Side.SERVER, max_size=max_bytes, logger=_log)
        self._parts: list[str | bytes] | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._is_text = False
        self.has_pong = False

    @property
    def is_open(self) -> bool:
        return self.protocol.state is State.OPEN

    def feed(self, data: bytes) -> list[str | bytes]:
        """Return the messages that *data* completes: text as str, binary as bytes."""
        protocol = self.protocol
        protocol.receive_data(data)
        messages: list[str | bytes] = []
        for event in protocol.events_received():
            assert isinstance(event, Frame)  # noqa: S101 - the handshake is done elsewhere
            if event.opcode == Opcode.PONG:
                self.has_pong = True
            elif event.opcode <= Opcode.BINARY:
                try:
                    message = self._add_frame(event)
                except UnicodeDecodeError:
                    protocol.fail(CloseCode.INVALID_DATA, "invalid UTF-8")
                    break
                if message is not None:
                    messages.append(message)
        return messages

    def close(self, code: int, reason: str) -> None:
        if self.is_open:
            self.protocol.send_close(code, reason)

    def take_output(self) -> Sequence[bytes]:
        """Return the bytes to send; b"" stands for the end of the stream."""
        return self.protocol.data_to_send()

    def _add_frame(self, frame: Frame) -> str | bytes | None:
        """Add a data frame. Returns the message that it completes.

        Raises:
            UnicodeDecodeError: a text message is not UTF-8, as soon as this is known.
        """
        if frame.opcode != Opcode.CONT:
            self._is_text = frame.opcode == Opcode.TEXT
            if frame.fin:
                return bytes(frame.data).decode() if self._is_text else bytes(frame.data)
            self._parts = []
            self._decoder = _create_decoder() if self._is_text else None
        assert self._parts is not None  # noqa: S101 - the library rejects other continuations
        if self._decoder is not None:
            part: str | bytes = self._decoder.decode(bytes(frame.data), frame.fin)
        else:
            part = bytes(frame.data)
        if part:
            self._parts.append(part)
        if not frame.fin:
            return None
        parts, self._parts, self._decoder = self._parts, None, None
        if self._is_text:
            return "".join(str(piece) for piece in parts)
        return b"".join(piece for piece in parts if isinstance(piece, bytes))
