"""A suite of stand-in services in a folder and on ports of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import pytest

from backend.operations.supervisor.processes import start_time
from backend.operations.supervisor.state import State
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[3]
SUITE = Path(__file__).parent / "stand_ins" / "suite.py"


@dataclass
class StandInSuite:
    folder: Path
    ports: dict[str, int]
    variables: dict[str, str] = field(default_factory=dict)
    supervisor: subprocess.Popen[str] | None = None

    def environment(self) -> dict[str, str]:
        named = {
            "ALPHA_SERVICE_PORT": self.ports["alpha"],
            "BETA_SERVICE_PORT": self.ports["beta"],
            "GATEWAY_PORT": self.ports["gateway"],
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith("REDIS_")}
        return (
            kept
            | {name: str(port) for name, port in named.items()}
            | {"DATA_DIR": str(self.folder / "data"), "LOG_DIR": str(self.folder / "logs")}
            | {"PYTHONPATH": str(ROOT)}
            | self.variables
        )

    def run(self, word: str) -> subprocess.CompletedProcess[str]:
        """A command that comes back by itself."""
        return subprocess.run(
            [sys.executable, str(SUITE), word],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )

    def start(self) -> None:
        """Start in the foreground of another process and wait until it is ready."""
        self.supervisor = subprocess.Popen(
            [sys.executable, str(SUITE), "start"],
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_until(lambda: (now := self.state()) is not None and now.ready)

    def state(self) -> State | None:
        return State.read(self.folder / "data" / "run")

    def pids(self) -> dict[str, int]:
        now = self.state()
        return {entry.name: entry.process.pid for entry in now.programs} if now else {}

    def processes(self) -> list[int]:
        """Everything that runs from this suite: the children's children too."""
        return [pid for pid in _all_pids() if _folder_of(pid).is_relative_to(self.folder)]

    def end(self) -> None:
        self.run("stop")
        if self.supervisor:
            self.supervisor.kill()
            self.supervisor.communicate()


def answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if start_time(int(path.name))]


def _folder_of(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return Path("/")


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[StandInSuite]:
    suite = StandInSuite(tmp_path, {name: free_port() for name in ("alpha", "beta", "gateway")})
    yield suite
    suite.end()
