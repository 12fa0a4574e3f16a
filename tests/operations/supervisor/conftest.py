"""A supervisor that runs stand-in services in its own folder and on its own ports."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import pytest

from backend.operations.supervisor.processes.spawn import get_start_time
from backend.operations.supervisor.state import SupervisorState
from tests.servers import free_port, wait_until

ROOT = Path(__file__).parents[3]
SUITE = Path(__file__).parent / "stand_ins" / "suite.py"


@dataclass
class StandInSuite:
    """Stand-in services, started and stopped by stand_ins/suite.py."""

    folder: Path
    ports: dict[str, int]
    variables: dict[str, str] = field(default_factory=dict)
    supervisor: subprocess.Popen[str] | None = None

    def environment(self) -> dict[str, str]:
        port_variables = {
            "ALPHA_SERVICE_PORT": self.ports["alpha"],
            "BETA_SERVICE_PORT": self.ports["beta"],
            "GATEWAY_PORT": self.ports["gateway"],
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("REDIS_")}
        return (
            inherited
            | {name: str(port) for name, port in port_variables.items()}
            | {"DATA_DIR": str(self.folder / "data"), "LOG_DIR": str(self.folder / "logs")}
            | {"PYTHONPATH": str(ROOT)}
            | self.variables
        )

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command and wait until it has exited."""
        return subprocess.run(
            [sys.executable, str(SUITE), command],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def start(self) -> None:
        """Start the supervisor in another process and wait until it is ready."""
        self.supervisor = subprocess.Popen(
            [sys.executable, str(SUITE), "start"],
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_until(lambda: (state := self.read_state()) is not None and state.ready)

    def read_state(self) -> SupervisorState | None:
        return SupervisorState.read(self.folder / "data" / "run")

    def get_pids(self) -> dict[str, int]:
        """Return the process id of each program by name."""
        state = self.read_state()
        programs = state.programs if state else []
        return {each.name: each.process.pid for each in programs if each.process is not None}

    def find_processes(self) -> list[int]:
        """Return the ids of all processes of this suite, including children of services."""
        return [pid for pid in _all_pids() if _working_folder(pid).is_relative_to(self.folder)]

    def stop(self) -> None:
        self.run("stop")
        if self.supervisor:
            self.supervisor.kill()
            self.supervisor.communicate()


def is_healthy(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _all_pids() -> list[int]:
    return [
        int(path.name) for path in Path("/proc").glob("[0-9]*") if get_start_time(int(path.name))
    ]


def _working_folder(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return Path("/")


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[StandInSuite]:
    suite = StandInSuite(tmp_path, {name: free_port() for name in ("alpha", "beta", "gateway")})
    yield suite
    suite.stop()
