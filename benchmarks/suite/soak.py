"""The whole suite under mixed load: what it answers, how fast, and what it keeps hold of.

    python -m benchmarks.suite.soak                 # minutes: 10

Starts the suite on free ports in a folder of its own. Several people at once sign in and out,
upload, search, ask, stream an answer or leave it half-way, and look at their sessions, as fast as
they are answered. Prints each route's answers with the 50th and 99th percentile, everything that
was neither the answer nor a limit, and each program's memory and open files all along. Ends with 1
if anything else than a limit was refused, or if memory or open files were still growing.
"""

import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import requests

from benchmarks.suite.holdings import Holding, bars, held
from tests.suite.conftest import PASSWORD, Person, Suite, prepare

PEOPLE = 4
SAMPLES = 40
LIMITED = {429, 503}
WORDS = ("valve", "pump", "runway", "invoice", "turbine", "warranty", "harbour", "ledger")
UNLIMITED = "1000000/minute"
# Between the second quarter of the time and the last: more is a leak, less is noise.
GROWTH = 1.10
LEAST_MEGABYTES, LEAST_FILES = 10.0, 10

Series = dict[str, list[Holding]]


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

    def live(self, person: Person, until: float, seed: int) -> None:
        """One person's doings, over and over."""
        chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        while time.monotonic() < until:
            self.round(person, chance)

    def round(self, person: Person, chance: random.Random) -> None:
        thing = f"{chance.choice(WORDS)} {chance.randrange(10**6)}"
        document = self.keep(person, thing, chance.randrange(90))
        self.look_for(person, f"How long does the {thing} last?")
        self.come_and_go(person)
        if document is not None and chance.random() < 0.5:
            path = f"/rag/documents/{document}"
            self.ask("DELETE /rag/documents", lambda: person("DELETE", path), 204)

    def keep(self, person: Person, thing: str, months: int) -> str | None:
        """Upload a note; its id."""
        text = f"The {thing} lasts {months} months. " + "It is made of steel. " * 20
        kept = self.ask(
            "POST /rag/documents?wait",
            lambda: person(
                "POST", "/rag/documents?wait=60", files={"file": ("note.txt", text.encode())}
            ),
            *(201, 202),
        )
        return str(kept["documents"][0]["id"]) if isinstance(kept, dict) else None

    def look_for(self, person: Person, question: str) -> None:
        """In every way there is."""
        search = {"query": question}
        for _ in range(4):
            self.ask("POST /rag/search", lambda: person("POST", "/rag/search", json=search), 200)
        self.ask("POST /rag/query", lambda: person("POST", "/rag/query", json=search), 200)
        asked = {"user_request": question}
        self.ask("POST /agent/query", lambda: person("POST", "/agent/query", json=asked), 200)
        streamed = asked | {"stream": True}
        self.ask("… streamed", lambda: person("POST", "/agent/query", json=streamed), 200)
        self.ask("… left half-way", lambda: leave_halfway(person, streamed), 200)
        self.ask("GET /agent/sessions", lambda: person("GET", "/agent/sessions"), 200)

    def come_and_go(self, person: Person) -> None:
        """A session beside the one in hand: begun, renewed, ended."""
        login = {"username": person.account["user"]["username"], "password": PASSWORD}
        tokens = self.ask(
            "POST /auth/login", lambda: person("POST", "/auth/login", json=login), 200
        )
        if not isinstance(tokens, dict):
            return
        spent = {"refresh_token": tokens["refresh_token"]}
        tokens = self.ask(
            "POST /auth/refresh", lambda: person("POST", "/auth/refresh", json=spent), 200
        )
        if isinstance(tokens, dict):
            bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
            self.ask(
                "POST /auth/logout", lambda: person("POST", "/auth/logout", headers=bearer), 204
            )


def leave_halfway(person: Person, asked: dict[str, object]) -> requests.Response:
    answer = person("POST", "/agent/query", json=asked, stream=True)
    next(answer.iter_lines(), None)
    answer.close()
    # What has not been read is not there to be looked at.
    answer._content = b""
    return answer


def measure(minutes: float) -> int:
    limits = dict.fromkeys(("RATE_LIMIT_AUTH", "RATE_LIMIT_API", "RATE_LIMIT_TENANT"), UNLIMITED)
    limits |= dict.fromkeys(("LLM_TOKENS_USER", "LLM_TOKENS_USER_DAY"), "100000000/minute")
    with tempfile.TemporaryDirectory() as folder:
        suite = prepare(Path(folder), **limits)
        try:
            suite.start()
            soak = Soak(suite)
            soak.round(suite.person("first"), random.Random(0))  # noqa: S311
            soak.seconds.clear()
            series = load(soak, minutes * 60)
        finally:
            suite.stop()
    print(f"{PEOPLE} people for {minutes:g} minutes, each asking as fast as they are answered.\n")
    show_answers(soak)
    growing = show_holdings(series)
    return 1 if soak.wrong or growing else 0


def load(soak: Soak, seconds: float) -> Series:
    """Let everybody live for *seconds*; what the programs held meanwhile, evenly sampled."""
    registered = [soak.suite.person("soaker") for _ in range(PEOPLE)]
    began = time.monotonic()
    people = [
        threading.Thread(target=soak.live, args=(person, began + seconds, seed))
        for seed, person in enumerate(registered)
    ]
    for each in people:
        each.start()
    series: Series = defaultdict(list)
    for number in range(SAMPLES):
        time.sleep(max(0.0, began + seconds * number / SAMPLES - time.monotonic()))
        for name, holding in held(soak.suite).items():
            series[name].append(holding)
        if number % 4 == 0:
            answers = sum(map(len, soak.seconds.values()))
            told = f"{number / SAMPLES:4.0%}  {answers} answers, {soak.wrong.total()} wrong"
            print(told, file=sys.stderr, flush=True)
    for each in people:
        each.join()
    return series


def show_answers(soak: Soak) -> None:
    print("| route | answers | p50 ms | p99 ms | limited |\n|---|---|---|---|---|")
    for route, seconds in sorted(soak.seconds.items()):
        p99 = statistics.quantiles(seconds, n=100)[98] if len(seconds) > 1 else seconds[0]
        print(
            f"| {route} | {len(seconds)} | {statistics.median(seconds) * 1000:.1f} "
            f"| {p99 * 1000:.1f} | {soak.limited[route]} |"
        )
    print(f"\nNeither the answer nor a limit: {dict(soak.wrong) or 'nothing'}.\n")


def show_holdings(series: Series) -> list[str]:
    """Print them; the programs that were still growing."""
    print(
        "| program | MB at first | second quarter | last quarter | open files | memory over time |"
    )
    print("|---|---|---|---|---|---|")
    growing = []
    for name, samples in series.items():
        memory = [each.megabytes for each in samples]
        files = [float(each.files) for each in samples]
        (before, after), (opened, still) = halves(memory), halves(files)
        print(
            f"| {name} | {memory[0]:.0f} | {before:.0f} | {after:.0f} "
            f"| {files[0]:.0f} → {opened:.0f} → {still:.0f} | {bars(memory)} |"
        )
        if grows(before, after, LEAST_MEGABYTES) or grows(opened, still, LEAST_FILES):
            growing.append(name)
    print(f"\nStill growing in the second half: {', '.join(growing) or 'none'}.")
    return growing


def halves(values: Sequence[float]) -> tuple[float, float]:
    """The middle value of the second quarter, and of the last."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])


def grows(before: float, after: float, least: float) -> bool:
    return after > before * GROWTH and after - before > least


if __name__ == "__main__":
    sys.exit(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
