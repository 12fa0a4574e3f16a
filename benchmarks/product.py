"""All figures that a user notices: latency, CPU time, uploads, memory, start, size, comparisons.

    python -m benchmarks.product [--against CHECKOUT] [--data DATA] [SECTION …]

Runs the benchmarks of its sections one after the other, in less than 20 minutes on two idle CPUs.
With --against, the sections that measure a running suite do the same with another checkout, such as
a clone of an earlier commit that was installed with `./start_microservices.sh install`. With
--data, a folder of question sets in BEIR's layout, searches among 100,000 chunks and the vector
stores are measured too. A section that cannot run says why, and the others still run.

Each line of the sections below is one command that can be run alone.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_SECTION_TIMEOUT_SECONDS = 900
_SECTIONS = {
    "requests": ["benchmarks.suite.request_cost", "4", "{against}"],
    "uploads": ["benchmarks.suite.uploads", "{against}"],
    "start": ["benchmarks.suite.start_up"],
    "streams": ["benchmarks.agent.streams", "50"],
    "gateway": ["benchmarks.gateway.run", "--quick"],
    "searches": ["benchmarks.rag.latency", "{data}", "100000"],
    "stores": ["benchmarks.rag.stores", "{data}", "100000"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--against", metavar="CHECKOUT", default="")
    parser.add_argument("--data", metavar="DATA", default="")
    parser.add_argument("sections", nargs="*", metavar="SECTION")
    options = parser.parse_args()
    print(
        f"{os.cpu_count()} CPUs ({platform.machine()}), Python {platform.python_version()}, "
        f"load average {os.getloadavg()[0]:.1f} before"
    )
    failed = [
        name
        for name in options.sections or _SECTIONS
        if not _run_section(name, against=options.against, data=options.data)
    ]
    if failed:
        sys.exit(f"\nNot measured: {', '.join(failed)}.")


def _run_section(name: str, *, against: str, data: str) -> bool:
    """Run the benchmark of a section and return True if it succeeded."""
    words = _SECTIONS[name]
    if "{data}" in words and not data:
        print(f"\n## {name}\n\nNot measured: it needs --data DATA.", flush=True)
        return True
    arguments = [word.format(against=against, data=data) for word in words]
    command = ["-m", *(argument for argument in arguments if argument)]
    print(f"\n## {name}\n\n`python {' '.join(command)}`\n", flush=True)
    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *command], cwd=_ROOT, check=False, timeout=_SECTION_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        print(f"Ended after {_SECTION_TIMEOUT_SECONDS} s.", flush=True)
        return False
    print(f"\n{time.monotonic() - started:.0f} s", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    main()
