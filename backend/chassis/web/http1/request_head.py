"""Parse request heads: the request line and the header block.

Nothing is repaired, because the service that receives the forwarded request might interpret it
differently: two lengths, a folded line, a bare line feed or a second Host are answered with 400.
"""

import copy
import re
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from backend.chassis.web.http1.body_framing import BodyDecoder, ChunkedDecoder, LengthDecoder
from backend.chassis.web.http1.errors import InvalidRequest, ProtocolError, malformed_request
from backend.chassis.web.http1.header_fields import (
    TOKEN,
    parse_content_length,
    parse_field_line,
)

MAX_LINE_BYTES = 8 * 1024
MAX_HEAD_BYTES = 32 * 1024
MAX_FIELDS = 100
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ALLOWED_METHODS = ", ".join(METHODS)

_SUPPORTED_METHODS = frozenset(METHODS)
_DISABLED_METHODS = frozenset({"TRACE", "CONNECT"})
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]", re.ASCII)
_ABSOLUTE_FORM = re.compile(r"https?://([^/?#]*)(.*)", re.ASCII | re.IGNORECASE)
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?", re.ASCII)
_INVALID_BYTES = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MAX_CACHED_LINES = 8192
_MAX_CACHED_LINE_CHARS = 256

# Headers that the parser itself interprets, whether or not they are forwarded.
_PROTOCOL_NAMES = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"}
)
_SINGLE_PROTOCOL_NAMES = frozenset({"host", "content-length", "transfer-encoding"})

# Possible actions for a header line.
_FORWARD = 0
_DROP = 1
_PARSE = 2

HeaderLine = tuple[int, str, str, str]
"""(action, name in lower case, value, line as it is forwarded)"""


class RequestLine:
    """A parsed request line. One instance serves all requests with the same line.

    Attributes:
        method: the method.
        target: the request target in origin form, or `*`.
        minor_version: the minor version of HTTP/1.
        authority: host and port of a target in absolute form, which replace the value of Host.
    """

    __slots__ = ("authority", "method", "minor_version", "target")

    def __init__(
        self, method: str, target: str, minor_version: int, authority: str | None = None
    ) -> None:
        self.method = method
        self.target = target
        self.minor_version = minor_version
        self.authority = authority


class HeaderBlock:
    """A parsed header block. One instance serves all requests that repeat the same bytes.

    Attributes:
        forwarded_lines: the lines to forward, each ending in CRLF.
        headers: values of the parsed headers by lower-case name.
        http11_error: error that applies to HTTP/1.1 but not to HTTP/1.0, such as a missing Host.
    """

    __slots__ = (
        "chunked",
        "closes_connection",
        "content_length",
        "forwarded_lines",
        "headers",
        "http11_error",
    )

    def __init__(self) -> None:
        self.forwarded_lines: list[str] = []
        self.headers: dict[str, str] = {}
        self.chunked = False
        self.closes_connection = False
        self.content_length = 0
        self.http11_error: InvalidRequest | None = None

    def with_host(self, host: str) -> Self:
        """Return a copy of the block with another value of Host."""
        block = copy.copy(self)
        block.headers = {**self.headers, "host": host}
        return block


Block = TypeVar("Block", bound=HeaderBlock)


class Request(Generic[Block]):
    """A request: request line, header block and the decoder of its body.

    Raises:
        InvalidRequest: the header block is not valid for the HTTP version of the request line.
    """

    __slots__ = ("block", "body_decoder", "headers", "keep_alive", "line", "method")

    def __init__(self, line: RequestLine, block: Block) -> None:
        # RFC 9112, 3.2.2: a server ignores the Host header of a request in absolute form.
        if line.authority is not None:
            block = block.with_host(line.authority)
        self.line = line
        self.block = block
        self.method = line.method
        self.headers = block.headers
        self.keep_alive = line.minor_version == 1 and not block.closes_connection
        self.body_decoder: BodyDecoder
        if block.chunked:
            self.body_decoder = ChunkedDecoder()
        else:
            length = block.content_length
            self.body_decoder = LengthDecoder(length) if length else _NO_BODY
        if line.minor_version == 0:
            if block.chunked:
                raise malformed_request("HTTP/1.0 does not have Transfer-Encoding.")
        elif block.http11_error is not None:
            raise block.http11_error

    @property
    def minor_version(self) -> int:
        return self.line.minor_version

    @property
    def target(self) -> str:
        return self.line.target

    @property
    def forwarded_lines(self) -> list[str]:
        return self.block.forwarded_lines

    @property
    def chunked(self) -> bool:
        return self.block.chunked

    @property
    def expects_continue(self) -> bool:
        return "expect" in self.headers and self.line.minor_version == 1

    @property
    def has_body(self) -> bool:
        return not self.body_decoder.done

    @property
    def content_length(self) -> int | None:
        """Declared length of the body in bytes, or None for a chunked body."""
        return None if self.block.chunked else self.block.content_length

    @property
    def is_websocket_upgrade(self) -> bool:
        headers = self.headers
        return (
            "upgrade" in headers
            and headers["upgrade"].lower() == "websocket"
            and "upgrade" in headers.get("connection", "").lower()
            and self.method == "GET"
            and self.line.minor_version == 1
            and not self.has_body
        )


# The decoder of an empty body has no state, so all requests share one.
_NO_BODY = LengthDecoder(0)


class HeaderParser(Generic[Block]):
    """Parse header blocks, with a cache of lines: clients repeat the same lines.

    Args:
        create_block: creates the empty block that is filled.
        is_forwarded: returns True if a header (lower-case name) is passed on to a service.
        parsed_names: headers to collect in `HeaderBlock.headers`, in addition to those that
            HTTP/1.1 itself needs.
        single_names: headers of *parsed_names* that may appear only once. If one were repeated, a
            service might use another of its values.
    """

    def __init__(
        self,
        create_block: Callable[[], Block],
        is_forwarded: Callable[[str], bool],
        parsed_names: frozenset[str] = frozenset(),
        single_names: frozenset[str] = frozenset(),
    ) -> None:
        self._create_block = create_block
        self._is_forwarded = is_forwarded
        self._parsed_names = _PROTOCOL_NAMES | parsed_names
        self._single_names = _SINGLE_PROTOCOL_NAMES | single_names
        self._parsed_and_forwarded = frozenset(filter(is_forwarded, self._parsed_names))
        self._cache: dict[str, HeaderLine] = {}

    def parse_block(self, raw: bytes, present: bool = True) -> Block:
        """Parse the header lines in *raw*, which lacks the CRLF of its last line.

        Args:
            raw: the header lines.
            present: False if the request has no header lines at all.

        Raises:
            InvalidRequest: a line or the whole block is invalid or too large.
        """
        if len(raw) > MAX_HEAD_BYTES:
            raise InvalidRequest(431, "header_too_large", "The header section is too large.")
        lines = raw.decode("latin-1").split("\r\n") if present else []
        if len(lines) > MAX_FIELDS:
            raise InvalidRequest(431, "too_many_headers", "The request has too many header fields.")
        block = self._create_block()
        get_cached, parse_line = self._cache.get, self._parse_line
        forwarded, headers = block.forwarded_lines, block.headers
        parsed_and_forwarded = self._parsed_and_forwarded
        for raw_line in lines:
            action, name, value, line = get_cached(raw_line) or parse_line(raw_line)
            if action == _FORWARD:
                forwarded.append(line)
            elif action == _PARSE:
                if name in headers:
                    self._add_repeated_header(headers, name, value)
                else:
                    headers[name] = value
                if name in parsed_and_forwarded:
                    forwarded.append(line)
        self._interpret_headers(block)
        return block

    def _parse_line(self, raw: str) -> HeaderLine:
        try:
            name, value = parse_field_line(raw)
        except ProtocolError as error:
            raise malformed_request(str(error)) from error
        lower = name.lower()
        if lower in self._parsed_names:
            action = _PARSE
        else:
            action = _FORWARD if self._is_forwarded(lower) else _DROP
        line = (action, lower, value, f"{name}: {value}\r\n")
        if len(raw) <= _MAX_CACHED_LINE_CHARS:
            if len(self._cache) >= _MAX_CACHED_LINES:
                self._cache.clear()
            self._cache[raw] = line
        return line

    def _add_repeated_header(self, headers: dict[str, str], name: str, value: str) -> None:
        if name in self._single_names:
            raise malformed_request(f"The header {name} appears twice.")
        headers[name] = f"{headers[name]}, {value}"

    def _interpret_headers(self, block: Block) -> None:
        headers = block.headers
        host = headers.get("host")
        if host is not None:
            if not is_valid_host(host):
                raise malformed_request("The Host header is malformed.")
        else:
            block.http11_error = malformed_request("The Host header is missing.")
        if headers.get("expect", "100-continue").lower() != "100-continue":
            detail = "Only 'Expect: 100-continue' is supported."
            block.http11_error = block.http11_error or InvalidRequest(
                417, "expectation_failed", detail
            )
        connection = headers.get("connection")
        if connection is not None:
            self._apply_connection(block, connection.lower())
        if "transfer-encoding" in headers:
            _check_transfer_encoding(headers)
            block.chunked = True
        elif "content-length" in headers:
            try:
                block.content_length = parse_content_length(headers["content-length"])
            except ProtocolError as error:
                raise malformed_request(str(error)) from error

    def _apply_connection(self, block: Block, connection: str) -> None:
        if connection == "keep-alive":
            return
        names = {part.strip() for part in connection.split(",")}
        if "close" in names:
            block.closes_connection = True
        dropped = names - {"close", "keep-alive", "upgrade", ""}
        if dropped:
            block.forwarded_lines = [
                line
                for line in block.forwarded_lines
                if line.partition(":")[0].lower() not in dropped
            ]
            # A header that is not forwarded must not be used either: otherwise a caller could be
            # authenticated by a header that the service never receives.
            for name in dropped & self._parsed_and_forwarded:
                block.headers.pop(name, None)


def check_partial_head(data: bytes, start: int) -> None:
    """Reject an incomplete head as soon as it cannot become valid.

    Args:
        data: the bytes received so far.
        start: number of bytes that an earlier call has already checked.

    Raises:
        InvalidRequest: the head is invalid or too large.
    """
    if _INVALID_BYTES.search(data, max(0, start - 1)):
        raise malformed_request("A line ends in a bare CR or LF, or has a control character.")
    first_end = data.find(b"\r\n")
    if first_end >= 0:
        parse_request_line(data[:first_end])
    elif len(data) > MAX_LINE_BYTES:
        raise InvalidRequest(414, "uri_too_long", "The request line is too long.")
    if len(data) > MAX_HEAD_BYTES:
        raise InvalidRequest(431, "header_too_large", "The header section is too large.")


def parse_request_head(head: bytes, parser: HeaderParser[Block]) -> Request[Block]:
    """Parse a complete *head*, without the empty line at its end.

    Raises:
        InvalidRequest: the head is invalid.
    """
    line, _, block = head.partition(b"\r\n")
    return Request(parse_request_line(line), parser.parse_block(block, len(head) > len(line)))


def parse_request_line(raw: bytes) -> RequestLine:
    """Parse a request line without its CRLF.

    Raises:
        InvalidRequest: the line is malformed or too long, or its method or version is not
            supported.
    """
    if len(raw) > MAX_LINE_BYTES:
        raise InvalidRequest(414, "uri_too_long", "The request line is too long.")
    parts = raw.decode("latin-1").split(" ")
    if len(parts) != 3 or not parts[1]:
        raise malformed_request("The request line is not 'METHOD target HTTP/1.1'.")
    method, target, version = parts
    if version == "HTTP/1.1":
        minor_version = 1
    elif version == "HTTP/1.0":
        minor_version = 0
    elif _VERSION.fullmatch(version):
        raise InvalidRequest(505, "version_not_supported", "Use HTTP/1.1.")
    else:
        raise malformed_request("The HTTP version is malformed.")
    if method not in _SUPPORTED_METHODS:
        if not TOKEN.fullmatch(method):
            raise malformed_request("The method is not a token.")
        if method in _DISABLED_METHODS:
            raise InvalidRequest(405, "method_not_allowed", f"{method} is not allowed.")
        raise InvalidRequest(501, "method_not_implemented", "The method is not supported.")
    authority = None
    if target[0] != "/":
        authority, target = split_absolute_form(target)
        if authority is not None and target == "*" and method != "OPTIONS":
            target = "/"
        elif target[0] != "/" and not (target == "*" and method == "OPTIONS"):
            raise malformed_request("The request target must be a path or an http URL.")
    if not (target.isascii() and target.isprintable()):
        raise malformed_request("The request target has a character that is not allowed.")
    return RequestLine(method, target, minor_version, authority)


def split_absolute_form(target: str) -> tuple[str | None, str]:
    """Split a request target in absolute form into the authority and the rest.

    For any other target the authority is None. If a target has neither path nor query, the rest is
    `*`, which stands for the whole server (RFC 9112, 3.2.4).

    Raises:
        InvalidRequest: the authority is not a host with an optional port. User names are rejected
            too (RFC 9110, 4.2.4).
    """
    match = _ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        return None, target
    authority, rest = match.groups()
    if not is_valid_host(authority):
        raise malformed_request("The host of the request target is malformed.")
    if rest.startswith("?"):
        rest = "/" + rest
    return authority, rest or "*"


def is_valid_host(value: str) -> bool:
    """Return True if *value* is a host with an optional port, as in the Host header."""
    match = _HOST.fullmatch(value)
    return match is not None and int(match[1] or 0) <= 65535


def _check_transfer_encoding(headers: dict[str, str]) -> None:
    if "content-length" in headers:
        raise malformed_request("The request has both Transfer-Encoding and Content-Length.")
    coding = headers["transfer-encoding"].lower()
    if coding != "chunked":
        codings = [part.strip(" \t") for part in coding.split(",")]
        if "chunked" in codings[:-1] or not all(TOKEN.fullmatch(part) for part in codings):
            raise malformed_request("Transfer-Encoding is malformed.")
        raise InvalidRequest(
            501, "coding_not_implemented", "The only supported transfer coding is 'chunked'."
        )


def strip_leading_empty_lines(data: bytes) -> bytes:
    """Remove up to four empty lines before a request (RFC 9112, 2.2)."""
    for _ in range(4):
        if not data.startswith(b"\r\n"):
            break
        data = data[2:]
    return data
