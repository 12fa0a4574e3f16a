"""Time until a revoked session is rejected by three services of a running suite.

    python -m benchmarks.security.revocation        # rounds: 30

Starts the suite on free ports, logs users in and out, and sends requests to each service until it
rejects them. Prints milliseconds from the response to the logout until the slowest service rejects.
"""

import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from tests.suite.conftest import Suite, UserClient, prepare_suite

PATHS = {"auth": "/me", "agent": "/sessions", "rag": "/documents"}
TIMEOUT_SECONDS = 5.0


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        suite = prepare_suite(Path(folder))
        try:
            suite.start()
            delays = sorted(measure(suite, suite.register_user("user")) for _ in range(rounds))
        finally:
            suite.stop()
    print("| rounds | median ms | p95 ms | worst ms |")
    print("|---|---|---|---|")
    print(
        f"| {rounds} | {statistics.median(delays):.0f} "
        f"| {delays[int(0.95 * (rounds - 1))]:.0f} | {delays[-1]:.0f} |"
    )


def measure(suite: Suite, user: UserClient) -> float:
    """Return the milliseconds until the slowest service rejects *user* after a logout."""
    token = {"Authorization": str(user.session.headers["Authorization"])}
    urls = [f"http://127.0.0.1:{suite.ports[name]}{path}" for name, path in PATHS.items()]
    for url in urls:  # so that each service has the status in its cache
        requests.get(url, headers=token, timeout=10).raise_for_status()
    user("POST", "/auth/logout").raise_for_status()
    began = time.perf_counter()
    with ThreadPoolExecutor(len(urls)) as pool:
        return max(pool.map(lambda url: time_until_rejected(url, token, began), urls))


def time_until_rejected(url: str, token: dict[str, str], began: float) -> float:
    while time.perf_counter() - began < TIMEOUT_SECONDS:
        if requests.get(url, headers=token, timeout=10).status_code == 401:
            return (time.perf_counter() - began) * 1000
    raise SystemExit(f"{url} still accepts the token after {TIMEOUT_SECONDS} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
