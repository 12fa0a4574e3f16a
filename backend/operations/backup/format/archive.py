"""File format of a backup: a gzipped tar of regular files that ends with a digest.

    backup.json   the manifest: format, release, and the tables with their columns
    …             members, in the order in which a restore needs them
    end.json      row counts, problems, and the SHA-256 of all tar bytes before this member

Backups are read in one pass and never extracted: names of members are only compared, and members
that are not regular files are rejected. `tar tzf` lists the members.
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, cast

from backend.chassis.console import CommandError

MANIFEST_NAME = "backup.json"
SUMMARY_NAME = "end.json"
_BLOCK_BYTES = 512
_CHUNK_BYTES = 2**20
# Rows are read into memory, one member at a time. PostgreSQL limits a value to the same size.
_MAX_IN_MEMORY_BYTES = 2**30
_MEMBER_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
# Errors of reading a file that is not a gzip file or is damaged.
_DAMAGE_ERRORS = (gzip.BadGzipFile, zlib.error, EOFError, tarfile.TarError)


class NotABackup(CommandError):
    """The file is not a backup, or this release does not know the release that created it."""


class BackupDamaged(CommandError):
    """The backup is incomplete or was changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"This backup is damaged: {reason}. Nothing was changed. Use another backup."
        )


class ArchiveWriter:
    """Writes a backup to *out*, member by member.

    TarFile writes in mode "w", which does not seek. Its stream mode "w|" buffers blocks: the
    digest of all bytes before end.json would not be known when end.json is written.

    Args:
        timestamp: modification time of all members, as Unix time.
    """

    def __init__(self, out: IO[bytes], timestamp: float) -> None:
        self._gzip = gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0)
        self._output = _DigestingOutput(self._gzip)
        self._tar = tarfile.TarFile(
            fileobj=cast("IO[bytes]", self._output),
            mode="w",
            format=tarfile.USTAR_FORMAT,
            copybufsize=_CHUNK_BYTES,
        )
        self._timestamp = int(timestamp)

    def add_bytes(self, name: str, content: bytes) -> None:
        self._add(name, len(content), io.BytesIO(content))

    def add_json(self, name: str, content: Mapping[str, Any]) -> None:
        self.add_bytes(name, json.dumps(content, ensure_ascii=False).encode())

    def add_file(self, name: str, size: int, source: IO[bytes]) -> str:
        """Add *size* bytes of *source* and return their SHA-256 as hex.

        Raises:
            OSError: *source* has fewer bytes.
        """
        digesting = _DigestingSource(name, source)
        self._add(name, size, cast("IO[bytes]", digesting))
        return digesting.sha256.hexdigest()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write end.json, with the digest added to *summary*, and the end of the archive."""
        self.add_json(SUMMARY_NAME, {**summary, "sha256": self._output.sha256.hexdigest()})
        self._tar.close()
        self._gzip.close()

    def _add(self, name: str, size: int, source: IO[bytes]) -> None:
        if not _MEMBER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid member name.")
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = size, 0o600, self._timestamp
        self._tar.addfile(header, source)
        # TarFile keeps every header: without this, memory grows with the number of members.
        self._tar.getmembers().clear()


class _DigestingOutput:
    """Output file of TarFile that computes the SHA-256 of everything written."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.sha256.update(content)
        return self._file.write(content)

    def tell(self) -> int:
        """Return the position. TarFile calls it once, for the start of its archive."""
        return self._file.tell()


class _DigestingSource:
    """Input file of TarFile that computes the SHA-256 of everything read."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self._name = name
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        if len(content) < size:
            raise OSError(f"{self._name} became shorter while it was read.")
        self.sha256.update(content)
        return content


class ArchiveMember:
    """One member of an archive. It must be read before the next member."""

    def __init__(self, name: str, size: int, source: "_Source") -> None:
        self._name = name
        self._size = size
        self._remaining = size
        self._source = source

    @property
    def name(self) -> str:
        return self._name

    def read(self, max_bytes: int = _CHUNK_BYTES) -> bytes:
        """Return the next bytes, or b"" at the end."""
        content = self._source.read_exactly(min(max_bytes, self._remaining))
        self._remaining -= len(content)
        return content

    def read_all(self) -> bytes:
        """Return the rest of the member.

        Raises:
            BackupDamaged: its header declares more bytes than any member of a backup has.
        """
        if self._size > _MAX_IN_MEMORY_BYTES:
            raise BackupDamaged(f"{self.name} declares a size of {self._size} bytes")
        remaining, self._remaining = self._remaining, 0
        return self._source.read_exactly(remaining)

    def read_json(self) -> dict[str, Any]:
        content: dict[str, Any] = {**json.loads(self.read_all())}
        return content

    def skip_rest(self) -> None:
        """Read up to the next header. The digest includes the skipped bytes."""
        while self.read():
            pass
        self._source.read_exactly(-self._size % _BLOCK_BYTES)


class ArchiveReader:
    """Reads a backup. `summary` is filled when `iterate_members` has reached the end.

    TarInfo parses the headers, but TarFile is not used to read the blocks, because it

    - reads extension headers (pax, GNU long names) of any declared size into memory,
    - treats a damaged header as the end of the archive, without an error,
    - reads ahead in stream mode: the digest before end.json could not be computed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._source = _Source(gzip.GzipFile(fileobj=file, mode="rb"))
        self.summary: dict[str, Any] = {}
        member = self._read_header()
        if member is None or member.name != MANIFEST_NAME:
            raise NotABackup("This file is not a backup.")
        try:
            self.manifest = member.read_json()
        except (TypeError, ValueError) as error:
            raise NotABackup("This file is not a backup.") from error
        member.skip_rest()

    def iterate_members(self) -> Iterator[ArchiveMember]:
        """Yield the members between manifest and summary.

        Raises:
            BackupDamaged: at the end at the latest, if the digest differs or the end is missing.
        """
        with convert_damage_errors():
            while True:
                sha256 = self._source.sha256.hexdigest()
                member = self._read_header()
                if member is None:
                    raise BackupDamaged("its end is missing")
                if member.name == SUMMARY_NAME:
                    break
                yield member
                member.skip_rest()
            self.summary = member.read_json()
            member.skip_rest()
            if self.summary.get("sha256") != sha256:
                raise BackupDamaged("its digest does not match its content")
            self._source.check_end()

    def _read_header(self) -> ArchiveMember | None:
        """Return the next member, or None at the end of the archive."""
        block = self._source.read_exactly(_BLOCK_BYTES)
        if not block.strip(b"\0"):
            return None
        header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        is_valid = (
            header.type == tarfile.REGTYPE
            and _MEMBER_NAME.fullmatch(header.name)
            and header.size >= 0
        )
        if not is_valid:
            raise NotABackup(f"This file is not a backup: it contains {header.name!r}.")
        return ArchiveMember(header.name, header.size, self._source)


@contextmanager
def convert_damage_errors() -> Iterator[None]:
    """Raise BackupDamaged for every error that reading damaged content causes."""
    try:
        yield
    except _DAMAGE_ERRORS as error:
        raise BackupDamaged(str(error) or type(error).__name__) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BackupDamaged(f"its content is invalid ({error})") from error


@contextmanager
def open_archive(file: IO[bytes]) -> Iterator[ArchiveReader]:
    """Open a backup for reading.

    Raises:
        NotABackup: the beginning of *file* is not that of a backup.
    """
    try:
        reader = ArchiveReader(file)
    except (*_DAMAGE_ERRORS, UnicodeError, ValueError) as error:
        raise NotABackup(
            "This file is not a backup, or its beginning is damaged. Nothing was changed."
        ) from error
    yield reader


class _Source:
    """Bytes of the uncompressed tar, with the SHA-256 of all that were read."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read_exactly(self, count: int) -> bytes:
        """Return *count* bytes.

        Raises:
            EOFError: fewer bytes are left.
        """
        parts = []
        while count:
            part = self._file.read(min(count, _CHUNK_BYTES))
            if not part:
                raise EOFError("it is incomplete")
            self.sha256.update(part)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def check_end(self) -> None:
        """Raise BackupDamaged unless only zeros follow. Reading them verifies gzip's checksum."""
        while part := self._file.read(_CHUNK_BYTES):
            if part.strip(b"\0"):
                raise BackupDamaged("unexpected data follows its end")
