"""Latency of a signed-in user while others guess passwords.

    python -m benchmarks.security.flood             # requests: 200

Starts the suite on free ports. A signed-in user requests `/auth/me` repeatedly, first without other
load, then while sixteen threads guess another user's password as fast as possible. Prints
milliseconds and their ratio.
"""

import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.suite.conftest import UserClient, guess_passwords, prepare_suite


def main(requests: int) -> None:
    statuses: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        suite = prepare_suite(Path(folder))
        try:
            suite.start()
            worker, victim = suite.register_user("worker"), suite.register_user("victim")
            measure(worker, requests)  # warm-up
            alone = measure(worker, requests)
            name = victim.account["user"]["username"]
            with guess_passwords(
                suite, name, lambda response: statuses.update([response.status_code])
            ):
                loaded = measure(worker, requests)
        finally:
            suite.stop()
    print("| /auth/me | median ms | p95 ms |\n|---|---|---|")
    for label, times in (("no other load", alone), ("during password guessing", loaded)):
        p95 = statistics.quantiles(times, n=20)[18]
        print(f"| {label} | {statistics.median(times):.1f} | {p95:.1f} |")
    print(f"\nRatio of the medians: {statistics.median(loaded) / statistics.median(alone):.1f}")
    print(f"Guesses by status: {dict(statuses)}")


def measure(user: UserClient, requests: int) -> list[float]:
    """Return the duration of each request in milliseconds."""
    times = []
    for _ in range(requests):
        began = time.perf_counter()
        user("GET", "/auth/me").raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
    return times


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
