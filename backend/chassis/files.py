"""File locks between processes, and durable writes.

A durable write survives a power failure and is never seen half-written: the content goes to a
temporary file in the same folder, is flushed to the disk (fsync) and renamed. Then the folder is
flushed as well, because the name is stored there.

Only the standard library is imported: the installer runs before any package is installed.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

PRIVATE_MODE = 0o600


class FileLockedError(Exception):
    """Another process holds the lock."""


def open_locked(
    path: Path, *, exclusive: bool = True, blocking: bool = True, mode: int = PRIVATE_MODE
) -> int:
    """Create *path* if missing, lock it (flock) and return its descriptor, open for writing.

    The lock lasts until the descriptor is closed. The kernel closes it when the process ends,
    however it ends. A child process that inherits the descriptor holds the lock too.

    Args:
        exclusive: False for a lock that several processes may share.
        blocking: wait until the lock is free.
        mode: permissions of a new file.

    Raises:
        FileLockedError: *blocking* is False, and the lock is held elsewhere.
        OSError: *path* is a symbolic link or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, operation if blocking else operation | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FileLockedError(str(path)) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def lock_file(
    path: Path, *, exclusive: bool = True, blocking: bool = True, mode: int = PRIVATE_MODE
) -> Iterator[None]:
    """Hold the lock of *path* within the block. Arguments and exceptions as in `open_locked`."""
    descriptor = open_locked(path, exclusive=exclusive, blocking=blocking, mode=mode)
    try:
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return True if a process holds the lock of *path*. Needs no write access."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def keep_files(folder: Path) -> Iterator[None]:
    """Keep all files of *folder* until the block ends. Waits for blocks of `try_change_files`."""
    with lock_file(_get_folder_lock(folder)):
        yield


@contextmanager
def try_change_files(folder: Path) -> Iterator[bool]:
    """Yield True if files of *folder* may be deleted or replaced until the block ends.

    It is False while another process keeps them with `keep_files`.
    """
    try:
        descriptor = open_locked(_get_folder_lock(folder), exclusive=False, blocking=False)
    except FileLockedError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)


def _get_folder_lock(folder: Path) -> Path:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.with_name(f"{folder.name}.lock")


def sync_file(file: IO[Any]) -> None:
    """Flush the content of *file* to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the entries of *folder* to the disk: the names of new, renamed and deleted files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish_file(draft: Path, path: Path) -> None:
    """Rename the complete file *draft* to *path* durably, replacing an existing file."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


@contextmanager
def replace_file(path: Path, *, mode: int = PRIVATE_MODE) -> Iterator[IO[bytes]]:
    """Open a temporary file that durably replaces *path* at the end of the block.

    After an exception in the block, *path* is unchanged.
    """
    with _open_draft(path, mode) as (draft, file):
        yield file
        sync_file(file)
        draft.replace(path)
        sync_folder(path.parent)


@contextmanager
def create_file(path: Path, *, mode: int = PRIVATE_MODE) -> Iterator[IO[bytes]]:
    """Open a temporary file that durably becomes *path* at the end of the block.

    Raises:
        FileExistsError: at the end, if *path* exists. If processes compete, one succeeds.
    """
    with _open_draft(path, mode) as (draft, file):
        yield file
        sync_file(file)
        os.link(draft, path)
        sync_folder(path.parent)


def write_file(path: Path, content: bytes, *, mode: int = PRIVATE_MODE) -> None:
    """Durably replace the content of *path*."""
    with replace_file(path, mode=mode) as file:
        file.write(content)


@contextmanager
def _open_draft(path: Path, mode: int) -> Iterator[tuple[Path, IO[bytes]]]:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield draft, file
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
