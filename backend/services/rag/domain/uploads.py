"""Uploaded files that are being received and do not belong to a document yet."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import IO, Self

from backend.chassis.data_encryption.files import SUFFIX, FileEncryption, SealingWriter
from backend.chassis.files import sync_file, sync_folder
from backend.services.rag.errors import (
    EmptyFile,
    UnreadableDocument,
    UnsupportedDocumentType,
    UploadTooLarge,
)
from backend.services.rag.extraction.detection import (
    TypeMismatch,
    UnsupportedType,
    detect_document_type,
)
from backend.services.rag.extraction.document_types import DocumentType, get_type_by_media_type

_MAX_FILENAME_BYTES = 200
# Control characters, invisible characters and characters that change the text direction.
_UNSAFE_CHARACTERS = re.compile(
    r"[\x00-\x1f\x7f\x80-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limit of one upload request: the total size of its files."""

    max_bytes: int


@dataclass(frozen=True, slots=True)
class Upload:
    """A validated file. *content_type* is the type detected from its content."""

    blob: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str


def accepts_password(upload: Upload) -> bool:
    """Check whether files of this type can be password-protected."""
    return get_type_by_media_type(upload.content_type).accepts_password


class FileReceiver:
    """Receives the files of one request and limits their total size."""

    def __init__(
        self, folder: Path, max_bytes: int, encryption: FileEncryption, tenant_id: str
    ) -> None:
        self._folder = folder
        self._encryption = encryption
        self._tenant_id = tenant_id
        self._max_bytes = max_bytes
        self._received_bytes = 0
        self._files: dict[str, ReceivedFile] = {}

    def create_file(self) -> "ReceivedFile":
        """Create an empty file under a random name."""
        blob = token_hex(20)
        self._files[blob] = ReceivedFile(self, self._folder / blob, self._encryption)
        return self._files[blob]

    def create_writer(self, file: IO[bytes], name: str) -> SealingWriter | None:
        """Return the writer that encrypts the file *name*, or None if encryption is off."""
        if not self._encryption.is_on:
            return None
        return self._encryption.create_writer(file, name, self._tenant_id)

    def count_bytes(self, size: int) -> None:
        """Add *size* to the received bytes. Raises UploadTooLarge above the limit."""
        self._received_bytes += size
        if self._received_bytes > self._max_bytes:
            raise UploadTooLarge(self._max_bytes)

    def keep_file(self, blob: str) -> None:
        """Close the file and exclude it from deletion, because a document references it."""
        self._files.pop(blob).close()

    def sync_folder(self) -> None:
        """Flush the directory entries to disk. The files' contents were flushed before."""
        sync_folder(self._folder)

    def delete_unkept_files(self) -> None:
        for file in self._files.values():
            file.close()
            file.path.unlink(missing_ok=True)
        self._files.clear()


class ReceivedFile:
    """A file being written. Its bytes are counted and hashed, and encrypted if that is on."""

    def __init__(self, receiver: FileReceiver, path: Path, encryption: FileEncryption) -> None:
        self.blob = path.name
        self.path = path.with_name(path.name + SUFFIX) if encryption.is_on else path
        self._clear_path = path
        self._encryption = encryption
        self._receiver = receiver
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._file: IO[bytes] = self.path.open("xb")
        self._writer = receiver.create_writer(self._file, self.blob)

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def write(self, data: bytes) -> int:
        self._receiver.count_bytes(len(data))
        self._hash.update(data)
        self._size_bytes += len(data)
        return (self._writer or self._file).write(data)

    def validate_upload(self, filename: str, declared_type: str) -> Upload:
        """Flush the file to disk and return it as an upload.

        Raises:
            EmptyFile: the file has no content.
            UnreadableDocument: the content does not match the declared type.
            UnsupportedDocumentType: the type of the content is not supported.
        """
        if self._size_bytes == 0:
            raise EmptyFile
        sha256 = self.sync_and_hash()
        name = sanitize_filename(filename)
        try:
            document_type = self._detect_type(name, declared_type)
        except TypeMismatch as error:
            raise UnreadableDocument(str(error)) from error
        except UnsupportedType as error:
            raise UnsupportedDocumentType(str(error)) from error
        return Upload(self.blob, name, document_type.media_type, self._size_bytes, sha256)

    def sync_and_hash(self) -> str:
        """Flush the file to disk. Returns the SHA-256 of its content as hex.

        Nothing can be written afterwards.
        """
        if self._writer is not None:
            self._writer.finish()
        sync_file(self._file)
        return self._hash.hexdigest()

    def _detect_type(self, name: str, declared_type: str) -> DocumentType:
        if self._writer is None:
            return detect_document_type(self.path, name, declared_type)
        with (
            self._encryption.limit_memory_files(),
            self._encryption.open_clear_path(self._clear_path) as path,
        ):
            return detect_document_type(path, name, declared_type)

    def seek(self, position: int) -> int:
        """Do nothing. Form parsers rewind the file, but it is never read through this object."""
        return position

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def sanitize_filename(filename: str) -> str:
    """Return the last path component without unsafe characters, cut to 200 bytes of UTF-8.

    The suffix is preserved. An empty name becomes "document".
    """
    basename = filename.replace("\\", "/").rpartition("/")[2]
    name = _UNSAFE_CHARACTERS.sub("", unicodedata.normalize("NFC", basename)).strip(" .")
    stem, dot, suffix = name.rpartition(".")
    if dot and len(suffix) < 16:
        max_stem_bytes = _MAX_FILENAME_BYTES - len(suffix.encode()) - 1
        stem = stem.encode()[:max_stem_bytes].decode("utf-8", "ignore")
        return f"{stem or 'document'}.{suffix}"
    return name.encode()[:_MAX_FILENAME_BYTES].decode("utf-8", "ignore") or "document"
