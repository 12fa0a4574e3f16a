"""Turns of the processes that write to one SQLite file.

SQLite does not queue its writers: each polls for the write lock, with pauses that grow to 100 ms. A
process that writes one transaction after the other takes the lock again before the others notice
that it was free.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# SQLite polls after 1 and 3 ms in this time, without Python's global lock.
_POLL_MS: Final = 3
_PAUSE_SECONDS: Final = 0.001
# The process that has the turn may be stopped. Then the others compete as without turns.
_MAX_TURN_SHARE: Final = 0.25
_SQLITE_PRIMARY_CODE: Final = 0xFF


class WriterTurns:
    """Lets the processes that use one SQLite file begin writing transactions in turn.

    The process that has the turn waits for SQLite's write lock, begins its transaction and passes
    the turn on. So a process that writes again waits behind another one that waits already. The
    turn is a lock (fcntl) of a file beside the database. It belongs to the process: it ends with
    the process, and forked processes do not inherit it.

    There are no turns if the file cannot be created, as in a read-only folder.

    Args:
        file: the database.
        timeout_seconds: how long a transaction waits for others before `begin` fails.
    """

    def __init__(self, file: Path, timeout_seconds: float) -> None:
        self._file = file
        self._turns_path = str(get_turns_path(file))
        self._timeout_seconds = timeout_seconds

    def begin(self, connection: sqlite3.Connection) -> None:
        """Begin a writing transaction on *connection*.

        Raises:
            sqlite3.OperationalError: others hold the write lock (SQLITE_BUSY), or another error.
        """
        started = time.monotonic()
        connection.execute(f"PRAGMA busy_timeout={_POLL_MS}")
        try:
            with self._wait_for_turn(started + self._timeout_seconds * _MAX_TURN_SHARE):
                _begin_immediate(connection, started + self._timeout_seconds)
        finally:
            connection.execute(f"PRAGMA busy_timeout={int(self._timeout_seconds * 1000)}")

    @contextmanager
    def _wait_for_turn(self, deadline: float) -> Iterator[None]:
        """Have the turn within the block. Runs the block without it after *deadline*."""
        try:
            descriptor = self._open()
        except OSError:
            yield
            return
        try:
            while not _try_lock(descriptor) and time.monotonic() < deadline:
                time.sleep(_PAUSE_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self._turns_path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # With the permissions of the database: who writes to it needs this file too.
            mode = self._file.stat().st_mode & 0o666
            return os.open(self._turns_path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, mode)


def get_turns_path(file: Path) -> Path:
    """Return the path of the file that is locked for turns of database *file*. It stays empty."""
    return file.with_name(f"{file.name}-turns")


def _try_lock(descriptor: int) -> bool:
    """Return False if another process has the lock. A file system without locks has no turns."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def _begin_immediate(connection: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & _SQLITE_PRIMARY_CODE == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() >= deadline:
                raise
        else:
            return
