"""Unix sockets that only the user who created them can connect to."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "unix:"


def parse_socket_url(url: str) -> Path | None:
    """Return the path in a URL such as `unix:/data/vectors.sock`, or None for another URL."""
    return Path(url.removeprefix(PREFIX)) if url.startswith(PREFIX) else None


def bind_private_socket(path: Path) -> socket.socket:
    """Return a listening socket at *path*, mode 0600. An existing socket is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    # The mode must be right from the start: a client could connect before a later chmod.
    previous_mask = os.umask(0o177)
    try:
        with _short_address(path) as address:
            listener.bind(address)
    finally:
        os.umask(previous_mask)
    listener.listen(128)
    return listener


def connect_to_socket(path: Path, timeout_seconds: float) -> socket.socket:
    """Return a connection to the socket at *path*. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_seconds)
    try:
        with _short_address(path) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


@contextmanager
def _short_address(path: Path) -> Iterator[str]:
    """Yield an address for *path* that fits into the 107 bytes of a Unix socket address."""
    if len(os.fsencode(path)) < 100:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
