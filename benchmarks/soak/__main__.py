"""The whole suite under mixed load: responses, latency, memory and open files.

    python -m benchmarks.soak [--minutes 10] [--users 4]
    python -m benchmarks.soak --idle

Starts the suite with all services on free ports in a temporary folder. Several users concurrently
sign in and out, upload, search, ask, stream an answer or disconnect, write messages in chat, record
package events, open pages of the console and read their figures, as fast as they get responses;
each also has a WebSocket that receives package events. Prints every minute the requests, the errors
by status, the 50th and 95th percentile, and the memory (PSS) of each program with its growth since
the first minute; at the end the figures of each route and program. Exits with 1 after an unexpected
response other than those of limits, or if memory or open files were still growing.

--idle measures the memory of a suite without requests instead: with the first five services, then
with all.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.soak.traffic import LIMITED, SOCKET, Recorder, User
from benchmarks.suite.holdings import (
    ResourceUsage,
    draw_bars,
    measure_usage,
    print_idle_usage,
    read_state,
)
from tests.suite.conftest import Suite, prepare_suite

SAMPLE_SECONDS = 15.0
# The worker of chat ends its process after 30 seconds without work.
IDLE_SECONDS = 60.0
FIRST_SERVICES = ("gateway", "auth", "agent", "rag", "admin")
# Limits of the memory when idle, in MB.
FIRST_SERVICES_LIMIT, ALL_SERVICES_LIMIT = 350, 450
RATE = "1000000/minute"
UNLIMITED = {
    **dict.fromkeys(("RATE_LIMIT_AUTH", "RATE_LIMIT_API", "RATE_LIMIT_TENANT"), RATE),
    **dict.fromkeys(("RATE_LIMIT_CONNECT", "RATE_LIMIT_CONSOLE"), RATE),
    **dict.fromkeys(("LLM_TOKENS_USER", "LLM_TOKENS_USER_DAY"), "100000000/minute"),
}
# Growth from the second quarter of the time to the last that counts as a leak.
GROWTH = 1.10
MIN_GROWTH_MEGABYTES, MIN_GROWTH_FILES = 10.0, 10

Series = dict[str, list[ResourceUsage]]


class PartialSuite(Suite):
    """A suite of which only some services run: the gateway's health is never `healthy`."""

    def _ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError((self.folder / "screen.txt").read_text())
        with suppress(OSError, json.JSONDecodeError):
            return bool(read_state(self)["ready"])
        return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="MINUTES")
    parser.add_argument("--users", type=int, default=4, metavar="USERS")
    parser.add_argument("--idle", action="store_true", help="measure the memory without requests")
    options = parser.parse_args()
    if options.minutes <= 0 or options.users < 1:
        parser.error("--minutes and --users must be positive.")
    with tempfile.TemporaryDirectory() as folder:
        if options.idle:
            return measure_idle(Path(folder))
        return measure_load(Path(folder), options.minutes * 60, options.users)


def measure_idle(folder: Path) -> int:
    """Print the memory of two idle suites; return 1 if one exceeds its limit."""
    exceeded = False
    for name, services, limit in (
        ("first five services", FIRST_SERVICES, FIRST_SERVICES_LIMIT),
        ("all services", (), ALL_SERVICES_LIMIT),
    ):
        part = folder / name.replace(" ", "-")
        part.mkdir()
        prepared = prepare_suite(part)
        suite = PartialSuite(prepared.environment, part, prepared.ports)
        suite.arguments = ("--only", ",".join(services)) if services else ()
        try:
            suite.start()
            time.sleep(IDLE_SECONDS)
            print(f"\n## {name}\n")
            total = print_idle_usage(suite, IDLE_SECONDS)
        finally:
            suite.stop()
        print(f"\nLimit: {limit} MB.")
        exceeded |= total > limit
    return 1 if exceeded else 0


def measure_load(folder: Path, seconds: float, users: int) -> int:
    """Run the load and print the figures; return the exit code."""
    suite = prepare_suite(folder, **UNLIMITED)
    recorder = Recorder()
    try:
        suite.start()
        # The first requests load models and compile statements.
        User(suite, Recorder(), 0).run_round()
        series = run_load(suite, recorder, seconds, users)
    finally:
        suite.stop()
    print(f"\n{users} users for {seconds / 60:g} minutes, without pauses between requests.\n")
    print_responses(recorder)
    growing = print_usage(series)
    unexpected = [status for _, status in recorder.errors if status not in LIMITED]
    return 1 if unexpected or growing else 0


def run_load(suite: Suite, recorder: Recorder, seconds: float, users: int) -> Series:
    """Run all users for *seconds* and return evenly spaced samples of the programs' usage."""
    registered = [User(suite, recorder, seed) for seed in range(1, users + 1)]
    began = time.monotonic()
    end = began + seconds
    threads = [
        *(threading.Thread(target=user.run, args=(end,), daemon=True) for user in registered),
        *(
            threading.Thread(target=user.run_socket, args=(end,), daemon=True)
            for user in registered
        ),
    ]
    for thread in threads:
        thread.start()
    series: Series = defaultdict(list)
    reporter = MinuteReporter(recorder, series)
    interval = min(SAMPLE_SECONDS, seconds / 4)
    number = 0
    while (due := began + (number + 1) * interval) <= end + 0.001:
        time.sleep(max(0.0, due - time.monotonic()))
        for name, usage in measure_usage(suite).items():
            series[name].append(usage)
        number += 1
        elapsed = number * interval
        if elapsed // 60 > (elapsed - interval) // 60 or due >= end:
            reporter.print_interval(elapsed / 60)
    for thread in threads:
        thread.join()
    return series


class MinuteReporter:
    """Prints what happened since it printed last."""

    def __init__(self, recorder: Recorder, series: Series) -> None:
        self._recorder = recorder
        self._series = series
        self._counts: dict[str, int] = {}
        self._errors: Counter[tuple[str, str]] = Counter()
        self._deliveries = 0
        self._first: dict[str, float] = {}

    def print_interval(self, minutes: float) -> None:
        counts, errors, deliveries = self._recorder.copy_counts()
        durations = [
            seconds
            for route, number in counts.items()
            if route != SOCKET
            for seconds in self._recorder.seconds[route][self._counts.get(route, 0) : number]
        ]
        new_errors: Counter[str] = Counter()
        for (_, status), number in (errors - self._errors).items():
            new_errors[status] += number
        p50, p95 = percentile(durations, 50), percentile(durations, 95)
        failed = ", ".join(f"{status}: {n}" for status, n in sorted(new_errors.items()))
        print(
            f"minute {minutes:4.1f}: {len(durations)} responses, errors {failed or 'none'}, "
            f"p50 {p50:.0f} ms, p95 {p95:.0f} ms, "
            f"{deliveries - self._deliveries} events on sockets"
        )
        print(f"             {self._describe_memory()}", flush=True)
        self._counts, self._errors, self._deliveries = counts, errors, deliveries

    def _describe_memory(self) -> str:
        last = {name: samples[-1].megabytes for name, samples in self._series.items()}
        first = self._first = self._first or last
        parts = [f"{name} {mb:.0f} ({mb - first.get(name, mb):+.0f})" for name, mb in last.items()]
        total, growth = sum(last.values()), sum(last.values()) - sum(first.values())
        return f"{total:.0f} MB ({growth:+.0f}): {', '.join(parts)}"


def print_responses(recorder: Recorder) -> None:
    limited: Counter[str] = Counter()
    for (route, status), number in recorder.errors.items():
        limited[route] += number if status in LIMITED else 0
    print("| route | responses | p50 ms | p95 ms | p99 ms | limited |\n|---|---|---|---|---|---|")
    for route, seconds in sorted(recorder.seconds.items()):
        figures = " | ".join(f"{percentile(seconds, rank):.1f}" for rank in (50, 95, 99))
        print(f"| {route} | {len(seconds)} | {figures} | {limited[route]} |")
    unexpected = [
        f"{route}: {n} of {status}"
        for (route, status), n in sorted(recorder.errors.items())
        if status not in LIMITED
    ]
    print(f"\nEvents delivered on sockets: {recorder.deliveries}.")
    print(f"Unexpected responses: {'; '.join(unexpected) or 'none'}.\n")


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


def percentile(seconds: Sequence[float], rank: int) -> float:
    """Return a percentile in milliseconds, 0 without values."""
    if len(seconds) < 2:
        return sum(seconds) * 1000
    return statistics.quantiles(seconds, n=100, method="inclusive")[rank - 1] * 1000


def quarters(values: Sequence[float]) -> tuple[float, float]:
    """Return the medians of the second and of the last quarter."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])


def grows(before: float, after: float, min_growth: float) -> bool:
    return after > before * GROWTH and after - before > min_growth


if __name__ == "__main__":
    sys.exit(main())
