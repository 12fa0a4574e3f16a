"""How soon the suite is there, what it takes on disk, and what its programs hold when idle.

    python -m benchmarks.suite.start_up             # idle seconds: 30

Clones the repository as committed into an empty folder and runs the README's first command there:
once with nothing installed, then again. Packages come from the installer's cache where it has
them; the wall time of a first install depends on the line.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.suite.holdings import held, state
from tests.servers import wait_until
from tests.suite.conftest import ROOT, START_SECONDS, Suite, prepare

_READY = re.compile(r"^ +(\S+) is ready \(([\d.]+) s\)", re.MULTILINE)


def measure(idle_seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        suite = prepare(Path(folder), clone)
        try:
            starts = [started(suite)]
            stops = [stopped(suite)]
            starts.append(started(suite))
            show_starts(starts)
            time.sleep(idle_seconds)
            show_idle(suite, idle_seconds)
        finally:
            stops.append(stopped(suite))
        print(f"\nStopping took {' and '.join(f'{each:.1f}' for each in stops)} s.")
        packages, data = megabytes(clone / ".venv"), megabytes(suite.folder / "data")
        print(f"On disk: packages {packages:.0f} MB, data {data:.0f} MB.")


def started(suite: Suite) -> tuple[float, str]:
    """Seconds from the command until all is ready, and what the screen said by then."""
    began = time.monotonic()
    suite.start()
    wait_until(lambda: state(suite)["ready"], START_SECONDS)
    return time.monotonic() - began, (suite.folder / "screen.txt").read_text()


def stopped(suite: Suite) -> float:
    began = time.monotonic()
    suite.stop()
    return time.monotonic() - began


def show_starts(starts: list[tuple[float, str]]) -> None:
    ready = [dict(_READY.findall(said)) for _, said in starts]
    print("| ready, s after it was started | first start | second start |\n|---|---|---|")
    for name in ready[0]:
        print(f"| {name} | {ready[0][name]} | {ready[1].get(name, '-')} |")
    first, second = (seconds for seconds, _ in starts)
    print(f"| the command, until all is ready | {first:.1f} | {second:.1f} |\n")


def show_idle(suite: Suite, seconds: float) -> None:
    holdings = held(suite)
    print(f"After {seconds:g} s without a request:\n")
    print("| program | processes | MB (PSS) | open files |\n|---|---|---|---|")
    for name, each in holdings.items():
        print(f"| {name} | {each.processes} | {each.megabytes:.0f} | {each.files} |")
    total = sum(each.megabytes for each in holdings.values())
    print(f"| together | | {total:.0f} | |")


def megabytes(folder: Path) -> float:
    told = subprocess.run(["du", "-sk", folder], check=True, capture_output=True, text=True)
    return int(told.stdout.split()[0]) / 1024


if __name__ == "__main__":
    measure(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)
