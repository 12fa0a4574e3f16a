"""What an archive says it holds, read with bounded memory.

Python's own reader makes an object of every entry before anyone can ask how many there are,
and a file of a few megabytes may list millions.
"""

import struct
from pathlib import Path
from typing import IO

# Hundreds of slides, sheets and pictures take about a hundred kilobytes.
_MOST_BYTES = 2**20
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_BYTES = 20


class NotAnArchive(Exception):
    """It has no directory where archives have it, or one too long to be a document's."""


def names_in(file: Path) -> bytes:
    """The archive's directory as it stands, names and all, to look for a name in."""
    with file.open("rb") as source:
        start, size = _directory(source)
        if size > _MOST_BYTES or start < 0:
            raise NotAnArchive
        source.seek(start)
        return source.read(size)


def _directory(source: IO[bytes]) -> tuple[int, int]:
    length = source.seek(0, 2)
    tail_start = max(0, length - _END.size - 0xFFFF)
    source.seek(tail_start)
    tail = source.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise NotAnArchive
    size = _END.unpack_from(tail, at)[5]
    end = tail_start + at
    at_64 = at - _LOCATOR_BYTES - _END_64.size
    if at_64 >= 0 and tail[at - _LOCATOR_BYTES :].startswith(b"PK\x06\x07"):
        size = _END_64.unpack_from(tail, at_64)[8]
        end -= _LOCATOR_BYTES + _END_64.size
    return end - size, size
