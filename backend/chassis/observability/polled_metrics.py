"""Numbers that have to be asked for elsewhere: of a database, a server, a disk.

Whoever scrapes never waits long for them, and nobody who answers requests does: each question
is put by a thread of its own, one at a time, and what came back last is told.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from time import monotonic, perf_counter
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis import Redis

_log = logging.getLogger(__name__)
# Longer than a Redis that does not answer takes to be given up.
_PATIENCE_SECONDS = 0.4
# Two who scrape at once hear the same.
_FRESH_SECONDS = 1.0
# What nobody could say anew is told for so long: a number, and that something is well.
_STALE_SECONDS = 60.0
_WELL_SECONDS = 20.0

T = TypeVar("T")


class Asked(Generic[T]):
    """What *question* brings back; it may take its time, and may fail."""

    def __init__(self, name: str, question: Callable[[], T]) -> None:
        self._name = name
        self._question = question
        self._answer: tuple[float, T] | None = None
        self._asking: threading.Thread | None = None
        self._begun_at = 0.0
        self._lock = threading.Lock()
        self._is_silent = False

    def begin(self) -> None:
        """Put the question, unless it is being asked or has been answered just now."""
        with self._lock:
            if self._asking is not None and self._asking.is_alive():
                return
            if self._answer is not None and monotonic() - self._answer[0] < _FRESH_SECONDS:
                return
            self._begun_at = monotonic()
            self._asking = threading.Thread(
                target=self._put, name=f"asks {self._name}", daemon=True
            )
            self._asking.start()

    def answer(self, *, within: float = _STALE_SECONDS) -> T | None:
        """The latest answer; None where there has been none for so many seconds."""
        self.begin()
        if self._asking is not None:
            self._asking.join(max(0.0, self._begun_at + _PATIENCE_SECONDS - monotonic()))
        answer = self._answer
        if answer is None or monotonic() - answer[0] > within:
            return None
        return answer[1]

    def _put(self) -> None:
        try:
            answer = self._question()
        except Exception as fault:  # noqa: BLE001 - of any server's client; the page does without
            if not self._is_silent:
                _log.warning("no numbers of %s: %s", self._name, type(fault).__name__)
            self._is_silent = True
        else:
            self._is_silent = False
            self._answer = monotonic(), answer


class AskedNumbers:
    """A collector of the numbers that *question* brings back."""

    def __init__(self, name: str, question: Callable[[], Iterable[Metric]]) -> None:
        self._asked = Asked(name, lambda: list(question()))

    def begin(self) -> None:
        self._asked.begin()

    def collect(self) -> Iterator[Metric]:
        yield from self._asked.answer() or ()


class Dependencies:
    """Whether what a service needs answers, and how quickly. The *checks* raise if not."""

    def __init__(self, checks: Mapping[str, Callable[[], object]]) -> None:
        self._asked = {name: Asked(name, _timed(check)) for name, check in checks.items()}

    def begin(self) -> None:
        for asked in self._asked.values():
            asked.begin()

    def collect(self) -> Iterator[Metric]:
        self.begin()
        up = GaugeMetricFamily(
            "dependency_up", "1 while it answers what the service needs it for.", labels=["name"]
        )
        latency = GaugeMetricFamily(
            "dependency_latency_seconds", "How long it took to answer, or to fail.", labels=["name"]
        )
        for name, asked in self._asked.items():
            answers, took = asked.answer(within=_WELL_SECONDS) or (False, None)
            up.add_metric([name], float(answers))
            if took is not None:
                latency.add_metric([name], took)
        yield up
        yield latency


def _timed(check: Callable[[], object]) -> Callable[[], tuple[bool, float]]:
    def question() -> tuple[bool, float]:
        began = perf_counter()
        try:
            check()
        except Exception:  # noqa: BLE001 - whatever it is, it is not well
            return False, perf_counter() - began
        return True, perf_counter() - began

    return question


def space_in(folder: Path) -> AskedNumbers:
    """How much room there is where *folder* lies."""

    def question() -> Iterator[Metric]:
        space = shutil.disk_usage(folder)
        yield GaugeMetricFamily("data_folder_free_bytes", "Room left in DATA_DIR.", space.free)
        yield GaugeMetricFamily("data_folder_size_bytes", "All room in DATA_DIR.", space.total)

    return AskedNumbers("the data folder", question)


def redis_numbers(redis: Redis) -> Iterator[Metric]:
    """What the server says of itself, under the names of Prometheus' exporter for it."""
    said = redis.info()
    for name, field, told in (
        ("redis_memory_used_bytes", "used_memory", "Memory that it holds."),
        ("redis_memory_max_bytes", "maxmemory", "Memory that it may hold; 0: all there is."),
        ("redis_connected_clients", "connected_clients", "Connections."),
        ("redis_uptime_in_seconds", "uptime_in_seconds", "Since its start."),
    ):
        yield GaugeMetricFamily(name, told, float(said.get(field, 0)))
    for name, field, told in (
        ("redis_commands_processed", "total_commands_processed", "Commands."),
        ("redis_evicted_keys", "evicted_keys", "Keys that it dropped for want of memory."),
    ):
        yield CounterMetricFamily(name, told, float(said.get(field, 0)))
