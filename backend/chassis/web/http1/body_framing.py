"""Incremental body decoders: by Content-Length, by chunks, or until the connection closes.

Pure functions of bytes; input may be split anywhere. `feed` returns the decoded part of *data*,
`done` is True after the end of the body, and `trailing_data` holds the bytes after it.
"""

import re

from backend.chassis.web.http1.errors import ProtocolError
from backend.chassis.web.http1.header_fields import parse_field_line

_MAX_SIZE_LINE_BYTES = 256
_MAX_TRAILER_BYTES = 8 * 1024
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,15})((?:;"
    + _TOKEN
    + rb"(?:=(?:"
    + _TOKEN
    + rb'|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*)'
)
# Valid start of an incomplete size line. Anything else is rejected before the line is complete.
_PARTIAL_SIZE = re.compile(rb"[0-9A-Fa-f]{0,15}\r?")


class LengthDecoder:
    """Decoder for a body of *length* bytes."""

    __slots__ = ("done", "remaining", "trailing_data")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0
        self.trailing_data = b""

    def feed(self, data: bytes) -> bytes:
        left = self.remaining - len(data)
        if left > 0:
            self.remaining = left
            return data
        self.done = True
        if left < 0:
            self.trailing_data, data = data[self.remaining :], data[: self.remaining]
        self.remaining = 0
        return data

    def feed_eof(self) -> None:
        """Handle the end of the connection.

        Raises:
            ProtocolError: the body is incomplete.
        """
        if self.remaining:
            raise ProtocolError("The body ended before its length.")


class UntilCloseDecoder:
    """Decoder for a body that ends with the connection. A truncated body cannot be detected."""

    __slots__ = ("trailing_data",)
    done = False

    def __init__(self) -> None:
        self.trailing_data = b""

    def feed(self, data: bytes) -> bytes:
        return data

    def feed_eof(self) -> None:
        """Accept the end of the connection: it is the end of the body."""


class ChunkedDecoder:
    """Decoder for a chunked body (RFC 9112, 7.1). Drops chunk extensions and trailers."""

    __slots__ = ("_buffer", "_remaining", "_trailer_bytes", "done", "trailing_data")

    # Values of `_remaining` outside a chunk: which line is expected next.
    _SIZE_LINE_NEXT = -1
    _CHUNK_END_NEXT = -2
    _TRAILERS_NEXT = -3

    def __init__(self) -> None:
        self._buffer = b""
        self._remaining = self._SIZE_LINE_NEXT
        self._trailer_bytes = 0
        self.done = False
        self.trailing_data = b""

    def feed(self, data: bytes) -> bytes:
        if self._remaining > len(data):
            self._remaining -= len(data)
            return data
        buffer, position, pieces = self._buffer + data, 0, []
        while not self.done:
            if self._remaining >= 0:
                piece = buffer[position : position + self._remaining]
                pieces.append(piece)
                position += len(piece)
                self._remaining -= len(piece)
                if self._remaining:
                    break
                self._remaining = self._CHUNK_END_NEXT
            elif self._remaining == self._CHUNK_END_NEXT:
                end = buffer[position : position + 2]
                if end != b"\r\n"[: len(end)]:
                    raise ProtocolError("A chunk is longer than its size.")
                if len(end) < 2:
                    break
                position += 2
                self._remaining = self._SIZE_LINE_NEXT
            else:
                line_end = buffer.find(b"\n", position)
                if line_end < 0:
                    self._check_partial_line(buffer[position:])
                    break
                if buffer[line_end - 1 : line_end] != b"\r" or line_end == position:
                    raise ProtocolError("A line of the chunked body ends without CR.")
                self._parse_line(buffer[position : line_end - 1])
                position = line_end + 1
        if self.done:
            self.trailing_data, self._buffer = buffer[position:], b""
        else:
            self._buffer = buffer[position:]
        return b"".join(pieces)

    def feed_eof(self) -> None:
        """Handle the end of the connection.

        Raises:
            ProtocolError: the last chunk was not received.
        """
        if not self.done:
            raise ProtocolError("The chunked body ended before its last chunk.")

    def _parse_line(self, line: bytes) -> None:
        if self._remaining == self._TRAILERS_NEXT:
            self._parse_trailer(line)
            return
        if len(line) > _MAX_SIZE_LINE_BYTES:
            raise ProtocolError("A chunk's size line is too long.")
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError("A chunk's size is malformed.")
        size = int(match[1], 16)
        self._remaining = size or self._TRAILERS_NEXT

    def _parse_trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailer_bytes += len(line)
        if self._trailer_bytes > _MAX_TRAILER_BYTES:
            raise ProtocolError("The trailers are too long.")
        parse_field_line(line.decode("latin-1"))

    def _check_partial_line(self, line: bytes) -> None:
        """Reject an incomplete line that cannot become valid."""
        if self._remaining == self._TRAILERS_NEXT:
            if len(line) > _MAX_TRAILER_BYTES or b"\r" in line[:-1]:
                raise ProtocolError("The trailers are malformed.")
        elif len(line) > _MAX_SIZE_LINE_BYTES or b"\r" in line[:-1]:
            raise ProtocolError("A chunk's size line is malformed.")
        else:
            size = line.partition(b";")[0]
            if not _PARTIAL_SIZE.fullmatch(size):
                raise ProtocolError("A chunk's size is malformed.")


BodyDecoder = LengthDecoder | ChunkedDecoder | UntilCloseDecoder


def encode_chunk(data: bytes) -> bytes:
    """Encode *data* as one chunk. Empty *data* gives b"": an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"
