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

Line = tuple[str, tuple[str, str, int] | None]
"""(the line as it is written on, or nothing; (name, value, bit) where that matters here)"""

_BODILESS = frozenset({204, 304})
# Another one in every answer: not worth a look, still less remembering. We write our own.
_REQUEST_ID = "x-request-id:"
_OURS: Line = ("", None)
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})


class Answer:
    """The head of an answer and the way to its end."""

    __slots__ = ("bits", "chunked", "connection", "keep_alive", "length", "said", "status", "text")

    def __init__(self, status: int, text: str, bits: int, said: int | None) -> None:
        self.status = status
        self.text = text
        """The lines that travel on, as they are written."""
        self.bits = bits
        """Which of the fields that the reader was told to look out for are there."""
        self.said = said
        """The Content-Length, which also answers without a body may have."""
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

    def fields(self) -> list[tuple[str, str]]:
        """(name in lower case, value) of the lines that travel on."""
        parts = (line.partition(": ") for line in self.text.split("\r\n")[:-1])
        return [(name.lower(), value) for name, _, value in parts]

    def without(self, names: frozenset[str]) -> str:
        """The lines that travel on but those of *names* (in lower case)."""
        lines = self.text.split("\r\n")[:-1]
        return "".join(
            f"{line}\r\n" for line in lines if line.partition(":")[0].lower() not in names
        )


class AnswerReader(dict[str, Line]):
    """Reads answer heads; *travels* says of a name whether its line goes on.

    It is itself the lines that it has judged: the same few come again and again. *bits*
    gives names (in lower case) that `Answer.bits` shall tell of.
    """

    def __init__(self, travels: Callable[[str], bool], bits: Mapping[str, int]) -> None:
        super().__init__()
        self._travels = travels
        self._bits = {**bits, "date": DATE}

    def read(self, head: bytes, method: str) -> Answer:
        """The answer to a request by *method* whose head is *head*, without its empty line."""
        first, *raw_lines = head.decode("latin-1").split("\r\n")
        status, old = _STATUSES.get(first) or _read_status(first)
        length = encoding = None
        text, connection, bits = "", "", 0
        for line, more in map(self.__getitem__, raw_lines):
            text += line
            if more is not None:
                name, value, bit = more
                if bit:
                    bits |= bit
                elif name == "content-length":
                    if length is not None:
                        raise BadFraming("Content-Length is there twice.")
                    length = int(value)
                elif name == "transfer-encoding":
                    if encoding is not None:
                        raise BadFraming("Transfer-Encoding is there twice.")
                    encoding = value
                else:
                    connection = f"{connection},{value}" if connection else value
        answer = Answer(status, text, bits, length)
        answer.connection = connection
        answer.keep_alive = not old and not (connection and "close" in connection)
        if status < 200:
            return answer
        # RFC 9112, 6.1 and 6.3: both, or chunks from an HTTP/1.0 server, are attempts to
        # smuggle until proven otherwise.
        if encoding is not None and (length is not None or old or encoding != "chunked"):
            raise BadFraming("The answer's framing is ambiguous.")
        if method != "HEAD" and status not in _BODILESS:
            answer.length = length
            if length is None:
                answer.chunked = encoding is not None
                if encoding is None:
                    answer.keep_alive = False
        return answer

    def __missing__(self, raw: str) -> Line:
        if raw[:13].lower() == _REQUEST_ID:
            return _OURS
        name, value = read_field(raw)
        lower = name.lower()
        line: Line
        if lower in _FRAMING:
            # Read here already, so that it is right whenever it is remembered.
            value = str(read_length(value)) if lower == "content-length" else value.lower()
            line = ("", (lower, value, 0))
        elif self._travels(lower):
            bit = self._bits.get(lower, 0)
            line = (f"{name}: {value}\r\n", (lower, value, bit) if bit else None)
        else:
            line = _OURS
        if len(raw) <= 256:
            if len(self) >= _KNOWN_LINES:
                self.clear()
            self[raw] = line
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
