"""Processes that compute tours: `clients/tour_solver.py` under limits of time and memory."""

import json
import subprocess
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from threading import Lock
from typing import IO, Any, Final, cast

from backend.chassis.child_processes import start_module
from backend.services.packages.model import TourProblem

_MODULE: Final = "backend.services.packages.clients.tour_solver"
_MAX_MEMORY_BYTES: Final = 1024**3
# Start of the interpreter, and writing the result.
_EXTRA_SECONDS: Final = 30
_MAX_LINE_BYTES: Final = 4 * 1024 * 1024

# Gets the elapsed seconds and the distance of the best tours in metres, None without any.
ReportProgress = Callable[[float, int | None], None]


class SolverFailed(Exception):
    """The process ended without a result: it exceeded a limit, or was killed."""


def is_installed() -> bool:
    """Return whether PyVRP is installed, without importing it."""
    return find_spec("pyvrp") is not None


class TourSolver:
    """Computes tours in a child process, one at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def solve(self, problem: TourProblem, report: ReportProgress) -> Mapping[str, Any]:
        """Return `tours`, `unassigned` and `cost` as `clients/tour_solver.py` describes them.

        Raises:
            SolverFailed: the process exceeded a limit, was killed, or `stop` was called.
        """
        process = self._start(problem.seconds + _EXTRA_SECONDS)
        try:
            with cast("IO[bytes]", process.stdin) as stdin:
                stdin.write(json.dumps(problem.to_json()).encode())
            for line in iter(lambda: _read_line(process), b""):
                content = json.loads(line)
                if "tours" in content:
                    return cast("Mapping[str, Any]", content)
                if "error" in content:
                    raise SolverFailed(content["error"])
                report(content["elapsed"], content["cost"])
        except (BrokenPipeError, json.JSONDecodeError) as error:
            raise SolverFailed("no result") from error
        finally:
            process.kill()
            process.wait()
            cast("IO[bytes]", process.stdout).close()
        raise SolverFailed("no result")

    def stop(self) -> None:
        """End the process. Later calls of `solve` fail."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def _start(self, timeout_seconds: int) -> "subprocess.Popen[bytes]":
        limits = [str(_MAX_MEMORY_BYTES), str(timeout_seconds)]
        with self._lock:
            if self._is_stopped:
                raise SolverFailed("stopped")
            try:
                self._process = start_module(_MODULE, limits)
            except OSError as error:
                raise SolverFailed("the process cannot be started") from error
            return self._process


def _read_line(process: "subprocess.Popen[bytes]") -> bytes:
    return cast("IO[bytes]", process.stdout).readline(_MAX_LINE_BYTES)
