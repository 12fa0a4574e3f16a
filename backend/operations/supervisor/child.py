"""One program that is kept running, and how that went so far."""

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend.chassis.console import CannotRun
from backend.operations.supervisor import log_files
from backend.operations.supervisor.processes import Identity, identify

SHORTEST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0
_LAST_LINES = 20


@dataclass(slots=True)
class Child:
    """A program with the means to start it and to ask how it is."""

    name: str
    url: str
    log: Path
    start: Callable[[], subprocess.Popen[bytes]]
    # Asked with the seconds it may take to answer.
    is_ready: Callable[[float], bool]
    is_gateway: bool = False
    is_store: bool = False
    probe_url: str | None = None
    process: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None
    since: float = 0.0
    said_before: int = 0
    restarts: int = 0
    pause: float = SHORTEST_PAUSE
    start_again_at: float | None = None

    def run(self) -> None:
        self.said_before = self.log.stat().st_size if self.log.exists() else 0
        self.process = self.start()
        self.identity = identify(self.process.pid)
        self.since = time.time()
        self.start_again_at = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def last_words(self) -> str:
        lines = log_files.last_lines(self.log, _LAST_LINES, beyond=self.said_before)
        return "\n".join(f"  | {line}" for line in lines) or "  | (it wrote nothing)"

    def ending(self) -> str:
        code = self.process.returncode if self.process else None
        if code is not None and code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with code {code}"

    def refuse_failed_start(self, passed: float, patience: float) -> None:
        """CannotRun with its last words if it died or lets us wait too long."""
        if not self.running:
            trouble = f"{self.ending()} while starting"
        elif passed > patience:
            trouble = f"runs but is not ready after {passed:.0f} s"
        else:
            return
        raise CannotRun(f"{self.name} {trouble}. The end of {self.log}:\n{self.last_words()}")

    def plan_restart(self) -> float:
        """Set the time to start it again; the pause until then grows while it keeps dying."""
        if time.time() - self.since > _STEADY_SECONDS:
            self.pause = SHORTEST_PAUSE
        pause, self.pause = self.pause, min(self.pause * 2, _LONGEST_PAUSE)
        self.start_again_at = time.monotonic() + pause
        return pause
