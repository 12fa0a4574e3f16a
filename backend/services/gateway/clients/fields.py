"""One header line, strictly read: both sides of the gateway stand on this.

Nothing here repairs. A line that two parsers could read in two ways is no line.
"""

import re

# RFC 9110, 5.5 and 5.6.2: a token, a colon right after it, and a value without any
# control character but the tab. `$` would let a line feed through; fullmatch does not.
_VISIBLE = r"!-~\x80-\xff"
_LINE = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*"
    rf"((?:[{_VISIBLE}](?:[\t {_VISIBLE}]*[{_VISIBLE}])?)?)"
    r"[ \t]*"
)
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DIGITS = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


class BadFraming(ValueError):
    """The bytes can't be read as one HTTP message without guessing."""


def read_field(line: str) -> tuple[str, str]:
    """(name, value) of one header line, or BadFraming."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadFraming("A header line is malformed.")
    return match[1], match[2]


def read_length(value: str) -> int:
    """A Content-Length: digits and nothing else, no leading zero, no list."""
    if not _DIGITS.fullmatch(value):
        raise BadFraming("Content-Length is not a plain number.")
    return int(value)
