"""Start processes that end with us, and know them again later by pid and start time."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.chassis.parent_death_signal import die_with_parent
from backend.operations.supervisor.child_output import take_down


@dataclass(frozen=True, slots=True)
class Identity:
    """A process and no other: pids are used again, a pid with its start time is not."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.started


def identify(pid: int) -> Identity:
    return Identity(pid, start_time(pid) or "")


def start_time(pid: int) -> str | None:
    """When the kernel started *pid*, as text to compare; None if it is gone or a zombie."""
    if sys.platform == "linux":
        try:
            # The command's name stands in brackets and may hold anything, brackets included.
            fields = (
                Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            )
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(  # noqa: S603 - fixed words and a number
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None


def spawn(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    folder: Path,
    *,
    plain: str | None = None,
    last_signal: signal.Signals = signal.SIGKILL,
    keep_open: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """Run *command* as the head of a process group of its own, its words appended to *log*.

    *plain* is the name of one that does not speak in JSON lines: its words become such.
    """
    parent = os.getpid()
    with log.open("ab") as words:
        child = subprocess.Popen(  # noqa: S603 - the command comes from the plan
            command,
            stdin=subprocess.DEVNULL,
            stdout=words if plain is None else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            process_group=0,
            pass_fds=tuple(keep_open),
            preexec_fn=lambda: die_with_parent(parent, last_signal),
        )
    if plain is not None and child.stdout is not None:
        take_down(child.stdout, log, plain)
    return child


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send to the whole group that *pid* heads; macOS says EPERM for one that is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end_all(left: Collection[Identity], seconds: float) -> None:
    """End processes that are not our children: politely, then by force. Others stay untouched."""
    deadline = time.monotonic() + seconds
    for identity in left:
        if identity.alive:
            signal_group(identity.pid, signal.SIGTERM)
    while any(identity.alive for identity in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    for identity in left:
        if identity.alive:
            signal_group(identity.pid, signal.SIGKILL)
