"""Where a message's body ends: by its length, by its chunks, or with the connection.

Pure: bytes in, bytes out, split anywhere. Each decoder says when it is done and gives
back what lay behind the end.
"""

import re

from backend.services.gateway.clients.fields import BadFraming, read_field

_MAX_SIZE_LINE = 256
_MAX_TRAILERS = 8 * 1024
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,15})((?:;"
    + _TOKEN
    + rb"(?:=(?:"
    + _TOKEN
    + rb'|"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*)'
)
# A size line cut off anywhere may begin like this; whatever else it holds is known to be
# wrong before its end has come.
_SIZE_BEGUN = re.compile(rb"[0-9A-Fa-f]{0,15}\r?")


class Length:
    """A body of so many bytes."""

    __slots__ = ("done", "left", "rest")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        left = self.left - len(data)
        if left > 0:
            self.left = left
            return data
        self.done = True
        if left < 0:
            self.rest, data = data[self.left :], data[: self.left]
        self.left = 0
        return data

    def end(self) -> None:
        """The connection has ended: BadFraming unless the body had."""
        if self.left:
            raise BadFraming("The body ended before its length.")


class UntilClose:
    """A body that ends with its connection; whether all of it came, nobody can say."""

    __slots__ = ("rest",)
    done = False

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> None:
        """Every end is a good one."""


class Chunked:
    """A body in chunks (RFC 9112, 7.1), without its extensions and trailers."""

    __slots__ = ("_held", "_left", "_trailers", "done", "rest")

    _SIZE_NEXT = -1
    _END_NEXT = -2
    _TRAILERS_NEXT = -3

    def __init__(self) -> None:
        self._held = b""
        self._left = self._SIZE_NEXT
        self._trailers = 0
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        if self._left > len(data):
            self._left -= len(data)
            return data
        held, at, pieces = self._held + data, 0, []
        while not self.done:
            if self._left >= 0:
                piece = held[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._left = self._END_NEXT
            elif self._left == self._END_NEXT:
                end = held[at : at + 2]
                if end != b"\r\n"[: len(end)]:
                    raise BadFraming("A chunk is longer than its size.")
                if len(end) < 2:
                    break
                at += 2
                self._left = self._SIZE_NEXT
            else:
                line_end = held.find(b"\n", at)
                if line_end < 0:
                    self._check_begun(held[at:])
                    break
                if held[line_end - 1 : line_end] != b"\r" or line_end == at:
                    raise BadFraming("A line of the chunked body ends without CR.")
                self._line(held[at : line_end - 1])
                at = line_end + 1
        if self.done:
            self.rest, self._held = held[at:], b""
        else:
            self._held = held[at:]
        return b"".join(pieces)

    def end(self) -> None:
        """The connection has ended: BadFraming unless the last chunk had come."""
        if not self.done:
            raise BadFraming("The chunked body ended before its last chunk.")

    def _line(self, line: bytes) -> None:
        if self._left == self._TRAILERS_NEXT:
            self._trailer(line)
            return
        if len(line) > _MAX_SIZE_LINE:
            raise BadFraming("A chunk's size line is too long.")
        match = _SIZE.fullmatch(line)
        if match is None:
            raise BadFraming("A chunk's size is malformed.")
        size = int(match[1], 16)
        self._left = size or self._TRAILERS_NEXT

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.done = True
            return
        self._trailers += len(line)
        if self._trailers > _MAX_TRAILERS:
            raise BadFraming("The trailers are too long.")
        read_field(line.decode("latin-1"))

    def _check_begun(self, line: bytes) -> None:
        if self._left == self._TRAILERS_NEXT:
            if len(line) > _MAX_TRAILERS or b"\r" in line[:-1]:
                raise BadFraming("The trailers are malformed.")
        elif len(line) > _MAX_SIZE_LINE or b"\r" in line[:-1]:
            raise BadFraming("A chunk's size line is malformed.")
        else:
            size = line.partition(b";")[0]
            if not _SIZE_BEGUN.fullmatch(size):
                raise BadFraming("A chunk's size is malformed.")


Body = Length | Chunked | UntilClose


def chunk(data: bytes) -> bytes:
    """*data* as one chunk; nothing at all for nothing, which would be the last chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"
