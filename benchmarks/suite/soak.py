"""The whole suite under mixed load: responses, latency, memory and open files.

    python -m benchmarks.suite.soak                 # minutes: 10

Starts the suite on free ports in its own folder. Several users concurrently log in and out, upload,
search, ask, stream an answer or disconnect, and list their sessions, as fast as they get responses.
Prints for each route the number of responses with the 50th and 99th percentile, all unexpected
responses, and the memory and open files of each program over time. Exits with 1 after an unexpected
response other than a rate limit, or if memory or open files were still growing.
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

from benchmarks.suite.holdings import ResourceUsage, draw_bars, measure_usage
from tests.suite.conftest import PASSWORD, Suite, UserClient, prepare_suite

USERS = 4
SAMPLES = 40
LIMITED = {429, 503}
WORDS = ("valve", "pump", "runway", "invoice", "turbine", "warranty", "harbour", "ledger")
UNLIMITED = "1000000/minute"
# Growth from the second quarter of the time to the last that counts as a leak.
GROWTH = 1.10
MIN_GROWTH_MEGABYTES, MIN_GROWTH_FILES = 10.0, 10

Series = dict[str, list[ResourceUsage]]


class Soak:
    """Requests and responses of all users so far."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.limited: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        self.lock = threading.Lock()

    def send(self, route: str, call: Callable[[], requests.Response], *expected: int) -> object:
        """Return the JSON of a response with an expected status, else None."""
        began = time.perf_counter()
        try:
            response = call()
            status = str(response.status_code)
        except requests.RequestException as failure:
            response, status = None, type(failure).__name__
        seconds = time.perf_counter() - began
        with self.lock:
            if response is None or response.status_code not in {*expected, *LIMITED}:
                self.unexpected[f"{route}: {status}"] += 1
                return None
            if response.status_code in LIMITED:
                self.limited[route] += 1
                return None
            self.seconds[route].append(seconds)
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return response.json() if is_json else response.text

    def run_user(self, user: UserClient, until: float, seed: int) -> None:
        """Run rounds of one user until the monotonic time *until*."""
        chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
        while time.monotonic() < until:
            self.run_round(user, chance)

    def run_round(self, user: UserClient, chance: random.Random) -> None:
        thing = f"{chance.choice(WORDS)} {chance.randrange(10**6)}"
        document = self.upload_note(user, thing, chance.randrange(90))
        self.search_and_ask(user, f"How long does the {thing} last?")
        self.log_in_and_out(user)
        if document is not None and chance.random() < 0.5:
            path = f"/rag/documents/{document}"
            self.send("DELETE /rag/documents", lambda: user("DELETE", path), 204)

    def upload_note(self, user: UserClient, thing: str, months: int) -> str | None:
        """Upload a note and return its id."""
        text = f"The {thing} lasts {months} months. " + "It is made of steel. " * 20
        uploaded = self.send(
            "POST /rag/documents?wait",
            lambda: user(
                "POST", "/rag/documents?wait=60", files={"file": ("note.txt", text.encode())}
            ),
            *(201, 202),
        )
        return str(uploaded["documents"][0]["id"]) if isinstance(uploaded, dict) else None

    def search_and_ask(self, user: UserClient, question: str) -> None:
        """Send *question* to every route that answers questions."""
        search = {"query": question}
        for _ in range(4):
            self.send("POST /rag/search", lambda: user("POST", "/rag/search", json=search), 200)
        self.send("POST /rag/query", lambda: user("POST", "/rag/query", json=search), 200)
        request = {"user_request": question}
        self.send("POST /agent/query", lambda: user("POST", "/agent/query", json=request), 200)
        stream = request | {"stream": True}
        self.send(
            "POST /agent/query, streamed", lambda: user("POST", "/agent/query", json=stream), 200
        )
        self.send("POST /agent/query, disconnected", lambda: disconnect_early(user, stream), 200)
        self.send("GET /agent/sessions", lambda: user("GET", "/agent/sessions"), 200)

    def log_in_and_out(self, user: UserClient) -> None:
        """Open, refresh and end a second session."""
        login = {"username": user.account["user"]["username"], "password": PASSWORD}
        tokens = self.send("POST /auth/login", lambda: user("POST", "/auth/login", json=login), 200)
        if not isinstance(tokens, dict):
            return
        refresh = {"refresh_token": tokens["refresh_token"]}
        tokens = self.send(
            "POST /auth/refresh", lambda: user("POST", "/auth/refresh", json=refresh), 200
        )
        if isinstance(tokens, dict):
            bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
            self.send(
                "POST /auth/logout", lambda: user("POST", "/auth/logout", headers=bearer), 204
            )


def disconnect_early(user: UserClient, request: dict[str, object]) -> requests.Response:
    response = user("POST", "/agent/query", json=request, stream=True)
    next(response.iter_lines(), None)
    response.close()
    # The rest of the body was not read, so `content` must not wait for it.
    response._content = b""
    return response


def measure(minutes: float) -> int:
    limits = dict.fromkeys(("RATE_LIMIT_AUTH", "RATE_LIMIT_API", "RATE_LIMIT_TENANT"), UNLIMITED)
    limits |= dict.fromkeys(("LLM_TOKENS_USER", "LLM_TOKENS_USER_DAY"), "100000000/minute")
    with tempfile.TemporaryDirectory() as folder:
        suite = prepare_suite(Path(folder), **limits)
        try:
            suite.start()
            soak = Soak(suite)
            soak.run_round(suite.register_user("first"), random.Random(0))  # noqa: S311
            soak.seconds.clear()
            series = run_load(soak, minutes * 60)
        finally:
            suite.stop()
    print(f"{USERS} users for {minutes:g} minutes, each without pauses between requests.\n")
    print_responses(soak)
    growing = print_usage(series)
    return 1 if soak.unexpected or growing else 0


def run_load(soak: Soak, seconds: float) -> Series:
    """Run all users for *seconds* and return evenly spaced samples of the programs' usage."""
    registered = [soak.suite.register_user("user") for _ in range(USERS)]
    began = time.monotonic()
    threads = [
        threading.Thread(target=soak.run_user, args=(user, began + seconds, seed))
        for seed, user in enumerate(registered)
    ]
    for thread in threads:
        thread.start()
    series: Series = defaultdict(list)
    for number in range(SAMPLES):
        time.sleep(max(0.0, began + seconds * number / SAMPLES - time.monotonic()))
        for name, usage in measure_usage(soak.suite).items():
            series[name].append(usage)
        if number % 4 == 0:
            count = sum(map(len, soak.seconds.values()))
            unexpected = soak.unexpected.total()
            progress = f"{number / SAMPLES:4.0%}  {count} responses, {unexpected} unexpected"
            print(progress, file=sys.stderr, flush=True)
    for thread in threads:
        thread.join()
    return series


def print_responses(soak: Soak) -> None:
    print("| route | responses | p50 ms | p99 ms | limited |\n|---|---|---|---|---|")
    for route, seconds in sorted(soak.seconds.items()):
        p99 = statistics.quantiles(seconds, n=100)[98] if len(seconds) > 1 else seconds[0]
        print(
            f"| {route} | {len(seconds)} | {statistics.median(seconds) * 1000:.1f} "
            f"| {p99 * 1000:.1f} | {soak.limited[route]} |"
        )
    print(f"\nUnexpected responses: {dict(soak.unexpected) or 'none'}.\n")


def print_usage(series: Series) -> list[str]:
    """Print the usage over time and return the programs that were still growing."""
    print(
        "| program | MB at first | second quarter | last quarter | open files | memory over time |"
    )
    print("|---|---|---|---|---|---|")
    growing = []
    for name, samples in series.items():
        memory = [sample.megabytes for sample in samples]
        files = [float(sample.files) for sample in samples]
        (before, after), (files_before, files_after) = quarters(memory), quarters(files)
        print(
            f"| {name} | {memory[0]:.0f} | {before:.0f} | {after:.0f} "
            f"| {files[0]:.0f} → {files_before:.0f} → {files_after:.0f} | {draw_bars(memory)} |"
        )
        if grows(before, after, MIN_GROWTH_MEGABYTES) or grows(
            files_before, files_after, MIN_GROWTH_FILES
        ):
            growing.append(name)
    print(f"\nStill growing in the second half: {', '.join(growing) or 'none'}.")
    return growing


def quarters(values: Sequence[float]) -> tuple[float, float]:
    """Return the medians of the second and of the last quarter."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])


def grows(before: float, after: float, min_growth: float) -> bool:
    return after > before * GROWTH and after - before > min_growth


if __name__ == "__main__":
    sys.exit(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
