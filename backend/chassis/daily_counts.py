"""Counts by day, for every service's `GET /stats`: days are UTC, and none is left out."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field

from backend.security import Input, WholeNumber

T = TypeVar("T")
MOST_DAYS = 90
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _written_out(given: object) -> object:
    # A bare number would pass for seconds since 1970.
    if isinstance(given, str) and not _DAY.fullmatch(given):
        raise ValueError("Write a day as RFC 3339 does, such as 2030-01-31.")
    return given


@dataclass(frozen=True, slots=True)
class Period:
    """Some days in a row, *first* and *last* included."""

    first: date
    last: date

    def __iter__(self) -> Iterator[date]:
        return (
            date.fromordinal(each)
            for each in range(self.first.toordinal(), self.last.toordinal() + 1)
        )

    @property
    def begin(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment that is over it."""
        return datetime.combine(self.last, time(), UTC) + timedelta(days=1)

    def without_holes(self, counted: Mapping[date, T], nothing: T) -> Iterator[tuple[date, T]]:
        """Every day with what was *counted*, and *nothing* for the others."""
        return ((day, counted.get(day, nothing)) for day in self)


class StatsQuery(Input):
    """How many days, and the last of them: today, unless one before is named."""

    days: Annotated[int, Field(ge=1, le=MOST_DAYS), WholeNumber] = 30
    until: Annotated[date, BeforeValidator(_written_out)] | None = None

    def period(self, now: datetime) -> Period:
        """What is asked for, as far as it has begun by *now*."""
        today = now.astimezone(UTC).date()
        last = min(self.until or today, today)
        return Period(date.fromordinal(max(1, last.toordinal() - self.days + 1)), last)
