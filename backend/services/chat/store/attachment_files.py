"""The files of attachments, in the data folder of the service."""

import re
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from backend.chassis.files import write_file

_NAME = re.compile(r"[0-9a-f]{64}")


class AttachmentFiles:
    """Files by name; a name is random and says nothing about the content.

    Args:
        folder: created with the first file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, content: bytes) -> str:
        """Store *content* durably. Returns its name."""
        name = secrets.token_hex(32)
        self.write(name, content)
        return name

    def write(self, name: str, content: bytes) -> None:
        """Store *content* durably as *name*. Raises FileNotFoundError for an invalid name."""
        path = self.get_path(name)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, content)

    def read(self, name: str) -> bytes:
        """Return the content of a file. Raises FileNotFoundError if there is none."""
        return self.get_path(name).read_bytes()

    def delete(self, name: str) -> None:
        self.get_path(name).unlink(missing_ok=True)

    def list_older_than(self, time: datetime) -> Iterator[str]:
        """Yield the names of the files that were last written before *time*."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.name) and path.stat().st_mtime < time.timestamp():
                yield path.name

    def find_path(self, name: str | None) -> Path | None:
        """Return the path of a file, or None if there is none."""
        if name is None or not _NAME.fullmatch(name):
            return None
        path = self._folder / name
        return path if path.is_file() else None

    def get_path(self, name: str) -> Path:
        """Return the path of a file. Raises FileNotFoundError for an invalid name."""
        if not _NAME.fullmatch(name):
            raise FileNotFoundError(name)
        return self._folder / name
