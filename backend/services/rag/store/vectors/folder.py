"""The right to work in a folder of vectors, which belongs to one process at a time.

Chroma and Qdrant spoil a folder that two processes work in, and Chroma does not look. The file
beside the folder is locked by whoever works there; a server writes into it where it answers.
"""

import fcntl
import os
import threading
from pathlib import Path

_guard = threading.Lock()
# Of this process: descriptors by file, and how many hold on to each. Clients of one process may
# share a folder, for they share what works in it.
_held: dict[Path, tuple[int, int]] = {}


class FolderLock:
    """Held until it is let go, or the process ends."""

    def __init__(self, folder: Path) -> None:
        self._file = folder.with_name(f"{folder.name}.lock").absolute()
        self._holds = False

    def take(self, url: str = "") -> bool:
        """Hold the lock and say at which *url* others may ask; False if another holds it."""
        with _guard:
            descriptor, holders = _held.get(self._file, (-1, 0))
            if not holders:
                descriptor = self._locked()
                if descriptor < 0:
                    return False
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, url.encode(), 0)
            if not self._holds:
                _held[self._file] = descriptor, holders + 1
                self._holds = True
            return True

    def release(self) -> None:
        with _guard:
            if not self._holds:
                return
            self._holds = False
            descriptor, holders = _held.pop(self._file)
            if holders > 1:
                _held[self._file] = descriptor, holders - 1
            else:
                os.close(descriptor)

    def holder_url(self) -> str | None:
        """Where the holder answers; None for one that answers nobody."""
        return self._file.read_text("utf-8").strip() or None

    def _locked(self) -> int:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return -1
        return descriptor
