"""CPU time of processes."""

import os
from pathlib import Path

_HERTZ = os.sysconf("SC_CLK_TCK")


def get_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants, including ended ones."""
    total = 0.0
    for process_id in (pid, *_list_descendants(pid)):
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15])) / _HERTZ
    return total


def _list_descendants(pid: int) -> list[int]:
    descendants = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            descendants += [child, *_list_descendants(child)]
    return descendants
