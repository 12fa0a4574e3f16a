"""Memory and open files of each program of a running suite, including its child processes."""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.suite.conftest import Suite, list_descendants

_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class ResourceUsage:
    """Resources of one program and its descendants.

    Memory is the proportional set size (PSS): shared pages count once, so programs add up.
    """

    processes: int
    megabytes: float
    files: int


def measure_usage(suite: Suite) -> dict[str, ResourceUsage]:
    """Return the usage of each program by its name in `status`, in start order."""
    running = read_state(suite)
    usage = {
        program["name"]: _measure_processes(_process_tree(program["process"]["pid"]))
        for program in running["programs"]
        # A program on demand has no process while it waits.
        if program["process"] is not None
    }
    return usage | {"supervisor": _measure_processes([running["supervisor"]["pid"]])}


def print_idle_usage(suite: Suite, seconds: float) -> float:
    """Print the usage of each program after *seconds* without requests; return the total in MB."""
    usage = measure_usage(suite)
    print(f"After {seconds:g} s without requests:\n")
    print("| program | processes | MB (PSS) | open files |\n|---|---|---|---|")
    for name, item in usage.items():
        print(f"| {name} | {item.processes} | {item.megabytes:.0f} | {item.files} |")
    processes = sum(item.processes for item in usage.values())
    megabytes = sum(item.megabytes for item in usage.values())
    print(f"| total | {processes} | {megabytes:.0f} | |")
    return megabytes


def measure_cpu_seconds(suite: Suite) -> float:
    """Return the CPU time of the supervisor and its descendants, also of those that have ended."""
    ticks = 0
    for pid in _process_tree(read_state(suite)["supervisor"]["pid"]):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def read_state(suite: Suite) -> dict[str, Any]:
    """Return the supervisor's state file."""
    text = (suite.folder / "data" / "run" / "state.json").read_text()
    state: dict[str, Any] = json.loads(text)
    return state


def draw_bars(values: Sequence[float]) -> str:
    """Draw *values* as a row of bars, scaled from zero to the highest value."""
    highest = max(values) or 1
    return "".join(_BARS[round(value / highest * (len(_BARS) - 1))] for value in values)


def _process_tree(pid: int) -> list[int]:
    return [pid, *dict(list_descendants(pid))]


def _measure_processes(pids: list[int]) -> ResourceUsage:
    processes, kilobytes, files = 0, 0, 0
    for pid in pids:
        # A process may exit during the measurement.
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kilobytes += int(rollup.partition("\nPss:")[2].split()[0])
            files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
            processes += 1
    return ResourceUsage(processes, kilobytes / 1024, files)
