"""How much longer those who work wait while others guess passwords.

    python -m benchmarks.security.flood             # requests: 200

Starts the suite on free ports. Somebody who is signed in asks `/auth/me` over and over, first
alone, then while sixteen guess another's password as fast as they are refused. Prints milliseconds,
and the ratio of the two.
"""

import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.suite.conftest import Person, flood, prepare


def main(requests: int) -> None:
    answers: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        suite = prepare(Path(folder))
        try:
            suite.start()
            worker, victim = suite.person("worker"), suite.person("victim")
            measure(worker, requests)  # so that everything has been loaded
            alone = measure(worker, requests)
            name = victim.account["user"]["username"]
            with flood(suite, name, lambda answer: answers.update([answer.status_code])):
                flooded = measure(worker, requests)
        finally:
            suite.stop()
    print("| /auth/me | median ms | p95 ms |\n|---|---|---|")
    for told, took in (("alone", alone), ("during a flood of guesses", flooded)):
        p95 = statistics.quantiles(took, n=20)[18]
        print(f"| {told} | {statistics.median(took):.1f} | {p95:.1f} |")
    print(f"\nLonger by {statistics.median(flooded) / statistics.median(alone):.1f} times.")
    print(f"Guesses meanwhile, by status: {dict(answers)}")


def measure(person: Person, requests: int) -> list[float]:
    """Milliseconds of each request."""
    took = []
    for _ in range(requests):
        began = time.perf_counter()
        person("GET", "/auth/me").raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
    return took


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
