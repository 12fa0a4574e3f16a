"""The one file that a library is carried in: a tar of JSON and of the files as they came.

library.json                 the collections, whose they are, and who else may read them
documents/ID/document.json   what is known of one document, and its text page by page
documents/ID/original        its bytes
end.json                     how many documents there are; without it the file is cut short
"""

import gzip
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from backend.services.rag.errors import NotAnArchive

FORMAT = 1
_LIBRARY = "library.json"
_END = "end.json"
_PRIVATE = 0o600
_GZIP = b"\x1f\x8b"
_AT_ONCE = 2**20
# What a file that is none, or no longer one, may lead to; the last two: fields that lack or differ.
_DAMAGES = (
    *(tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError),
    *(KeyError, TypeError),
)


class Packed(NamedTuple):
    """One document of an archive; *original* is read before the next one is asked for."""

    about: Mapping[str, Any]
    original: IO[bytes]


class ArchiveWriter:
    """Writes one document after the other."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.documents = 0

    def begin(self, library: Mapping[str, Any]) -> None:
        self._json(_LIBRARY, {"format": FORMAT, **library})

    def add(self, document_id: str, about: Mapping[str, Any], original: IO[bytes]) -> None:
        self._json(f"documents/{document_id}/document.json", about)
        size = os.fstat(original.fileno()).st_size
        self._tar.addfile(_member(f"documents/{document_id}/original", size), original)
        self.documents += 1

    def end(self) -> None:
        self._json(_END, {"documents": self.documents})

    def _json(self, name: str, content: Mapping[str, Any]) -> None:
        raw = json.dumps(content, ensure_ascii=False, sort_keys=True).encode()
        self._tar.addfile(_member(name, len(raw)), io.BytesIO(raw))


@contextmanager
def writing(file: Path) -> Iterator[ArchiveWriter]:
    """An archive at *file*, which is there whole at the end or not at all."""
    if file.exists():
        raise FileExistsError(f"{file} is there already. Name another file, or move that one away.")
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, _PRIVATE)
    try:
        with os.fdopen(descriptor, "w+b") as out:
            with tarfile.open(fileobj=out, mode="w:gz" if _is_packed(file) else "w") as tar:
                writer = ArchiveWriter(tar)
                yield writer
                writer.end()
            out.flush()
            os.fsync(out.fileno())
        os.link(draft, file)  # refuses where somebody else was quicker
    finally:
        draft.unlink(missing_ok=True)


class Archive:
    """An archive that is known to be whole."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        try:
            self.library = self._json(_LIBRARY)
            self.documents = int(self._json(_END)["documents"])
        except KeyError as error:
            raise NotAnArchive(
                "This file is no export of a library, or it was cut short."
            ) from error
        if self.library.get("format") != FORMAT:
            raise NotAnArchive("This export was made by a newer version of the library.")

    def packed(self) -> Iterator[Packed]:
        about: dict[str, Any] = {}
        for member in self._tar:  # looking one up by its name would pass over all of them
            if member.name.endswith("/document.json"):
                about = self._content(member)
            elif member.name.endswith("/original"):
                original = self._tar.extractfile(member)
                if original is None or member.name != f"documents/{about.get('id')}/original":
                    raise NotAnArchive("This export is not in order.")
                yield Packed(about, original)

    def _json(self, name: str) -> dict[str, Any]:
        return self._content(self._tar.getmember(name))

    def _content(self, member: tarfile.TarInfo) -> dict[str, Any]:
        file = self._tar.extractfile(member)
        content: dict[str, Any] = json.load(file or io.BytesIO(b"{}"))
        return content


@contextmanager
def reading(file: Path) -> Iterator[Archive]:
    """The archive at *file*, or NotAnArchive."""
    try:
        _refuse_damaged(file)
        with tarfile.open(file, "r:*") as tar:
            yield Archive(tar)
    except _DAMAGES as error:
        raise NotAnArchive("This file is no export of a library, or it is damaged.") from error


def _refuse_damaged(file: Path) -> None:
    """Read a compressed file to its checksum, at its end: then nothing is brought in by half."""
    with file.open("rb") as content:
        if content.read(len(_GZIP)) != _GZIP:
            return
    with gzip.open(file) as content:
        while content.read(_AT_ONCE):
            """Only whether it can be read is of interest."""


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, _PRIVATE
    return member


def _is_packed(file: Path) -> bool:
    return file.suffix in (".gz", ".tgz")
