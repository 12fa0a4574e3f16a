"""Counts by UTC day for the `GET /stats` routes of the services."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field

from backend.security import Input, JsonInteger

T = TypeVar("T")
MAX_DAYS = 90
_RFC3339_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _require_rfc3339_date(value: object) -> object:
    # pydantic would accept a bare number as seconds since 1970.
    if isinstance(value, str) and not _RFC3339_DATE.fullmatch(value):
        raise ValueError("Write a day as in RFC 3339, such as 2030-01-31.")
    return value


@dataclass(frozen=True, slots=True)
class Period:
    """Consecutive UTC days from *first* to *last*, both included. Iterating yields each day."""

    first: date
    last: date

    def __iter__(self) -> Iterator[date]:
        return (
            date.fromordinal(ordinal)
            for ordinal in range(self.first.toordinal(), self.last.toordinal() + 1)
        )

    @property
    def start(self) -> datetime:
        """Midnight at the start of the first day."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """Midnight after the last day. Not part of the period."""
        return datetime.combine(self.last, time(), UTC) + timedelta(days=1)

    def fill_gaps(self, counts: Mapping[date, T], default: T) -> Iterator[tuple[date, T]]:
        """Yield every day with its value in *counts*, or with *default*."""
        return ((day, counts.get(day, default)) for day in self)


class StatsQuery(Input):
    """Query string of `GET /stats`: the number of days, and the last one (today by default)."""

    days: Annotated[int, Field(ge=1, le=MAX_DAYS), JsonInteger] = 30
    until: Annotated[date, BeforeValidator(_require_rfc3339_date)] | None = None

    def get_period(self, now: datetime) -> Period:
        """Return the requested period. It ends today at the latest."""
        today = now.astimezone(UTC).date()
        last = min(self.until or today, today)
        return Period(date.fromordinal(max(1, last.toordinal() - self.days + 1)), last)
