"""Named pipes through which the service wakes the workers of the same host.

A worker without work ends the process that holds its memory, and starts it again when the pipe
becomes readable. The content has no meaning: the queue is in the tables.
"""

import os
import select
from contextlib import suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "worker-"
_SUFFIX: Final = ".wake"
_MODE: Final = 0o600
_READ_BYTES: Final = 4096


class WakePipe:
    """The reading end, which the supervisor keeps open also while the worker has no process.

    Args:
        folder: the service's data folder.
        port: distinguishes the workers of one folder.
    """

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{_PREFIX}{port}{_SUFFIX}"
        with suppress(FileExistsError):
            os.mkfifo(path, _MODE)
        # Opened for writing too: a pipe whose last writer has closed it is always readable.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._descriptor

    def wait(self, seconds: float) -> bool:
        """Return True once `wake_workers` or `write` was called, or False after *seconds*.

        All wake-ups so far are consumed.
        """
        # Unlike select, poll accepts descriptors above 1023.
        readable = select.poll()
        readable.register(self, select.POLLIN)
        if not readable.poll(seconds * 1000):
            return False
        with suppress(BlockingIOError):
            while len(os.read(self._descriptor, _READ_BYTES)) == _READ_BYTES:
                pass
        return True

    def close(self) -> None:
        os.close(self._descriptor)

    def write(self) -> None:
        """Wake the reader. Signal handlers can call it."""
        with suppress(BlockingIOError):  # the pipe is full, so the reader wakes anyway
            os.write(self._descriptor, b".")


def wake_workers(folder: Path) -> bool:
    """Wake all workers of this host that use *folder*. Returns False if there are none."""
    has_woken = False
    # Not `Path.glob`: this runs after each commit that adds work.
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except FileNotFoundError:
        return False
    for name in names:
        if not (name.startswith(_PREFIX) and name.endswith(_SUFFIX)):
            continue
        try:
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # its worker has ended
            continue
        try:
            # The pipe is full, so the worker wakes anyway.
            with suppress(BlockingIOError):
                os.write(descriptor, b".")
            has_woken = True
        except BrokenPipeError:  # the worker has ended since its pipe was opened
            continue
        finally:
            os.close(descriptor)
    return has_woken
