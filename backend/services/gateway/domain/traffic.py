"""How many requests each service got on each day, and how they ended.

Counted in memory and put by every few seconds, beside the requests: killed by -9, a
process loses what it has counted since it last did.
"""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Protocol

from backend.chassis.daily_counts import Period

KEPT_EVERY_SECONDS = 2.0

# Numbers by service and outcome.
Tally = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Requests by how they ended: `limited` with 429, `client_errors` with any other 4xx."""

    requests: int = 0
    client_errors: int = 0
    limited: int = 0
    errors: int = 0

    def __add__(self, other: "Outcomes") -> "Outcomes":
        return Outcomes(
            *(getattr(self, each.name) + getattr(other, each.name) for each in fields(self))
        )


class Days(Protocol):
    """Where the numbers of all processes meet."""

    def add(self, day: date, tally: Tally, source: str, number: int) -> None:
        """Add *tally*; a second time with the same *number* of the same *source* nothing happens.

        ConnectionError where it may not have happened.
        """

    def of(self, period: Period) -> Mapping[date, Tally]:
        """What was added on each day; ConnectionError where nobody can tell."""


class Traffic:
    def __init__(self, days: Days, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._days = days
        self._now = now
        self._counted: dict[tuple[date, str, str], int] = {}
        self._counting = threading.Lock()
        # What is being put by, under a number, until it is known to have arrived.
        self._leaving: list[tuple[int, date, Tally]] = []
        self._number = 0
        self._keeping = threading.Lock()
        self._source = ""
        self._keeper: threading.Thread | None = None

    def count(self, service: str, status: int, requests: int = 1) -> None:
        """Count so many *requests* to *service* that ended with *status*."""
        today = self._now().date()
        with self._counting:
            for outcome in _outcomes(status):
                key = (today, service, outcome)
                self._counted[key] = self._counted.get(key, 0) + requests
        if self._keeper is None:
            self._start()

    def keep(self) -> None:
        """Put by what was counted; what can't be now waits for the next time."""
        with self._keeping:
            with self._counting:
                counted, self._counted = self._counted, {}
            self._leaving += self._numbered(counted)
            while self._leaving:
                number, day, tally = self._leaving[0]
                try:
                    self._days.add(day, tally, self._source, number)
                except ConnectionError:
                    return
                del self._leaving[0]

    def of(self, period: Period) -> Mapping[date, Mapping[str, Outcomes]]:
        """Outcomes by day and service; ConnectionError where nobody can tell."""
        self.keep()
        return {day: _by_service(tally) for day, tally in self._days.of(period).items()}

    def _numbered(
        self, counted: Mapping[tuple[date, str, str], int]
    ) -> list[tuple[int, date, Tally]]:
        tallies: dict[date, dict[tuple[str, str], int]] = {}
        for (day, service, outcome), requests in counted.items():
            tallies.setdefault(day, {})[service, outcome] = requests
        numbered: list[tuple[int, date, Tally]] = []
        for day in sorted(tallies):
            self._number += 1
            numbered.append((self._number, day, tallies[day]))
        return numbered

    def _start(self) -> None:
        """Begin to put by: at the first request, so that it is after a fork."""
        with self._counting:
            if self._keeper is None:
                self._source = os.urandom(8).hex()
                self._keeper = threading.Thread(target=self._go_on, name="traffic", daemon=True)
                self._keeper.start()

    def _go_on(self) -> None:
        pause = threading.Event()
        while not pause.wait(KEPT_EVERY_SECONDS):
            self.keep()


def _outcomes(status: int) -> tuple[str, ...]:
    if status >= 500:
        return ("requests", "errors")
    if status == 429:
        return ("requests", "limited")
    return ("requests", "client_errors") if status >= 400 else ("requests",)


def _by_service(tally: Tally) -> Mapping[str, Outcomes]:
    found: dict[str, dict[str, int]] = {}
    for (service, outcome), requests in tally.items():
        found.setdefault(service, {})[outcome] = requests
    return {service: Outcomes(**found[service]) for service in sorted(found)}
