"""File format of an export: a tar archive of JSON and the uploaded files.

library.json                 collections with their owners and grants
documents/ID/document.json   record of one document, and its text page by page
documents/ID/original        the uploaded file
end.json                     number of documents; an archive without it is incomplete
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

from backend.chassis.files import create_file
from backend.services.rag.errors import InvalidExport

FORMAT = 1
_LIBRARY = "library.json"
_END = "end.json"
_FILE_MODE = 0o600
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK_BYTES = 2**20
# Errors caused by a file that is not an archive or is damaged. KeyError and TypeError are raised
# for missing fields and fields of another type.
_FORMAT_ERRORS = (
    *(tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError),
    *(KeyError, TypeError),
)


class ArchivedDocument(NamedTuple):
    """One document of an archive. *original* must be read before the next document."""

    record: Mapping[str, Any]
    original: IO[bytes]


class ArchiveWriter:
    """Writes an archive document by document."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.document_count = 0

    def write_library(self, library: Mapping[str, Any]) -> None:
        self._write_json(_LIBRARY, {"format": FORMAT, **library})

    def write_document(
        self, document_id: str, record: Mapping[str, Any], original: IO[bytes]
    ) -> None:
        self._write_json(f"documents/{document_id}/document.json", record)
        size = original.seek(0, os.SEEK_END)
        original.seek(0)
        self._tar.addfile(_build_member(f"documents/{document_id}/original", size), original)
        self.document_count += 1

    def write_end(self) -> None:
        self._write_json(_END, {"documents": self.document_count})

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        raw = json.dumps(content, ensure_ascii=False, sort_keys=True).encode()
        self._tar.addfile(_build_member(name, len(raw)), io.BytesIO(raw))


@contextmanager
def create_archive(file: Path) -> Iterator[ArchiveWriter]:
    """Create an archive at *file*. It appears there only when it is complete.

    It is compressed if the name ends with .gz or .tgz.

    Raises:
        FileExistsError: *file* exists.
    """
    if file.exists():
        raise FileExistsError(f"{file} already exists. Choose another name, or move the file.")
    with (
        create_file(file) as out,
        tarfile.open(fileobj=out, mode="w:gz" if _is_compressed(file) else "w") as tar,
    ):
        writer = ArchiveWriter(tar)
        yield writer
        writer.write_end()


class ArchiveReader:
    """Reads a complete archive."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        try:
            self.library = self._read_json(_LIBRARY)
            self.document_count = int(self._read_json(_END)["documents"])
        except KeyError as error:
            raise InvalidExport("The file is not an export, or it is incomplete.") from error
        if self.library.get("format") != FORMAT:
            raise InvalidExport("The export was created by a newer version. Update and try again.")

    def iterate_documents(self) -> Iterator[ArchivedDocument]:
        record: dict[str, Any] = {}
        for member in self._tar:  # finding members by name would scan the archive for each
            if member.name.endswith("/document.json"):
                record = self._parse_json(member)
            elif member.name.endswith("/original"):
                original = self._tar.extractfile(member)
                if original is None or member.name != f"documents/{record.get('id')}/original":
                    raise InvalidExport("The export contains unexpected or misplaced files.")
                yield ArchivedDocument(record, original)

    def _read_json(self, name: str) -> dict[str, Any]:
        return self._parse_json(self._tar.getmember(name))

    def _parse_json(self, member: tarfile.TarInfo) -> dict[str, Any]:
        file = self._tar.extractfile(member)
        content: dict[str, Any] = json.load(file or io.BytesIO(b"{}"))
        return content


@contextmanager
def open_archive(file: Path) -> Iterator[ArchiveReader]:
    """Open the archive at *file*.

    Raises:
        InvalidExport: *file* is not an export, or it is damaged or incomplete.
    """
    try:
        _verify_compressed_file(file)
        with tarfile.open(file, "r:*") as tar:
            yield ArchiveReader(tar)
    except _FORMAT_ERRORS as error:
        raise InvalidExport("The file is not an export, or it is damaged.") from error


def _verify_compressed_file(file: Path) -> None:
    """Read a compressed file up to its checksum, to detect damage before the import starts."""
    with file.open("rb") as content:
        if content.read(len(_GZIP_MAGIC)) != _GZIP_MAGIC:
            return
    with gzip.open(file) as content:
        while content.read(_BLOCK_BYTES):
            pass


def _build_member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, _FILE_MODE
    return member


def _is_compressed(file: Path) -> bool:
    return file.suffix in (".gz", ".tgz")
