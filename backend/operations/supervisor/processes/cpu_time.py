"""CPU time of a process group."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PS_TIME = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)$")


def get_group_cpu_seconds(group: int) -> float:
    """Return the CPU time that the living processes of *group* have used, in seconds.

    The time of exited children that were waited for is included.
    """
    rows = _read_proc() if sys.platform == "linux" else _run_ps()
    return sum(seconds for other_group, seconds in rows if other_group == group)


def _read_proc() -> Iterator[tuple[int, float]]:
    """Yield group and CPU seconds of each process; fields as in proc_pid_stat(5)."""
    ticks_per_second = os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The command name is in parentheses and may contain any character.
            text = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2]
        except OSError:  # exited meanwhile
            continue
        fields = text.split()
        yield int(fields[2]), sum(map(int, fields[11:15])) / ticks_per_second


def _run_ps() -> Iterator[tuple[int, float]]:
    output = subprocess.run(
        ["/bin/ps", "-A", "-o", "pgid=,time="], capture_output=True, text=True, check=False
    )
    for line in output.stdout.splitlines():
        group, _, time = line.strip().partition(" ")
        if group.isdecimal() and (match := _PS_TIME.match(time.strip())):
            days, hours, minutes = (int(match[part] or 0) for part in (1, 2, 3))
            yield int(group), ((days * 24 + hours) * 60 + minutes) * 60 + float(match[4])
