"""Start time and CPU time of the suite, its size on disk, and its memory when idle.

    python -m benchmarks.suite.start_up             # idle seconds: 30

Clones the repository as committed into an empty folder and runs the README's first command there:
once with nothing installed, then again. A start ends when `/health/ready` of every service returns
200. Its CPU time is that of all processes until then: unlike the wall time, it depends little on
what else the host does. Packages come from the installer's cache if present; the wall time of a
first installation depends on the network.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from backend.operations.supervisor.processes.readiness import is_ready
from benchmarks.suite.holdings import measure_cpu_seconds, print_idle_usage, read_state
from tests.servers import wait_until
from tests.suite.conftest import ROOT, START_SECONDS, Suite, prepare_suite

_READY = re.compile(r"^ +(\S+) is ready \(([\d.]+) s\)", re.MULTILINE)


def measure(idle_seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        suite = prepare_suite(Path(folder), clone)
        try:
            starts = [start_and_wait(suite)]
            stops = [stop_and_time(suite)]
            starts.append(start_and_wait(suite))
            show_starts(starts)
            time.sleep(idle_seconds)
            print_idle_usage(suite, idle_seconds)
        finally:
            stops.append(stop_and_time(suite))
        print(f"\nStopping took {' and '.join(f'{seconds:.1f}' for seconds in stops)} s.")
        packages, data = (
            get_size_megabytes(clone / ".venv"),
            get_size_megabytes(suite.folder / "data"),
        )
        print(f"On disk: packages {packages:.0f} MB, data {data:.0f} MB.")


@dataclass(frozen=True, slots=True)
class StartResult:
    """Durations of one start in seconds, and the console output."""

    wall: float
    cpu: float
    output: str


def start_and_wait(suite: Suite) -> StartResult:
    """Start the suite and return once every service is ready."""
    began = time.monotonic()
    suite.start()
    for port in suite.ports.values():
        wait_until(partial(is_ready, f"http://127.0.0.1:{port}/health/ready"), START_SECONDS)
    wall, cpu = time.monotonic() - began, measure_cpu_seconds(suite)
    wait_until(lambda: read_state(suite)["ready"], START_SECONDS)
    return StartResult(wall, cpu, (suite.folder / "screen.txt").read_text())


def stop_and_time(suite: Suite) -> float:
    began = time.monotonic()
    suite.stop()
    return time.monotonic() - began


def show_starts(starts: list[StartResult]) -> None:
    ready = [dict(_READY.findall(start.output)) for start in starts]
    print("| seconds until ready | first start | second start |\n|---|---|---|")
    for name in ready[0]:
        print(f"| {name} | {ready[0][name]} | {ready[1].get(name, '-')} |")
    first, second = starts
    print(f"| the command, until everything is ready | {first.wall:.1f} | {second.wall:.1f} |")
    print(f"| CPU time of all processes until then | {first.cpu:.1f} | {second.cpu:.1f} |")
    print(f"\nLoad average: {os.getloadavg()[0]:.1f}.\n")


def get_size_megabytes(folder: Path) -> float:
    output = subprocess.run(["du", "-sk", folder], check=True, capture_output=True, text=True)
    return int(output.stdout.split()[0]) / 1024


if __name__ == "__main__":
    measure(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)
