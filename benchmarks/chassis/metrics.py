"""Cost of metrics per request, with values in memory and with values shared among workers.

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
        process = subprocess.run(
            [sys.executable, "-m", "benchmarks.chassis.metrics", str(int(shared))],
            capture_output=True,
            text=True,
            check=True,
        )
        print(f"{name:16} {process.stdout.strip()}")


def measure(shared: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if shared:
            from backend.chassis.observability.multiprocess_metrics import enable_multiprocess_mode

            enable_multiprocess_mode(Path(folder) / "numbers")
        from backend.chassis.observability.metrics import Metrics

        metrics = Metrics()
        best = min(_time_observations(metrics) for _ in range(_ROUNDS))
        began = perf_counter()
        metrics.render_text()
        print(f"{best * 1e6:6.2f} µs a request, {(perf_counter() - began) * 1e3:6.2f} ms a page")


def _time_observations(metrics: "object") -> float:
    durations = metrics.request_durations  # type: ignore[attr-defined]
    began = perf_counter()
    for _ in range(_REQUESTS):
        durations.labels("GET", "/documents/<id>", "200").observe(0.012)
    return (perf_counter() - began) / _REQUESTS


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1] == "1")
    else:
        main()
