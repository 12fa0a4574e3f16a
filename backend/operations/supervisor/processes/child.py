"""A supervised child process and its restart state."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from backend.chassis.console import CommandError
from backend.operations.supervisor import log_files
from backend.operations.supervisor.processes.cpu_time import get_group_cpu_seconds
from backend.operations.supervisor.processes.spawn import ProcessIdentity, identify
from backend.operations.supervisor.processes.standby import Standby

MIN_RESTART_DELAY_SECONDS = 0.5
_MAX_RESTART_DELAY_SECONDS = 30.0
_STABLE_SECONDS = 60.0
_LOG_LINES_SHOWN = 20
# An idle process uses less in two minutes; one that loads packages on a busy host uses more.
_PROGRESS_CPU_SECONDS = 1.0


class ChildProcess(Protocol):
    """A child of this process: a `subprocess.Popen` or a ForkedProcess."""

    pid: int

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...


@dataclass(slots=True)
class SupervisedProcess:
    """A program that is kept running.

    Attributes:
        start: starts the process.
        is_ready: called with the timeout in seconds; returns True once the program is ready.
        is_responding: called with the timeout in seconds; returns False if the program sends no
            response at all.
        standby: what starts a program on demand; None for a program that always runs.
        is_waiting: True if a program on demand has no process because nothing has started it.
        log_offset: size of the log in bytes when the process was started.
        started_at: start time in seconds since the epoch.
        restart_at: monotonic time of the next restart, or None.
        progress_at: monotonic time at which the starting process last wrote to its log or had used
            another second of CPU time.
    """

    name: str
    url: str
    log: Path
    start: Callable[[], ChildProcess]
    is_ready: Callable[[float], bool]
    is_responding: Callable[[float], bool] = lambda _: True
    is_gateway: bool = False
    stores_data: bool = False
    probe_url: str | None = None
    standby: Standby | None = None
    is_waiting: bool = False
    process: ChildProcess | None = None
    identity: ProcessIdentity | None = None
    started_at: float = 0.0
    log_offset: int = 0
    restarts: int = 0
    restart_delay_seconds: float = MIN_RESTART_DELAY_SECONDS
    restart_at: float | None = None
    progress_at: float = 0.0
    _progress_cpu_seconds: float = 0.0
    _progress_log_bytes: int = 0

    def run(self) -> None:
        self.log_offset = self._progress_log_bytes = self._log_bytes()
        self.is_waiting = False
        self.process = self.start()
        self.identity = identify(self.process.pid)
        self.started_at = time.time()
        self.restart_at = None
        self.progress_at, self._progress_cpu_seconds = time.monotonic(), 0.0

    def wait_on_standby(self) -> None:
        """Have no process until something starts it."""
        self.process = self.identity = None
        self.is_waiting = True

    @property
    def has_become_idle(self) -> bool:
        """True if the process of a program on demand has ended itself."""
        return self.standby is not None and self.process is not None and self.process.poll() == 0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log_tail(self) -> str:
        lines = log_files.read_last_lines(self.log, _LOG_LINES_SHOWN, offset=self.log_offset)
        return "\n".join(f"  | {line}" for line in lines) or "  | (no output)"

    def describe_exit(self) -> str:
        code = self.process.returncode if self.process else None
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with code {code}"

    def check_startup(self, timeout_seconds: float) -> None:
        """Check that the starting process still runs and makes progress.

        Raises:
            CommandError: it exited, or made no progress for *timeout_seconds*; the message has the
                end of its log.
        """
        if not self.is_running:
            problem, advice = f"{self.describe_exit()} while starting.", ""
        elif self._seconds_without_progress() > timeout_seconds:
            problem = (
                f"runs but is not ready after {time.time() - self.started_at:.0f} s. For "
                f"{timeout_seconds:.0f} s it wrote no log line and used no CPU time."
            )
            advice = (
                "\nIt may wait for a server or a slow disk: ./start_microservices.sh doctor "
                "--findings names servers that do not respond. To wait longer, raise "
                "START_TIMEOUT_SECONDS."
            )
        else:
            return
        raise CommandError(
            f"{self.name} {problem} The end of {self.log}:\n{self.log_tail()}{advice}"
        )

    def _seconds_without_progress(self) -> float:
        cpu_seconds = get_group_cpu_seconds(self.process.pid) if self.process else 0.0
        log_bytes = self._log_bytes()
        if (
            cpu_seconds - self._progress_cpu_seconds >= _PROGRESS_CPU_SECONDS
            or log_bytes != self._progress_log_bytes
        ):
            self.progress_at = time.monotonic()
            self._progress_cpu_seconds, self._progress_log_bytes = cpu_seconds, log_bytes
        return time.monotonic() - self.progress_at

    def _log_bytes(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def schedule_restart(self) -> float:
        """Schedule a restart and return the delay in seconds, which doubles with each failure."""
        if time.time() - self.started_at > _STABLE_SECONDS:
            self.restart_delay_seconds = MIN_RESTART_DELAY_SECONDS
        delay_seconds = self.restart_delay_seconds
        self.restart_delay_seconds = min(delay_seconds * 2, _MAX_RESTART_DELAY_SECONDS)
        self.restart_at = time.monotonic() + delay_seconds
        return delay_seconds
