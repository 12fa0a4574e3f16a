"""The file that a backup is: a gzipped tar of plain members, with a digest of all in its last.

backup.json   what it is, of which release, and the tables with their columns
…             members, in the order in which a restore wants them
end.json      how much there is of everything, and the SHA-256 of all bytes before this member

It is read from front to back, member by member, and never unpacked: a name is only ever compared,
and what is no plain member, or longer than it may be, is refused. `tar tzf` lists it all the same.
"""

import gzip
import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from backend.chassis.console import CannotRun

HEAD = "backup.json"
END = "end.json"
_BLOCK = 512
_AT_ONCE = 2**20
# A row is read into memory whole; PostgreSQL takes no longer values than this.
_MOST_AT_ONCE = 2**30
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
# What reading a file leads to that is no gzip, or no longer one.
_BROKEN = (gzip.BadGzipFile, zlib.error, EOFError, tarfile.TarError)


class NotABackup(CannotRun):
    """It is something else, or of a release that this one does not know."""


class Damaged(CannotRun):
    """It was a backup before it was cut short or changed."""

    def __init__(self, why: str) -> None:
        super().__init__(f"This backup is damaged: {why}. Nothing was changed. Use another one.")


class Packing:
    """Writes a backup, one member after the other, into *out*."""

    def __init__(self, out: IO[bytes], moment: float) -> None:
        self._gzip = gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0)
        self._digest = hashlib.sha256()
        self._moment = int(moment)

    def add(self, name: str, content: bytes) -> None:
        self._begin(name, len(content))
        self._write(content)
        self._pad(len(content))

    def add_json(self, name: str, content: Mapping[str, Any]) -> None:
        self.add(name, json.dumps(content, ensure_ascii=False).encode())

    def add_file(self, name: str, size: int, source: IO[bytes]) -> str:
        """Add *size* bytes of *source*; their SHA-256. OSError where there are fewer."""
        digest = hashlib.sha256()
        self._begin(name, size)
        left = size
        while left:
            part = source.read(min(left, _AT_ONCE))
            if not part:
                raise OSError(f"{name} became shorter while it was read.")
            digest.update(part)
            self._write(part)
            left -= len(part)
        self._pad(size)
        return digest.hexdigest()

    def end(self, sums: Mapping[str, Any]) -> None:
        self.add_json(END, {**sums, "sha256": self._digest.hexdigest()})
        self._write(bytes(2 * _BLOCK))
        self._gzip.close()

    def _begin(self, name: str, size: int) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a member.")
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = size, 0o600, self._moment
        self._write(header.tobuf(tarfile.USTAR_FORMAT))

    def _write(self, content: bytes) -> None:
        self._digest.update(content)
        self._gzip.write(content)

    def _pad(self, size: int) -> None:
        self._write(bytes(-size % _BLOCK))


class Member:
    """One member, to be read before the next one is asked for."""

    def __init__(self, name: str, size: int, source: "_Source") -> None:
        self.name = name
        self.size = size
        self._left = size
        self._source = source

    def read(self, most: int = _AT_ONCE) -> bytes:
        """The next bytes; none at its end."""
        part = self._source.take(min(most, self._left))
        self._left -= len(part)
        return part

    def whole(self) -> bytes:
        if self.size > _MOST_AT_ONCE:
            raise Damaged(f"{self.name} says that it has {self.size} bytes")
        return self._source.take(self._left_to_read())

    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = {**json.loads(self.whole())}
        return content

    def skip(self) -> None:
        while self.read():
            """Its bytes count for the digest."""
        self._source.take(-self.size % _BLOCK)

    def _left_to_read(self) -> int:
        left, self._left = self._left, 0
        return left


class Unpacking:
    """Reads what Packing wrote; *ends* stands once `members` has come to its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._source = _Source(gzip.GzipFile(fileobj=file, mode="rb"))
        self.ends: dict[str, Any] = {}
        member = self._next()
        if member is None or member.name != HEAD:
            raise NotABackup("This file is no backup.")
        try:
            self.head = member.json()
        except (TypeError, ValueError) as error:
            raise NotABackup("This file is no backup.") from error
        member.skip()

    def members(self) -> Iterator[Member]:
        """All between the head and the end, or Damaged at the latest where it ends."""
        with refusing_damage():
            while True:
                digest = self._source.digest.hexdigest()
                member = self._next()
                if member is None:
                    raise Damaged("its end is missing")
                if member.name == END:
                    break
                yield member
                member.skip()
            self.ends = member.json()
            member.skip()
            if self.ends.get("sha256") != digest:
                raise Damaged("it is not what was written")
            self._source.finish()

    def _next(self) -> Member | None:
        block = self._source.take(_BLOCK)
        if not block.strip(b"\0"):
            return None
        header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        if header.type != tarfile.REGTYPE or not _NAME.fullmatch(header.name) or header.size < 0:
            raise NotABackup(f"This file is no backup: no backup has a {header.name!r} in it.")
        return Member(header.name, header.size, self._source)


@contextmanager
def refusing_damage() -> Iterator[None]:
    """Whatever a broken file leads to is told in one way."""
    try:
        yield
    except _BROKEN as error:
        raise Damaged(str(error) or type(error).__name__) from error
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"its content makes no sense ({error})") from error


@contextmanager
def opening(file: IO[bytes]) -> Iterator[Unpacking]:
    """A backup to read; NotABackup where its beginning is none."""
    try:
        unpacking = Unpacking(file)
    except (*_BROKEN, UnicodeError, ValueError) as error:
        raise NotABackup(
            "This file is no backup, or its beginning is damaged. Nothing was changed."
        ) from error
    yield unpacking


class _Source:
    """Bytes from a file, all of which are digested; EOFError where it ends too early."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def take(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._file.read(min(count, _AT_ONCE))
            if not part:
                raise EOFError("it was cut short")
            self.digest.update(part)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def finish(self) -> None:
        """Nothing but zeros may follow; their checksums are read with them."""
        while part := self._file.read(_AT_ONCE):
            if part.strip(b"\0"):
                raise Damaged("something follows its end")
