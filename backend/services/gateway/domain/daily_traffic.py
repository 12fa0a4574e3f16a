"""Count the requests of each service by day and outcome.

Requests are counted in memory and written to a store by a background thread every two seconds. A
process that is killed with SIGKILL loses the counts since the last write.
"""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Protocol

from backend.chassis.background import PeriodicTask
from backend.chassis.daily_counts import Period

FLUSH_INTERVAL_SECONDS = 2.0

CountsByOutcome = Mapping[tuple[str, str], int]
"""Number of requests by (service, outcome)."""


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """Requests by outcome: `limited` is status 429, `client_errors` any other 4xx, `errors` 5xx."""

    requests: int = 0
    client_errors: int = 0
    limited: int = 0
    errors: int = 0

    def __add__(self, other: "OutcomeCounts") -> "OutcomeCounts":
        return OutcomeCounts(
            *(getattr(self, item.name) + getattr(other, item.name) for item in fields(self))
        )


class DailyCountStore(Protocol):
    """Stores the counts of all processes."""

    def add_counts(
        self, day: date, counts: CountsByOutcome, source: str, sequence_number: int
    ) -> None:
        """Add *counts* to *day*. Idempotent for the same *source* and *sequence_number*.

        Raises:
            ConnectionError: the counts may not have been added.
        """

    def get_counts(self, period: Period) -> Mapping[date, CountsByOutcome]:
        """Return the counts of each day.

        Raises:
            ConnectionError: the store does not respond or has no complete counts.
        """


class DailyTraffic:
    """Counts requests and flushes the counts to *store*. Thread-safe."""

    def __init__(
        self, store: DailyCountStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._now = now
        self._counts: dict[tuple[date, str, str], int] = {}
        self._counts_lock = threading.Lock()
        # Batches with their sequence numbers that the store has not confirmed yet.
        self._unconfirmed: list[tuple[int, date, CountsByOutcome]] = []
        self._sequence_number = 0
        self._flush_lock = threading.Lock()
        self._source = ""
        self._flush_task = PeriodicTask(
            "traffic", FLUSH_INTERVAL_SECONDS, self.flush_counts, runs_at_start=False
        )

    def count_requests(self, service: str, status: int, requests: int = 1) -> None:
        """Count *requests* to *service* that were answered with *status*."""
        today = self._now().date()
        with self._counts_lock:
            for outcome in _get_outcomes(status):
                key = (today, service, outcome)
                self._counts[key] = self._counts.get(key, 0) + requests
        if not self._source:
            self._start_flush_task()

    def flush_counts(self) -> None:
        """Write the counts to the store. Batches that fail are kept for the next flush."""
        with self._flush_lock:
            with self._counts_lock:
                counts, self._counts = self._counts, {}
            self._unconfirmed += self._create_batches(counts)
            while self._unconfirmed:
                number, day, batch = self._unconfirmed[0]
                try:
                    self._store.add_counts(day, batch, self._source, number)
                except ConnectionError:
                    return
                del self._unconfirmed[0]

    def get_outcomes(self, period: Period) -> Mapping[date, Mapping[str, OutcomeCounts]]:
        """Return the outcomes by day and service.

        Raises:
            ConnectionError: the store does not respond or has no complete counts.
        """
        self.flush_counts()
        days = self._store.get_counts(period)
        return {day: _group_by_service(counts) for day, counts in days.items()}

    def _create_batches(
        self, counts: Mapping[tuple[date, str, str], int]
    ) -> list[tuple[int, date, CountsByOutcome]]:
        by_day: dict[date, dict[tuple[str, str], int]] = {}
        for (day, service, outcome), requests in counts.items():
            by_day.setdefault(day, {})[service, outcome] = requests
        batches: list[tuple[int, date, CountsByOutcome]] = []
        for day in sorted(by_day):
            self._sequence_number += 1
            batches.append((self._sequence_number, day, by_day[day]))
        return batches

    def _start_flush_task(self) -> None:
        """Start flushing at the first request, so that the thread is created after a fork."""
        with self._counts_lock:
            if not self._source:
                self._source = os.urandom(8).hex()
        self._flush_task.start()


def _get_outcomes(status: int) -> tuple[str, ...]:
    if status >= 500:
        return ("requests", "errors")
    if status == 429:
        return ("requests", "limited")
    return ("requests", "client_errors") if status >= 400 else ("requests",)


def _group_by_service(counts: CountsByOutcome) -> Mapping[str, OutcomeCounts]:
    by_service: dict[str, dict[str, int]] = {}
    for (service, outcome), requests in counts.items():
        by_service.setdefault(service, {})[outcome] = requests
    return {service: OutcomeCounts(**by_service[service]) for service in sorted(by_service)}
