"""Storage of uploaded files in a folder, each under a random name (its blob)."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import IO

from backend.chassis.data_encryption.files import (
    SUFFIX,
    FileEncryption,
    SealedReader,
    delete_file,
    find_stored_path,
)
from backend.chassis.database.sessions import Session
from backend.chassis.files import keep_files, replace_file, sync_folder, try_change_files
from backend.services.rag.domain.uploads import FileReceiver

_COPY_BYTES = 65536
KIND = "rag/blobs"
"""What the files are, to which encrypted ones are bound."""


@dataclass(frozen=True, slots=True)
class OriginalFile:
    """An uploaded file, which may be encrypted."""

    path: Path
    encryption: FileEncryption

    def find_download(self) -> Path | SealedReader | None:
        """Return the file as a path, or as a reader if it is encrypted; None if there is none.

        Raises:
            DamagedValue: the file is encrypted and damaged.
        """
        return self.encryption.find_download(self.path)

    def open_clear_path(self) -> AbstractContextManager[Path]:
        """Return a context with the path of the content, which is in memory if it is encrypted.

        Raises:
            DamagedValue: the file is encrypted and damaged.
        """
        return self.encryption.open_clear_path(self.path)


class BlobStorage:
    """Stores the bytes of uploaded files in *folder*.

    Args:
        encryption: encrypts new files if it is on.
    """

    def __init__(self, folder: Path, encryption: FileEncryption | None = None) -> None:
        self._folder = folder
        self._encryption = encryption or FileEncryption(KIND)

    def get_file(self, blob: str) -> OriginalFile:
        return OriginalFile(self._folder / blob, self._encryption)

    def open_blob(self, blob: str) -> IO[bytes]:
        """Open the content of a file.

        Raises:
            FileNotFoundError: there is no such file.
            DamagedValue: it is encrypted and damaged.
        """
        return self._encryption.open(self._folder / blob)

    def find_stored_path(self, blob: str) -> Path | None:
        """Return the path of the file as it is stored, or None if there is none."""
        return find_stored_path(self._folder / blob)

    def block_deletion(self) -> AbstractContextManager[None]:
        """Block deletions by all processes. Waits until running deletions have ended."""
        return keep_files(self._folder)

    def try_start_deletion(self) -> AbstractContextManager[bool]:
        """Yield True if deletions are allowed until the block ends, False if they are blocked."""
        return try_change_files(self._folder)

    def write_blob(self, blob: str, content: Iterable[bytes]) -> str:
        """Write a file under an existing name, for example from a backup.

        A name with the suffix of encrypted files is for content that is encrypted already.

        Returns:
            The SHA-256 of the content as hex.

        Raises:
            FileExistsError: the blob exists.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with (self._folder / blob).open("xb") as file:
            for part in content:
                digest.update(part)
                file.write(part)
        return digest.hexdigest()

    def copy_blob(self, blob: str, tenant_id: str, session: Session) -> str:
        """Store the file under a second name and return that name.

        Both share the bytes on disk unless they are encrypted.

        Args:
            session: the caller's session, in a writing transaction.
        """
        copy = token_hex(20)
        stored = find_stored_path(self._folder / blob)
        if stored is None or not stored.name.endswith(SUFFIX):
            (self._folder / copy).hardlink_to(self._folder / blob)
            sync_folder(self._folder)
            return copy
        with self.open_blob(blob) as source, replace_file(self._folder / (copy + SUFFIX)) as file:
            writer = self._encryption.create_writer(file, copy, tenant_id, session)
            while part := source.read(_COPY_BYTES):
                writer.write(part)
            writer.finish()
        return copy

    def delete_blob(self, blob: str) -> None:
        """Delete the file if it exists."""
        delete_file(self._folder / blob)

    def delete_orphans(self, referenced: Collection[str], older_than: float) -> None:
        """Delete files that are not *referenced* and were modified before *older_than*.

        They were left by a killed process. *older_than* is a Unix time.
        """
        for file in self._folder.glob("*"):
            name = file.name.removesuffix(SUFFIX)
            if name not in referenced and file.stat().st_mtime < older_than:
                file.unlink(missing_ok=True)

    def list_blobs_older_than(self, timestamp: float) -> list[str]:
        """Return the sorted names of files last modified before the Unix time *timestamp*."""
        if not self._folder.is_dir():
            return []
        return sorted(
            {
                file.name.removesuffix(SUFFIX)
                for file in self._folder.iterdir()
                if file.stat().st_mtime < timestamp
            }
        )

    @contextmanager
    def receive_files(self, max_bytes: int, tenant_id: str) -> Iterator[FileReceiver]:
        """Yield a receiver for up to *max_bytes* of uploaded files of the tenant.

        Files that were not kept are deleted when the block ends.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        receiver = FileReceiver(self._folder, max_bytes, self._encryption, tenant_id)
        try:
            yield receiver
        finally:
            receiver.delete_unkept_files()
