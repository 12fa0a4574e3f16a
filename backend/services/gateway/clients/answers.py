"""A service's answer head, strictly read. What can't be read without guessing is a 502."""

import re
from collections.abc import Callable, Mapping

from backend.services.gateway.clients.fields import BadFraming, read_field, read_length
from backend.services.gateway.clients.framing import Body, Chunked, Length, UntilClose

MAX_HEAD = 64 * 1024
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*)?", re.ASCII)
_KNOWN_LINES = 2048

DATE = 1 << 30
"""The bit of an answer that has a Date."""

Line = tuple[int, str, str, str, int]
"""(what to do with it, name in lower case, value, the line as it is written on, its bit)"""
_KEPT, _DROPPED, _FRAMING = 0, 1, 2
# Another one in every answer: not worth a look, still less remembering. We write our own.
_REQUEST_ID = "x-request-id:"
_OURS: Line = (_DROPPED, "x-request-id", "", "", 0)
_BODILESS = frozenset({204, 304})
_FRAMING_NAMES = frozenset({"content-length", "transfer-encoding", "connection"})


class Answer:
    """The head of an answer and the way to its end."""

    __slots__ = (
        "bits",
        "chunked",
        "connection",
        "keep_alive",
        "kept",
        "length",
        "length_line",
        "status",
    )

    def __init__(self, status: int, kept: list[str], bits: int) -> None:
        self.status = status
        self.kept = kept
        """The lines that travel on, as they are written."""
        self.bits = bits
        """Which of the fields that the reader was told to look out for are there."""
        self.length_line = ""
        self.connection = ""
        self.keep_alive = False
        self.chunked = False
        self.length: int | None = 0
        """How long the body is; None for one in chunks or until the connection ends."""

    def body(self) -> Body:
        """Where the body ends."""
        if self.chunked:
            return Chunked()
        return UntilClose() if self.length is None else Length(self.length)

    def field(self, name: str) -> str | None:
        """The value of a line that travels on, by its name in lower case."""
        for line in self.kept:
            known, _, value = line.partition(":")
            if known.lower() == name:
                return value.strip()
        return None


class AnswerReader:
    """Reads answer heads; *travels* says of a name whether its line goes on.

    Lines are remembered as they were judged: the same few come again and again. *bits*
    gives names (in lower case) that `Answer.bits` shall tell of.
    """

    def __init__(self, travels: Callable[[str], bool], bits: Mapping[str, int]) -> None:
        self._travels = travels
        self._bits = {**bits, "date": DATE}
        self._known: dict[str, Line] = {}

    def read(self, head: bytes, method: str) -> Answer:
        """The answer to a request by *method* whose head is *head*, without its empty line."""
        first, *raw_lines = head.decode("latin-1").split("\r\n")
        status, old = _STATUSES.get(first) or _read_status(first)
        length = encoding = None
        connection = length_line = ""
        kept, bits, known = [], 0, self._known.get
        for raw in raw_lines:
            todo, name, value, line, bit = known(raw) or self._judge(raw)
            if todo == _KEPT:
                kept.append(line)
                bits |= bit
            elif todo == _FRAMING:
                if name == "content-length":
                    if length is not None:
                        raise BadFraming("Content-Length is there twice.")
                    length, length_line = read_length(value), line
                elif name == "transfer-encoding":
                    if encoding is not None:
                        raise BadFraming("Transfer-Encoding is there twice.")
                    encoding = value.lower()
                else:
                    connection = f"{connection},{value.lower()}" if connection else value.lower()
        answer = Answer(status, kept, bits)
        answer.connection = connection
        answer.keep_alive = not old and not (connection and "close" in connection)
        if status >= 200:
            answer.length_line = length_line
            # RFC 9112, 6.1 and 6.3: both, or chunks from an HTTP/1.0 server, are attempts
            # to smuggle until proven otherwise.
            if encoding is not None and (length is not None or old or encoding != "chunked"):
                raise BadFraming("The answer's framing is ambiguous.")
            if method != "HEAD" and status not in _BODILESS:
                answer.length = length
                answer.chunked = encoding is not None
                if length is None and encoding is None:
                    answer.keep_alive = False
        return answer

    def _judge(self, raw: str) -> Line:
        if raw[:13].lower() == _REQUEST_ID:
            return _OURS
        name, value = read_field(raw)
        lower = name.lower()
        travels = _KEPT if self._travels(lower) else _DROPPED
        todo = _FRAMING if lower in _FRAMING_NAMES else travels
        line = (todo, lower, value, f"{name}: {value}\r\n", self._bits.get(lower, 0))
        if len(raw) <= 256:
            if len(self._known) >= _KNOWN_LINES:
                self._known.clear()
            self._known[raw] = line
        return line


_STATUSES: dict[str, tuple[int, bool]] = {}


def _read_status(line: str) -> tuple[int, bool]:
    """(status, whether it is of HTTP/1.0) of a status line."""
    match = _STATUS.fullmatch(line)
    if match is None:
        raise BadFraming("The status line is malformed.")
    known = int(match[2]), match[1] == "0"
    if len(_STATUSES) < _KNOWN_LINES and len(line) < 64:
        _STATUSES[line] = known
    return known
