"""Parse response heads of upstream services. An ambiguous head raises ProtocolError."""

import re
from collections.abc import Callable, Mapping

from backend.chassis.web.http1.body_framing import (
    BodyDecoder,
    ChunkedDecoder,
    LengthDecoder,
    UntilCloseDecoder,
)
from backend.chassis.web.http1.errors import ProtocolError
from backend.chassis.web.http1.header_fields import parse_content_length, parse_field_line

MAX_HEAD_BYTES = 64 * 1024
_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*)?", re.ASCII)
_MAX_CACHED_LINES = 2048
_MAX_CACHED_LINE_CHARS = 256
_MAX_CACHED_STATUS_CHARS = 64

DATE_BIT = 1 << 30
"""Bit in `ResponseHead.field_bits` that is set if the response has a Date header."""

Line = tuple[str, tuple[str, str, int] | None]
"""(line to forward or "", (name, value, bit) if the parser has to evaluate the line)"""

_STATUSES_WITHOUT_BODY = frozenset({204, 304})
# The header differs in every response and is always dropped, because the proxy writes its own. It
# is checked before parsing, so that it neither costs time nor fills the cache.
_REQUEST_ID_PREFIX = "x-request-id:"
_DROPPED: Line = ("", None)
_FRAMING_NAMES = frozenset({"content-length", "transfer-encoding", "connection"})


class ResponseHead:
    """A parsed response head.

    Attributes:
        header_lines: the lines to forward, each ending in CRLF.
        field_bits: bits of the present headers, as passed to the parser.
        content_length: value of Content-Length, which a response without a body may also have.
        connection: values of Connection, in lower case, comma-separated.
        body_length: length of the body in bytes, or None for a chunked body and one that ends
            with the connection.
    """

    __slots__ = (
        "body_length",
        "chunked",
        "connection",
        "content_length",
        "field_bits",
        "header_lines",
        "keep_alive",
        "status",
    )

    def __init__(
        self, status: int, header_lines: str, field_bits: int, content_length: int | None
    ) -> None:
        self.status = status
        self.header_lines = header_lines
        self.field_bits = field_bits
        self.content_length = content_length
        self.connection = ""
        self.keep_alive = False
        self.chunked = False
        self.body_length: int | None = 0

    def create_body_decoder(self) -> BodyDecoder:
        """Return the decoder for the body of this response."""
        if self.chunked:
            return ChunkedDecoder()
        return UntilCloseDecoder() if self.body_length is None else LengthDecoder(self.body_length)

    def parse_fields(self) -> list[tuple[str, str]]:
        """Return (lower-case name, value) of the lines to forward."""
        parts = (line.partition(": ") for line in self.header_lines.split("\r\n")[:-1])
        return [(name.lower(), value) for name, _, value in parts]

    def header_lines_without(self, names: frozenset[str]) -> str:
        """Return the lines to forward, except headers in *names* (lower case)."""
        lines = self.header_lines.split("\r\n")[:-1]
        return "".join(
            f"{line}\r\n" for line in lines if line.partition(":")[0].lower() not in names
        )


class ResponseHeadParser(dict[str, Line]):
    """Parse response heads.

    The dictionary itself is the cache of parsed lines: services repeat the same few lines.

    Args:
        is_forwarded: returns True if a header (lower-case name) is passed on to the client.
        bits: bit in `ResponseHead.field_bits` by lower-case header name.
    """

    def __init__(self, is_forwarded: Callable[[str], bool], bits: Mapping[str, int]) -> None:
        super().__init__()
        self._is_forwarded = is_forwarded
        self._bits = {**bits, "date": DATE_BIT}

    def parse_head(self, head: bytes, method: str) -> ResponseHead:
        """Parse *head*, without its final empty line, as the response to a request with *method*.

        Raises:
            ProtocolError: the head is malformed or its framing is ambiguous.
        """
        first, *raw_lines = head.decode("latin-1").split("\r\n")
        status, is_http10 = _STATUS_CACHE.get(first) or _parse_status_line(first)
        length = encoding = None
        header_lines, connection, bits = "", "", 0
        for line, details in map(self.__getitem__, raw_lines):
            header_lines += line
            if details is not None:
                name, value, bit = details
                if bit:
                    bits |= bit
                elif name == "content-length":
                    if length is not None:
                        raise ProtocolError("Content-Length appears twice.")
                    length = int(value)
                elif name == "transfer-encoding":
                    if encoding is not None:
                        raise ProtocolError("Transfer-Encoding appears twice.")
                    encoding = value
                else:
                    connection = f"{connection},{value}" if connection else value
        response = ResponseHead(status, header_lines, bits, length)
        response.connection = connection
        response.keep_alive = not is_http10 and not (connection and "close" in connection)
        if status < 200:
            return response
        # RFC 9112, 6.1 and 6.3: both headers, or chunks from an HTTP/1.0 server, may be an
        # attempt at response smuggling.
        if encoding is not None and (length is not None or is_http10 or encoding != "chunked"):
            raise ProtocolError("The framing of the response is ambiguous.")
        if method != "HEAD" and status not in _STATUSES_WITHOUT_BODY:
            response.body_length = length
            if length is None:
                response.chunked = encoding is not None
                if encoding is None:
                    response.keep_alive = False
        return response

    def __missing__(self, raw: str) -> Line:
        if raw[:13].lower() == _REQUEST_ID_PREFIX:
            return _DROPPED
        name, value = parse_field_line(raw)
        lower = name.lower()
        line: Line
        if lower in _FRAMING_NAMES:
            # Validate before caching, so that a cached value is always valid.
            value = str(parse_content_length(value)) if lower == "content-length" else value.lower()
            line = ("", (lower, value, 0))
        elif self._is_forwarded(lower):
            bit = self._bits.get(lower, 0)
            line = (f"{name}: {value}\r\n", (lower, value, bit) if bit else None)
        else:
            line = _DROPPED
        if len(raw) <= _MAX_CACHED_LINE_CHARS:
            if len(self) >= _MAX_CACHED_LINES:
                self.clear()
            self[raw] = line
        return line


_STATUS_CACHE: dict[str, tuple[int, bool]] = {}


def _parse_status_line(line: str) -> tuple[int, bool]:
    """Return (status, True if the version is HTTP/1.0)."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise ProtocolError("The status line is malformed.")
    parsed = int(match[2]), match[1] == "0"
    if len(_STATUS_CACHE) < _MAX_CACHED_LINES and len(line) < _MAX_CACHED_STATUS_CHARS:
        _STATUS_CACHE[line] = parsed
    return parsed
