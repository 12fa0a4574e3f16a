"""The whole suite under mixed load: what it answers, how fast, and what it keeps hold of.

    python -m benchmarks.suite.soak                 # minutes: 10

Starts the suite on free ports in a folder of its own. Several people at once sign in, upload,
search, ask, stream an answer and look at their sessions, as fast as they are answered. Prints
each route's answers with the 50th and 99th percentile, everything that was neither the answer
nor a limit, and each process' memory and open files at the start, the middle and the end.
"""

import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import requests

from tests.suite.conftest import PASSWORD, Person, Suite, prepare

PEOPLE = 4
LIMITED = {429, 503}
WORDS = ("valve", "pump", "runway", "invoice", "turbine", "warranty", "harbour", "ledger")
UNLIMITED = "1000000/minute"


class Soak:
    """What was asked and answered so far, by everybody."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.limited: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.lock = threading.Lock()

    def ask(self, route: str, call: Callable[[], requests.Response], *good: int) -> object:
        """The JSON of an answer as it should be, else None."""
        began = time.perf_counter()
        try:
            answer = call()
            status = str(answer.status_code)
        except requests.RequestException as failure:
            answer, status = None, type(failure).__name__
        took = time.perf_counter() - began
        with self.lock:
            if answer is None or answer.status_code not in {*good, *LIMITED}:
                self.wrong[f"{route}: {status}"] += 1
                return None
            if answer.status_code in LIMITED:
                self.limited[route] += 1
                return None
            self.seconds[route].append(took)
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.json() if is_json else answer.text

    def live(self, until: float, seed: int) -> None:
        """One person's doings, over and over."""
        chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        person = self.suite.person("soaker")
        while time.monotonic() < until:
            self.round(person, chance)

    def round(self, person: Person, chance: random.Random) -> None:
        thing = f"{chance.choice(WORDS)} {chance.randrange(10**6)}"
        text = f"The {thing} lasts {chance.randrange(90)} months. " + "It is made of steel. " * 20
        name = person.account["user"]["username"]
        login = {"username": name, "password": PASSWORD}
        self.ask("POST /auth/login", lambda: person("POST", "/auth/login", json=login), 200)
        kept = self.ask(
            "POST /rag/documents?wait",
            lambda: person(
                "POST", "/rag/documents?wait=60", files={"file": ("note.txt", text.encode())}
            ),
            201,
            202,
        )
        for _ in range(4):
            query = {"query": f"How long does the {thing} last?"}
            self.ask("POST /rag/search", lambda q=query: person("POST", "/rag/search", json=q), 200)
        self.ask("POST /rag/query", lambda: person("POST", "/rag/query", json=query), 200)
        asked = {"user_request": query["query"]}
        self.ask("POST /agent/query", lambda: person("POST", "/agent/query", json=asked), 200)
        asked["stream"] = True
        self.ask("… streamed", lambda: person("POST", "/agent/query", json=asked), 200)
        self.ask("GET /agent/sessions", lambda: person("GET", "/agent/sessions"), 200)
        if isinstance(kept, dict) and chance.random() < 0.5:
            path = f"/rag/documents/{kept['documents'][0]['id']}"
            self.ask("DELETE /rag/documents", lambda: person("DELETE", path), 204)


def held(suite: Suite) -> dict[str, tuple[float, int]]:
    """Each program's resident memory in MB and its open files, with its children's."""
    found: dict[str, tuple[float, int]] = {}
    for pid, command in suite.descendants().items():
        words = [word for word in command.split() if not word.startswith(("-", "/"))]
        name = " ".join(words[:3]) or command.split()[0].rpartition("/")[2]
        status = Path(f"/proc/{pid}/status").read_text()
        kilobytes = int(status.partition("VmRSS:")[2].split()[0])
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        memory, opened = found.get(name, (0.0, 0))
        found[name] = memory + kilobytes / 1024, opened + files
    return found


def measure(minutes: float) -> None:
    limits = dict.fromkeys(("RATE_LIMIT_AUTH", "RATE_LIMIT_API", "RATE_LIMIT_TENANT"), UNLIMITED)
    limits |= dict.fromkeys(("LLM_TOKENS_USER", "LLM_TOKENS_USER_DAY"), "100000000/minute")
    with tempfile.TemporaryDirectory() as folder:
        suite = prepare(Path(folder), **limits)
        try:
            suite.start()
            soak = Soak(suite)
            soak.round(suite.person("first"), random.Random(0))  # noqa: S311
            soak.seconds.clear()
            holds = [held(suite)]
            began = time.monotonic()
            until = began + minutes * 60
            people = [threading.Thread(target=soak.live, args=(until, n)) for n in range(PEOPLE)]
            for each in people:
                each.start()
            while time.monotonic() < began + minutes * 30:
                time.sleep(1)
            holds.append(held(suite))
            for each in people:
                each.join()
            holds.append(held(suite))
        finally:
            suite.stop()
    show(soak, holds, minutes)


def show(soak: Soak, holds: list[dict[str, tuple[float, int]]], minutes: float) -> None:
    print(f"{PEOPLE} people for {minutes:g} minutes, each asking as fast as they are answered.\n")
    print("| route | answers | p50 ms | p99 ms | limited |\n|---|---|---|---|---|")
    for route, seconds in sorted(soak.seconds.items()):
        p99 = statistics.quantiles(seconds, n=100)[98] if len(seconds) > 1 else seconds[0]
        print(
            f"| {route} | {len(seconds)} | {statistics.median(seconds) * 1000:.1f} "
            f"| {p99 * 1000:.1f} | {soak.limited[route]} |"
        )
    print(f"\nNeither the answer nor a limit: {dict(soak.wrong) or 'nothing'}.\n")
    print(
        "| process | MB, open files at the start | in the middle | at the end |\n|---|---|---|---|"
    )
    for name in sorted(holds[0]):
        cells = [hold.get(name) for hold in holds]
        told = ["gone" if cell is None else f"{cell[0]:.0f}, {cell[1]}" for cell in cells]
        print(f"| {name} | {' | '.join(told)} |")


if __name__ == "__main__":
    measure(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
