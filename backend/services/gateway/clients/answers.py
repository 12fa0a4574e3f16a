"""A service's answer head, strictly read. What can't be read without guessing is a 502."""

import re
from dataclasses import dataclass

from backend.services.gateway.clients.fields import BadFraming, read_length, read_line
from backend.services.gateway.clients.framing import Body, Chunked, Length, UntilClose

MAX_HEAD = 64 * 1024
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [\t -~\x80-\xff]*)?", re.ASCII)
_KNOWN_LINES = 2048

Line = tuple[str, str, str]
"""(name in lower case, value, the line as it is written on)"""


@dataclass(slots=True)
class Answer:
    """The head of an answer and the way to its end."""

    status: int
    lines: list[Line]
    body: Body
    keep_alive: bool
    connection: str = ""


class Lines:
    """Header lines already read: the same few come again and again."""

    def __init__(self) -> None:
        self._known: dict[str, Line] = {}

    def read(self, raw: str) -> Line:
        line = self._known.get(raw)
        if line is None:
            name, value = read_line(raw)
            line = (name.lower(), value, f"{name}: {value}\r\n")
            if len(raw) <= 256:
                if len(self._known) >= _KNOWN_LINES:
                    self._known.clear()
                self._known[raw] = line
        return line


_lines = Lines()


def read_head(head: bytes, method: str) -> Answer:
    """The answer to a request by *method* whose head is *head*, without its empty line."""
    first, *rest = head.decode("latin-1").split("\r\n")
    status_line = _STATUS.fullmatch(first)
    if status_line is None:
        raise BadFraming("The status line is malformed.")
    status = int(status_line[2])
    length, encoding, connection = None, None, ""
    lines = []
    read = _lines.read
    for raw in rest:
        line = read(raw)
        name = line[0]
        if name == "content-length":
            if length is not None:
                raise BadFraming("Content-Length is there twice.")
            length = read_length(line[1])
        elif name == "transfer-encoding":
            if encoding is not None:
                raise BadFraming("Transfer-Encoding is there twice.")
            encoding = line[1].lower()
        elif name == "connection":
            connection = f"{connection},{line[1].lower()}" if connection else line[1].lower()
        lines.append(line)
    persistent = status_line[1] == "1" and not (connection and "close" in connection)
    if status < 200:
        return Answer(status, lines, Length(0), persistent, connection)
    body = _body(method, status, length, encoding, old=status_line[1] == "0")
    return Answer(status, lines, body, persistent and not isinstance(body, UntilClose), connection)


def _body(method: str, status: int, length: int | None, encoding: str | None, *, old: bool) -> Body:
    if encoding is not None:
        # RFC 9112, 6.1 and 6.3: both, or chunks from an HTTP/1.0 server, are attempts to
        # smuggle until proven otherwise.
        if length is not None or old or encoding != "chunked":
            raise BadFraming("The answer's framing is ambiguous.")
        return Length(0) if _bodiless(method, status) else Chunked()
    if _bodiless(method, status):
        return Length(0)
    return UntilClose() if length is None else Length(length)


def _bodiless(method: str, status: int) -> bool:
    return method == "HEAD" or status in (204, 304)
