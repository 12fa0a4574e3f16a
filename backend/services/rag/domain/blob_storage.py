"""Storage of uploaded files in a folder, each under a random name (its blob)."""

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from backend.chassis.files import FileLockedError, lock_file, open_locked, sync_folder
from backend.services.rag.domain.uploads import FileReceiver


class BlobStorage:
    """Stores the bytes of uploaded files in *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_path(self, blob: str) -> Path:
        return self._folder / blob

    @contextmanager
    def block_deletion(self) -> Iterator[None]:
        """Block deletions by all processes. Waits until running deletions have ended."""
        with lock_file(self._prepare_lock_path()):
            yield

    @contextmanager
    def try_start_deletion(self) -> Iterator[bool]:
        """Yield True if deletions are allowed until the block ends, False if they are blocked."""
        try:
            descriptor = open_locked(self._prepare_lock_path(), exclusive=False, blocking=False)
        except FileLockedError:
            yield False
            return
        try:
            yield True
        finally:
            os.close(descriptor)

    def _prepare_lock_path(self) -> Path:
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        return self._folder.with_name(f"{self._folder.name}.lock")

    def write_blob(self, blob: str, content: Iterable[bytes]) -> str:
        """Write a file under an existing name, for example from a backup.

        Returns:
            The SHA-256 of the content as hex.

        Raises:
            FileExistsError: the blob exists.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with self.get_path(blob).open("xb") as file:
            for part in content:
                digest.update(part)
                file.write(part)
        return digest.hexdigest()

    def copy_blob(self, blob: str) -> str:
        """Store the file under a second name and return that name. Both share the bytes on disk."""
        copy = token_hex(20)
        self.get_path(copy).hardlink_to(self.get_path(blob))
        sync_folder(self._folder)
        return copy

    def delete_blob(self, blob: str) -> None:
        """Delete the file if it exists."""
        self.get_path(blob).unlink(missing_ok=True)

    def delete_orphans(self, referenced: Collection[str], older_than: float) -> None:
        """Delete files that are not *referenced* and were modified before *older_than*.

        They were left by a killed process. *older_than* is a Unix time.
        """
        for file in self._folder.glob("*"):
            if file.name not in referenced and file.stat().st_mtime < older_than:
                file.unlink(missing_ok=True)

    def list_blobs_older_than(self, timestamp: float) -> list[str]:
        """Return the sorted names of files last modified before the Unix time *timestamp*."""
        if not self._folder.is_dir():
            return []
        return sorted(
            file.name for file in self._folder.iterdir() if file.stat().st_mtime < timestamp
        )

    @contextmanager
    def receive_files(self, max_bytes: int) -> Iterator[FileReceiver]:
        """Yield a receiver for up to *max_bytes* of uploaded files.

        Files that were not kept are deleted when the block ends.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        receiver = FileReceiver(self._folder, max_bytes)
        try:
            yield receiver
        finally:
            receiver.delete_unkept_files()
