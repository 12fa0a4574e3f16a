"""What has just been sent: bytes on the disk that are nobody's document yet."""

import fcntl
import hashlib
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import IO, Self

from backend.services.rag.clients.formats.kinds import (
    CONTENT_TYPES,
    LOCKABLE,
    Mismatch,
    NotRead,
    kind_of,
)
from backend.services.rag.errors import (
    EmptyFile,
    TooLarge,
    UnreadableDocument,
    UnsupportedDocument,
)

# What a document's bytes may be given out as.
MEDIA_TYPES = tuple(CONTENT_TYPES.values())
_LOCKABLE = {CONTENT_TYPES[kind] for kind in LOCKABLE}
_MOST_NAME_BYTES = 200
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f\x80-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


@dataclass(frozen=True, slots=True)
class Upload:
    """One file, checked: what it is, not what it says it is."""

    blob: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str


def is_lockable(upload: Upload) -> bool:
    """Whether a password may be needed to read it."""
    return upload.content_type in _LOCKABLE


class Blobs:
    """The original bytes, under names of our own making."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, blob: str) -> Path:
        return self._folder / blob

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep everybody from clearing away, as soon as those at it have come to an end."""
        with self._lock() as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    @contextmanager
    def clearing(self) -> Iterator[bool]:
        """Whether what was deleted may be cleared away now; nobody begins to hold it meanwhile."""
        with self._lock() as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextmanager
    def _lock(self) -> Iterator[int]:
        """The file whose lock falls with the process that has it, however that ends."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        file = self._folder.with_name(f"{self._folder.name}.lock")
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def put(self, blob: str, parts: Iterable[bytes]) -> str:
        """Write a file that is known elsewhere under this name; its digest."""
        self._folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with self.path(blob).open("xb") as out:
            for part in parts:
                digest.update(part)
                out.write(part)
        return digest.hexdigest()

    def delete(self, blob: str) -> None:
        self.path(blob).unlink(missing_ok=True)

    def delete_strays(self, known: Collection[str], older_than: float) -> None:
        """Delete files that no document points to, left by a process that was killed."""
        for file in self._folder.glob("*"):
            if file.name not in known and file.stat().st_mtime < older_than:
                file.unlink(missing_ok=True)

    def older_than(self, moment: float) -> list[str]:
        """The names of files last written to before *moment*."""
        if not self._folder.is_dir():
            return []
        return sorted(f.name for f in self._folder.iterdir() if f.stat().st_mtime < moment)

    @contextmanager
    def receive(self, most_bytes: int) -> Iterator["Incoming"]:
        """A place to write uploads to; what was not kept is gone afterwards."""
        self._folder.mkdir(parents=True, exist_ok=True)
        incoming = Incoming(self._folder, most_bytes)
        try:
            yield incoming
        finally:
            incoming.drop()


class Incoming:
    """The files of one request while they arrive, counted together."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most = most_bytes
        self._received = 0
        self._files: dict[str, IncomingFile] = {}

    def open(self) -> "IncomingFile":
        blob = token_hex(20)
        self._files[blob] = IncomingFile(self, blob, self._folder / blob)
        return self._files[blob]

    def count(self, size: int) -> None:
        self._received += size
        if self._received > self._most:
            raise TooLarge(self._most)

    def keep(self, blob: str) -> None:
        """Leave the file where it is: a document points to it now."""
        self._files.pop(blob).close()

    def sync(self) -> None:
        """Force the names of the files to the disk, as their bytes were."""
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def drop(self) -> None:
        for file in self._files.values():
            file.close()
            file.path.unlink(missing_ok=True)
        self._files.clear()


class IncomingFile:
    """A file that is being written: hashed and counted as the bytes pass."""

    def __init__(self, incoming: Incoming, blob: str, path: Path) -> None:
        self.blob = blob
        self.path = path
        self._incoming = incoming
        self._hash = hashlib.sha256()
        self._size = 0
        self._file: IO[bytes] = path.open("xb")

    def write(self, data: bytes) -> int:
        self._incoming.count(len(data))
        self._hash.update(data)
        self._size += len(data)
        return self._file.write(data)

    def checked(self, filename: str, declared_type: str) -> Upload:
        """The finished file as an Upload, or the reason why it cannot be one."""
        if self._size == 0:
            raise EmptyFile
        sha256 = self.finished()
        name = clean_name(filename)
        try:
            kind = kind_of(self.path, name, declared_type)
        except Mismatch as mismatch:
            raise UnreadableDocument(str(mismatch)) from mismatch
        except NotRead as refused:
            raise UnsupportedDocument(str(refused)) from refused
        return Upload(self.blob, name, CONTENT_TYPES[kind], self._size, sha256)

    def finished(self) -> str:
        """The digest of what was written, which is on the disk now."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._hash.hexdigest()

    def seek(self, position: int) -> int:
        """Form parsers rewind what they wrote; here nobody reads it through them."""
        return position

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def clean_name(filename: str) -> str:
    """*filename* as something to show: its last part, no control characters, not endless."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    name = _UNSAFE.sub("", unicodedata.normalize("NFC", last)).strip(" .")
    stem, dot, suffix = name.rpartition(".")
    if dot and len(suffix) < 16:
        stem = stem.encode()[: _MOST_NAME_BYTES - len(suffix.encode()) - 1].decode(
            "utf-8", "ignore"
        )
        return f"{stem or 'document'}.{suffix}"
    return name.encode()[:_MOST_NAME_BYTES].decode("utf-8", "ignore") or "document"


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much one request may bring, all its files together."""

    most_bytes: int
