"""Start processes that die with the supervisor, and identify them by pid and start time."""

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
from backend.operations.supervisor.processes.child_output import convert_output, get_log_format


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Identity of a process. Pids are reused; a pid with its start time is unique."""

    pid: int
    started: str

    @property
    def is_alive(self) -> bool:
        return get_start_time(self.pid) == self.started


def identify(pid: int) -> ProcessIdentity:
    return ProcessIdentity(pid, get_start_time(pid) or "")


def get_start_time(pid: int) -> str | None:
    """Return the start time of *pid* as comparable text, or None if it exited or is a zombie."""
    if sys.platform == "linux":
        try:
            # The command name is in parentheses and may contain any character, even parentheses.
            fields = (
                Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            )
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    output = subprocess.run(  # noqa: S603 - fixed arguments and a number
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return output.stdout.strip() or None


def spawn(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    folder: Path,
    *,
    output_service: str | None = None,
    last_signal: signal.Signals = signal.SIGKILL,
    keep_open: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """Run *command* as the leader of a new process group, with its output appended to *log*.

    Args:
        output_service: name of a program that does not write JSON lines; its output is
            converted. None appends the output unchanged.
        last_signal: signal that the kernel sends when the supervisor dies.
        keep_open: file descriptors that the process inherits.
    """
    parent = os.getpid()
    with log.open("ab") as log_file:
        child = subprocess.Popen(  # noqa: S603 - the command comes from the plan
            command,
            stdin=subprocess.DEVNULL,
            stdout=log_file if output_service is None else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            process_group=0,
            pass_fds=tuple(keep_open),
            preexec_fn=lambda: die_with_parent(parent, last_signal),
        )
    if output_service is not None and child.stdout is not None:
        convert_output(child.stdout, log, output_service, get_log_format(environment))
    return child


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to the process group of *pid*. macOS returns EPERM if it no longer exists."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def stop_processes(identities: Collection[ProcessIdentity], seconds: float) -> None:
    """Stop processes that are not our children: SIGTERM, then SIGKILL after *seconds*."""
    deadline = time.monotonic() + seconds
    for identity in identities:
        if identity.is_alive:
            signal_group(identity.pid, signal.SIGTERM)
    while any(identity.is_alive for identity in identities) and time.monotonic() < deadline:
        time.sleep(0.05)
    for identity in identities:
        if identity.is_alive:
            signal_group(identity.pid, signal.SIGKILL)
