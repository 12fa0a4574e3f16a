"""How long a session that has ended is still let in, at three services of a running suite.

    python -m benchmarks.security.revocation        # rounds: 30

Starts the suite on free ports, signs people in and out, and asks each service until it
refuses. Prints milliseconds from the answer to the logout until the slowest service refused.
"""

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from tests.suite.conftest import Person, Suite, prepare

DOORS = {"auth": "/me", "agent": "/sessions", "rag": "/documents"}
GIVE_UP_SECONDS = 5.0


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        suite = prepare(Path(folder))
        try:
            suite.start()
            delays = sorted(measure(suite, suite.person("leaver")) for _ in range(rounds))
        finally:
            suite.stop()
    print("| rounds | median ms | p95 ms | worst ms |")
    print("|---|---|---|---|")
    print(
        f"| {rounds} | {statistics.median(delays):.0f} "
        f"| {delays[int(0.95 * (rounds - 1))]:.0f} | {delays[-1]:.0f} |"
    )


def measure(suite: Suite, person: Person) -> float:
    """Milliseconds until the slowest of three services refuses *person* after a logout."""
    token = {"Authorization": str(person.session.headers["Authorization"])}
    urls = [f"http://127.0.0.1:{suite.ports[name]}{path}" for name, path in DOORS.items()]
    for url in urls:  # so that each has its verdict in its cache
        requests.get(url, headers=token, timeout=10).raise_for_status()
    person("POST", "/auth/logout").raise_for_status()
    began = time.perf_counter()
    with ThreadPoolExecutor(len(urls)) as pool:
        return max(pool.map(lambda url: refused_after(url, token, began), urls))


def refused_after(url: str, token: dict[str, str], began: float) -> float:
    while time.perf_counter() - began < GIVE_UP_SECONDS:
        if requests.get(url, headers=token, timeout=10).status_code == 401:
            return (time.perf_counter() - began) * 1000
    raise SystemExit(f"{url} still lets it in after {GIVE_UP_SECONDS} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
