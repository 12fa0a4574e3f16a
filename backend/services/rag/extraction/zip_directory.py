"""Read the central directory of a ZIP archive with bounded memory (APPNOTE.TXT 4.3.12-4.3.16).

Python's `zipfile` creates an object for each entry before the number of entries can be checked,
and an archive of a few megabytes can list millions of entries.
"""

import struct
from pathlib import Path
from typing import IO

# A document with hundreds of slides, sheets and images needs about 100 kB.
_MAX_DIRECTORY_BYTES = 2**20
_END_RECORD = struct.Struct("<4s4H2LH")
_ZIP64_END_RECORD = struct.Struct("<4sQ2H2L4Q")
_ZIP64_LOCATOR_BYTES = 20
_MAX_COMMENT_BYTES = 0xFFFF


class InvalidZip(Exception):
    """The file has no central directory, or one too large for a document."""


def read_directory(file: Path) -> bytes:
    """Return the raw central directory of *file*, in which entry names can be searched."""
    with file.open("rb") as source:
        start, size = _locate_directory(source)
        if size > _MAX_DIRECTORY_BYTES or start < 0:
            raise InvalidZip
        source.seek(start)
        return source.read(size)


def _locate_directory(source: IO[bytes]) -> tuple[int, int]:
    """Return start and size of the central directory in bytes."""
    length = source.seek(0, 2)
    tail_start = max(0, length - _END_RECORD.size - _MAX_COMMENT_BYTES)
    source.seek(tail_start)
    tail = source.read()
    end_record = tail.rfind(b"PK\x05\x06")
    if end_record < 0 or len(tail) - end_record < _END_RECORD.size:
        raise InvalidZip
    size = _END_RECORD.unpack_from(tail, end_record)[5]
    end = tail_start + end_record
    zip64_record = end_record - _ZIP64_LOCATOR_BYTES - _ZIP64_END_RECORD.size
    if zip64_record >= 0 and tail[end_record - _ZIP64_LOCATOR_BYTES :].startswith(b"PK\x06\x07"):
        size = _ZIP64_END_RECORD.unpack_from(tail, zip64_record)[8]
        end -= _ZIP64_LOCATOR_BYTES + _ZIP64_END_RECORD.size
    return end - size, size
