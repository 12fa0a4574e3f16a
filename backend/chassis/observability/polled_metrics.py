"""Metrics read from a database, server or disk.

They are refreshed in background threads, at most one for each source, so that neither a scrape
nor a request blocks. A scrape reports the last value.
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
# Longer than the timeout of a Redis that does not respond.
_WAIT_SECONDS = 0.4
# A younger value is not read again, so that concurrent scrapes report the same value.
_FRESH_SECONDS = 1.0
# How long the last value is reported while refreshes fail.
_MAX_VALUE_AGE_SECONDS = 60.0
_MAX_HEALTH_AGE_SECONDS = 20.0

T = TypeVar("T")


class PolledValue(Generic[T]):
    """The last result of *read*, which may be slow or raise.

    Args:
        name: the source, for log messages.
        read: reads the value. Called in a background thread.
        fresh_seconds: a younger value is not read again. At most half of the time for which a
            value is reported, 60 s, so that one is always available.
    """

    def __init__(
        self, name: str, read: Callable[[], T], fresh_seconds: float = _FRESH_SECONDS
    ) -> None:
        self._name = name
        self._read = read
        self._fresh_seconds = fresh_seconds
        self._result: tuple[float, T] | None = None
        self._thread: threading.Thread | None = None
        self._started_at = 0.0
        self._lock = threading.Lock()
        self._is_failing = False

    def start_refresh(self) -> None:
        """Read the value in the background, unless it is being read or is fresh."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return
            if self._result is not None and monotonic() - self._result[0] < self._fresh_seconds:
                return
            self._started_at = monotonic()
            self._thread = threading.Thread(
                target=self._refresh, name=f"poll {self._name}", daemon=True
            )
            self._thread.start()

    def get_value(self, *, max_age_seconds: float = _MAX_VALUE_AGE_SECONDS) -> T | None:
        """Return the last value, or None if it is older than *max_age_seconds*.

        Waits up to 0.4 s for a refresh.
        """
        self.start_refresh()
        if self._thread is not None:
            self._thread.join(max(0.0, self._started_at + _WAIT_SECONDS - monotonic()))
        result = self._result
        if result is None or monotonic() - result[0] > max_age_seconds:
            return None
        return result[1]

    def _refresh(self) -> None:
        try:
            value = self._read()
        except Exception as error:  # noqa: BLE001 - any client's error; the scrape omits the metrics
            if not self._is_failing:
                _log.warning("cannot read metrics of %s: %s", self._name, type(error).__name__)
            self._is_failing = True
        else:
            self._is_failing = False
            self._result = monotonic(), value


class PolledCollector:
    """Prometheus collector of the metrics that *read* returns.

    With *fresh_seconds*, they are read at most that often: for counts over many rows.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], Iterable[Metric]],
        fresh_seconds: float = _FRESH_SECONDS,
    ) -> None:
        self._value = PolledValue(name, lambda: list(read()), fresh_seconds)

    def start_refresh(self) -> None:
        self._value.start_refresh()

    def collect(self) -> Iterator[Metric]:
        yield from self._value.get_value() or ()


class DependencyCollector:
    """Prometheus collector of the health and latency of a service's dependencies.

    Args:
        checks: maps the name of a dependency to a function that raises if it does not work.
    """

    def __init__(self, checks: Mapping[str, Callable[[], object]]) -> None:
        self._values = {
            name: PolledValue(name, _time_check(check)) for name, check in checks.items()
        }

    def start_refresh(self) -> None:
        for value in self._values.values():
            value.start_refresh()

    def collect(self) -> Iterator[Metric]:
        self.start_refresh()
        up = GaugeMetricFamily(
            "dependency_up", "1 if the health check of the dependency succeeds.", labels=["name"]
        )
        latency = GaugeMetricFamily(
            "dependency_latency_seconds",
            "Duration of the last health check, successful or not.",
            labels=["name"],
        )
        for name, value in self._values.items():
            is_up, duration_seconds = value.get_value(max_age_seconds=_MAX_HEALTH_AGE_SECONDS) or (
                False,
                None,
            )
            up.add_metric([name], float(is_up))
            if duration_seconds is not None:
                latency.add_metric([name], duration_seconds)
        yield up
        yield latency


def _time_check(check: Callable[[], object]) -> Callable[[], tuple[bool, float]]:
    def run_check() -> tuple[bool, float]:
        started = perf_counter()
        try:
            check()
        except Exception:  # noqa: BLE001 - any error means that the dependency is down
            return False, perf_counter() - started
        return True, perf_counter() - started

    return run_check


def create_disk_space_collector(folder: Path) -> PolledCollector:
    """Return a collector of the free and total bytes of the file system of *folder*."""

    def read_disk_space() -> Iterator[Metric]:
        usage = shutil.disk_usage(folder)
        yield GaugeMetricFamily(
            "data_folder_free_bytes", "Free space of the file system of DATA_DIR.", usage.free
        )
        yield GaugeMetricFamily(
            "data_folder_size_bytes", "Size of the file system of DATA_DIR.", usage.total
        )

    return PolledCollector("the data folder", read_disk_space)


def collect_redis_metrics(redis: Redis) -> Iterator[Metric]:
    """Yield metrics from Redis' INFO, under the names of Prometheus' Redis exporter."""
    info = redis.info()
    for name, field, description in (
        ("redis_memory_used_bytes", "used_memory", "Memory that Redis uses."),
        ("redis_memory_max_bytes", "maxmemory", "Memory limit of Redis, 0 for none."),
        ("redis_connected_clients", "connected_clients", "Open client connections."),
        ("redis_uptime_in_seconds", "uptime_in_seconds", "Time since the start of Redis."),
    ):
        yield GaugeMetricFamily(name, description, float(info.get(field, 0)))
    for name, field, description in (
        ("redis_commands_processed", "total_commands_processed", "Commands processed."),
        ("redis_evicted_keys", "evicted_keys", "Keys evicted because memory was full."),
    ):
        yield CounterMetricFamily(name, description, float(info.get(field, 0)))
