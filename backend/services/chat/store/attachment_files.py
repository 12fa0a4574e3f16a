"""The files of attachments, in the data folder of the service."""

import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from backend.chassis.data_encryption.files import (
    SUFFIX,
    FileEncryption,
    SealedReader,
    delete_file,
    find_stored_path,
)
from backend.chassis.files import keep_files, replace_file, try_change_files, write_file

KIND = "chat/attachments"
"""What the files are, to which encrypted ones are bound."""
_NAME = re.compile(r"[0-9a-f]{64}")


class AttachmentFiles:
    """Files by name; a name is random and says nothing about the content.

    Args:
        folder: created with the first file.
        encryption: encrypts new files if it is on.
    """

    def __init__(self, folder: Path, encryption: FileEncryption | None = None) -> None:
        self._folder = folder
        self._encryption = encryption or FileEncryption(KIND)

    def add(self, content: bytes, tenant_id: str) -> str:
        """Store *content* durably. Returns its name."""
        name = secrets.token_hex(32)
        path = self.get_path(name)
        self._create_folder()
        if not self._encryption.is_on:
            write_file(path, content)
            return name
        with replace_file(self._folder / (name + SUFFIX)) as file:
            writer = self._encryption.create_writer(file, name, tenant_id)
            writer.write(content)
            writer.finish()
        return name

    def write_stored(self, file_name: str, content: bytes) -> None:
        """Store a file as it is in a backup: clear, or encrypted if its name has the suffix.

        Raises:
            FileNotFoundError: the name is invalid.
        """
        self.get_path(file_name.removesuffix(SUFFIX))
        self._create_folder()
        write_file(self._folder / file_name, content)

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: there is none.
            DamagedValue: it is encrypted and damaged.
        """
        with self._encryption.open(self.get_path(name)) as file:
            return file.read()

    def delete(self, name: str) -> None:
        delete_file(self.get_path(name))

    def block_deletion(self) -> AbstractContextManager[None]:
        """Block deletions of referenced files by all processes. Waits for running ones."""
        return keep_files(self._folder)

    def try_start_deletion(self) -> AbstractContextManager[bool]:
        """Yield True if deletions are allowed until the block ends, False if they are blocked."""
        return try_change_files(self._folder)

    def list_older_than(self, time: datetime) -> Iterator[str]:
        """Yield the names of the files that were last written before *time*."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            name = path.name.removesuffix(SUFFIX)
            if _NAME.fullmatch(name) and path.stat().st_mtime < time.timestamp():
                yield name

    def find_download(self, name: str | None) -> Path | SealedReader | None:
        """Return a file as a path, or as a reader if it is encrypted; None if there is none.

        Raises:
            DamagedValue: the file is encrypted and damaged.
        """
        if name is None or not _NAME.fullmatch(name):
            return None
        return self._encryption.find_download(self._folder / name)

    def find_stored_path(self, name: str) -> Path | None:
        """Return the path of the file as it is stored, or None if there is none."""
        return find_stored_path(self.get_path(name))

    def _create_folder(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get_path(self, name: str) -> Path:
        """Return the path of a file. Raises FileNotFoundError for an invalid name."""
        if not _NAME.fullmatch(name):
            raise FileNotFoundError(name)
        return self._folder / name
