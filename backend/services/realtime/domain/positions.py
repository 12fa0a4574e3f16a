"""Positions as clients send them back: EPOCH:OFFSET."""

import re

from backend.services.realtime.errors import InvalidPosition
from backend.services.realtime.model import Position

_POSITION = re.compile(r"([A-Za-z0-9_-]{1,64}):(0|[1-9][0-9]{0,17})", re.ASCII)


def parse_position(text: str | None) -> Position | None:
    """Return the position in *text*, or None without one.

    Raises:
        InvalidPosition: it has another form.
    """
    if not text:
        return None
    match = _POSITION.fullmatch(text)
    if match is None:
        raise InvalidPosition
    return Position(match[1], int(match[2]))
