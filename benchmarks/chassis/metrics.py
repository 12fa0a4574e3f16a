"""What counting costs a request: with numbers in memory, and with numbers shared among workers.

python -m benchmarks.chassis.metrics
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

_REQUESTS = 20_000
_ROUNDS = 5


def main() -> None:
    for name, shared in (("one worker", False), ("several workers", True)):
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.chassis.metrics", str(int(shared))],
            capture_output=True,
            text=True,
            check=True,
        )
        print(f"{name:16} {ran.stdout.strip()}")


def measure(shared: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if shared:
            from backend.chassis.observability.multiprocess_metrics import share_among_workers

            share_among_workers(Path(folder) / "numbers")
        from backend.chassis.observability.metrics import Metrics

        metrics = Metrics()
        best = min(_counting(metrics) for _ in range(_ROUNDS))
        begun = perf_counter()
        metrics.text()
        print(f"{best * 1e6:6.2f} µs a request, {(perf_counter() - begun) * 1e3:6.2f} ms a page")


def _counting(metrics: "object") -> float:
    durations = metrics.durations  # type: ignore[attr-defined]
    begun = perf_counter()
    for _ in range(_REQUESTS):
        durations.labels("GET", "/documents/<id>", "200").observe(0.012)
    return (perf_counter() - begun) / _REQUESTS


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1] == "1")
    else:
        main()
