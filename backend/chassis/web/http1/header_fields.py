"""Parse a header field line or a Content-Length value.

Used for requests and responses. Nothing is repaired: a line that two parsers could interpret
differently is rejected.
"""

import re

from backend.chassis.web.http1.errors import ProtocolError

# RFC 9110, 5.5 and 5.6.2: a token, directly followed by a colon, and a value without control
# characters except tab. Use fullmatch: with `$`, a trailing line feed would match.
_VISIBLE = r"!-~\x80-\xff"
_LINE = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*"
    rf"((?:[{_VISIBLE}](?:[\t {_VISIBLE}]*[{_VISIBLE}])?)?)"
    r"[ \t]*"
)
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DIGITS = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


def parse_field_line(line: str) -> tuple[str, str]:
    """Return (name, value) of one header line.

    Raises:
        ProtocolError: the line is malformed.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise ProtocolError("A header line is malformed.")
    return match[1], match[2]


def parse_content_length(value: str) -> int:
    """Parse a Content-Length value: digits only, no leading zero, no list.

    Raises:
        ProtocolError: *value* has any other form.
    """
    if not _DIGITS.fullmatch(value):
        raise ProtocolError("Content-Length is not a plain number.")
    return int(value)
