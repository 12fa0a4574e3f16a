"""A request's head, strictly read: what it says, or the refusal it gets.

Nothing is repaired and nothing is guessed, because the service behind might guess
otherwise: two lengths, a fold, a bare line feed, a second Host are all 400.
"""

import re

from backend.services.gateway.clients.fields import TOKEN, BadFraming, read_field, read_length
from backend.services.gateway.clients.framing import Body, Chunked, Length
from backend.services.gateway.domain.headers import travels_inward

MAX_LINE = 8 * 1024
MAX_HEAD = 32 * 1024
MAX_FIELDS = 100
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ALLOW = ", ".join(METHODS)

_KNOWN_METHODS = frozenset(METHODS)
_REFUSED_METHODS = frozenset({"TRACE", "CONNECT"})
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]", re.ASCII)
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?", re.ASCII)
_BROKEN = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_KNOWN_LINES = 8192
_KEPT = 0
_DROPPED = 1
_SPECIAL = 2

# Read here, whether or not they travel on.
_READ = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "expect",
        "upgrade",
        "authorization",
        "x-api-key",
        "x-tenant-id",
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-proto",
        "origin",
        "content-type",
        "idempotency-key",
        "user-agent",
        "access-control-request-method",
        "sec-websocket-key",
        "sec-websocket-version",
        "traceparent",
        "tracestate",
    }
)
# Twice the same is one too many: the service might believe the other one.
_ONCE = frozenset(
    {"authorization", "x-api-key", "x-tenant-id", "content-type", "idempotency-key", "origin"}
)


class BadRequest(Exception):
    """The connection's bytes are no request that is served; answered once, then closed."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def _malformed(detail: str) -> BadRequest:
    return BadRequest(400, "malformed_request", detail)


Line = tuple[int, str, str, str]
"""(what to do with it, name in lower case, value, the line as it is written on)"""


class RequestLine:
    """What the first line says; the same for every request that begins with it."""

    __slots__ = ("method", "minor", "target")

    def __init__(self, method: str, target: str, minor: int) -> None:
        self.method = method
        self.target = target
        self.minor = minor


class Block:
    """What the header lines say; the same for every request of a client that repeats them.

    `kept` are the lines that travel on, as they are written; `said` is what is read here.
    """

    __slots__ = (
        "caller",
        "chunked",
        "closes",
        "counted",
        "kept",
        "length",
        "onward",
        "said",
        "switches",
        "trouble",
    )

    def __init__(self) -> None:
        # What whoever reads the block finds out about it, kept with it.
        self.caller: object = None
        self.counted = ""
        self.onward = ""
        self.switches = False
        self.kept: list[str] = []
        self.said: dict[str, str] = {}
        self.chunked = False
        self.closes = False
        self.length = 0
        self.trouble: BadRequest | None = None
        """What stands against it in HTTP/1.1, though not in HTTP/1.0."""


class Request:
    """One request: its line, its header block, and the body that is still to come."""

    __slots__ = ("block", "body", "keep_alive", "line", "method", "said")

    def __init__(self, line: RequestLine, block: Block) -> None:
        self.line = line
        self.block = block
        self.method = line.method
        self.said = block.said
        self.keep_alive = line.minor == 1 and not block.closes
        self.body: Body
        if block.chunked:
            self.body = Chunked()
        else:
            self.body = Length(block.length) if block.length else _NO_BODY
        if line.minor == 0:
            if block.chunked:
                raise _malformed("There is no Transfer-Encoding in HTTP/1.0.")
        elif block.trouble is not None:
            raise block.trouble

    @property
    def minor(self) -> int:
        return self.line.minor

    @property
    def target(self) -> str:
        return self.line.target

    @property
    def kept(self) -> list[str]:
        return self.block.kept

    @property
    def chunked(self) -> bool:
        return self.block.chunked

    @property
    def expects_continue(self) -> bool:
        return "expect" in self.said and self.line.minor == 1

    @property
    def has_body(self) -> bool:
        return not self.body.done

    @property
    def length(self) -> int | None:
        """How long the body says it is; None for chunks."""
        return None if self.block.chunked else self.block.length

    @property
    def wants_websocket(self) -> bool:
        said = self.said
        return (
            "upgrade" in said
            and said["upgrade"].lower() == "websocket"
            and "upgrade" in said.get("connection", "").lower()
            and self.method == "GET"
            and self.line.minor == 1
            and not self.has_body
        )


# Bodies that are over before they begin keep no state, so that one serves for all.
_NO_BODY = Length(0)


class Lines:
    """Header lines already judged: what a client sends once it sends with every request."""

    def __init__(self) -> None:
        self._known: dict[str, Line] = {}
        self.get = self._known.get

    def judge(self, raw: str) -> Line:
        try:
            name, value = read_field(raw)
        except BadFraming as error:
            raise _malformed(str(error)) from error
        lower = name.lower()
        todo = _SPECIAL if lower in _READ else _KEPT if travels_inward(lower) else _DROPPED
        line = (todo, lower, value, f"{name}: {value}\r\n")
        if len(raw) <= 256:
            if len(self._known) >= _KNOWN_LINES:
                self._known.clear()
            self._known[raw] = line
        return line


_lines = Lines()


def check_begun(data: bytes, start: int) -> None:
    """Refuse an unfinished head as soon as it can't become a good one; BadRequest says why."""
    if _BROKEN.search(data, max(0, start - 1)):
        raise _malformed("A line ends in a bare CR or LF, or holds a control character.")
    first_end = data.find(b"\r\n")
    if first_end >= 0:
        read_line(data[:first_end])
    elif len(data) > MAX_LINE:
        raise BadRequest(414, "uri_too_long", "The request line is too long.")
    if len(data) > MAX_HEAD:
        raise BadRequest(431, "header_too_large", "The header section is too large.")


def read_head(head: bytes) -> Request:
    """The request whose head is *head*, without the empty line at its end."""
    line, _, block = head.partition(b"\r\n")
    return Request(read_line(line), read_block(block, len(head) > len(line)))


def read_block(raw: bytes, present: bool = True) -> Block:
    """The header lines in *raw*, without the line end of the last one."""
    if len(raw) > MAX_HEAD:
        raise BadRequest(431, "header_too_large", "The header section is too large.")
    lines = raw.decode("latin-1").split("\r\n") if present else []
    if len(lines) > MAX_FIELDS:
        raise BadRequest(431, "too_many_headers", "The request has too many header fields.")
    block = Block()
    known, judge = _lines.get, _lines.judge
    kept, said = block.kept, block.said
    for each in lines:
        todo, name, value, line = known(each) or judge(each)
        if todo == _KEPT:
            kept.append(line)
        elif todo == _SPECIAL:
            if name in said:
                _again(said, name, value)
            else:
                said[name] = value
            if name in _TRAVELLING:
                kept.append(line)
    _settle(block)
    return block


_TRAVELLING = frozenset(name for name in _READ if travels_inward(name))


def read_line(raw: bytes) -> RequestLine:
    """The request line in *raw*, without its end."""
    if len(raw) > MAX_LINE:
        raise BadRequest(414, "uri_too_long", "The request line is too long.")
    parts = raw.decode("latin-1").split(" ")
    if len(parts) != 3 or not parts[1]:
        raise _malformed("The request line is not 'METHOD target HTTP/1.1'.")
    method, target, version = parts
    if version == "HTTP/1.1":
        minor = 1
    elif version == "HTTP/1.0":
        minor = 0
    elif _VERSION.fullmatch(version):
        raise BadRequest(505, "version_not_supported", "HTTP/1.1 is spoken here.")
    else:
        raise _malformed("The HTTP version is malformed.")
    if method not in _KNOWN_METHODS:
        if not TOKEN.fullmatch(method):
            raise _malformed("The method is no token.")
        if method in _REFUSED_METHODS:
            raise BadRequest(405, "method_not_allowed", f"{method} is not served.")
        raise BadRequest(501, "method_not_implemented", "The method is not known here.")
    if target[0] != "/" and not (target == "*" and method == "OPTIONS"):
        raise _malformed("The request target must be a path.")
    if not (target.isascii() and target.isprintable()):
        raise _malformed("The request target holds a character that no target has.")
    return RequestLine(method, target, minor)


def _again(said: dict[str, str], name: str, value: str) -> None:
    """A field that is read here has come a second time."""
    if name in ("content-length", "transfer-encoding", "host") or name in _ONCE:
        raise _malformed(f"The header field {name} is there twice.")
    said[name] = f"{said[name]}, {value}"


def _settle(block: Block) -> None:
    said = block.said
    host = said.get("host")
    if host is not None:
        match = _HOST.fullmatch(host)
        if match is None or int(match[1] or 0) > 65535:
            raise _malformed("The header field Host is malformed.")
    else:
        block.trouble = _malformed("The header field Host is missing.")
    if said.get("expect", "100-continue").lower() != "100-continue":
        detail = "Only 'Expect: 100-continue' is known."
        block.trouble = block.trouble or BadRequest(417, "expectation_failed", detail)
    connection = said.get("connection")
    if connection is not None:
        _obey_connection(block, connection.lower())
    if "transfer-encoding" in said:
        _check_coding(said)
        block.chunked = True
    elif "content-length" in said:
        try:
            block.length = read_length(said["content-length"])
        except BadFraming as error:
            raise _malformed(str(error)) from error


def _check_coding(said: dict[str, str]) -> None:
    if "content-length" in said:
        raise _malformed("Transfer-Encoding beside Content-Length.")
    coding = said["transfer-encoding"].lower()
    if coding != "chunked":
        codings = [part.strip(" \t") for part in coding.split(",")]
        if "chunked" in codings[:-1] or not all(TOKEN.fullmatch(part) for part in codings):
            raise _malformed("Transfer-Encoding is malformed.")
        raise BadRequest(501, "coding_not_implemented", "Only the coding 'chunked' is understood.")


def _obey_connection(block: Block, connection: str) -> None:
    if connection == "keep-alive":
        return
    named = {part.strip() for part in connection.split(",")}
    if "close" in named:
        block.closes = True
    dropped = named - {"close", "keep-alive", "upgrade", ""}
    if dropped:
        block.kept = [each for each in block.kept if each.partition(":")[0].lower() not in dropped]
        # What a caller takes back it has not said: no identity that the service won't see.
        for name in dropped & _TRAVELLING:
            block.said.pop(name, None)


def without_empty_lines(data: bytes) -> bytes:
    """*data* without the few empty lines that may stand before a request (RFC 9112, 2.2)."""
    for _ in range(4):
        if not data.startswith(b"\r\n"):
            break
        data = data[2:]
    return data
