"""Exclusive lock on the folder of an embedded vector store.

Two processes that use the same folder of Chroma or Qdrant corrupt it, and Chroma does not check.
The lock is a file next to the folder. A server writes the URL of its socket into it.
"""

import os
import threading
from pathlib import Path

from backend.chassis.files import FileLockedError, open_locked

_registry_lock = threading.Lock()
# File descriptor and number of holders by lock file. Clients in one process may share a folder,
# because they share the embedded store.
_held: dict[Path, tuple[int, int]] = {}


class FolderLock:
    """Lock on *folder*, held until it is released or the process ends."""

    def __init__(self, folder: Path) -> None:
        self._file = folder.with_name(f"{folder.name}.lock").absolute()
        self._is_holder = False

    def acquire(self, url: str = "") -> bool:
        """Acquire the lock. Return False if another process holds it.

        Args:
            url: URL at which other processes of this user can use the store.
        """
        with _registry_lock:
            descriptor, holders = _held.get(self._file, (-1, 0))
            if not holders:
                descriptor = self._lock_file()
                if descriptor < 0:
                    return False
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, url.encode(), 0)
            if not self._is_holder:
                _held[self._file] = descriptor, holders + 1
                self._is_holder = True
            return True

    def release(self) -> None:
        with _registry_lock:
            if not self._is_holder:
                return
            self._is_holder = False
            descriptor, holders = _held.pop(self._file)
            if holders > 1:
                _held[self._file] = descriptor, holders - 1
            else:
                os.close(descriptor)

    def find_other_holder_url(self) -> str | None:
        """Return the URL of the socket of the server that holds the lock, or None."""
        if not self._file.exists() or self.acquire():
            self.release()
            return None
        return self._file.read_text("utf-8").strip() or None

    def _lock_file(self) -> int:
        """Return the descriptor of the locked file, or -1 if another process holds the lock."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        try:
            return open_locked(self._file, blocking=False)
        except FileLockedError:
            return -1
