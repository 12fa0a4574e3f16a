"""Times of tracking events in UTC. Without an offset, the time zone of the place is used.

data/time_zones.txt has a line for each IATA code of an airport, and for each ISO 3166-1 code of a
country with one time zone, sorted: the code, a space, the name of the zone. Zones whose clocks have
agreed since 2000, such as Europe/Berlin and Europe/Busingen, are one.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backend.services.packages.model import Location, TimeBasis

MAX_FUTURE: Final = timedelta(hours=24)
"""Events further ahead of the clock are rejected. Local times may be ahead by 14 hours."""
MIN_YEAR: Final = 2000
_MAX_YEAR: Final = 9998
_FILE: Final = Path(__file__).parents[1] / "data" / "time_zones.txt"
_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]\d{2}:?\d{2})?", re.ASCII
)
_UN_LOCODE_LENGTH: Final = 5


class InvalidTime(ValueError):
    """The text is not a time. The message has the reason."""


class EventTime(NamedTuple):
    """A time in UTC, as it was written, and how it was converted."""

    utc: datetime
    local_time: str
    basis: TimeBasis


def parse_event_time(text: str, location: Location | None) -> EventTime:
    """Return the time *text*, which is as in RFC 3339; the offset may be missing.

    Raises:
        InvalidTime: *text* is not a time, or is before the year 2000 or after 9998.
    """
    text = text.strip()
    if not _TIME.fullmatch(text):
        raise InvalidTime("Write a time as in RFC 3339, such as 2030-01-31T12:00:00Z.")
    try:
        time = datetime.fromisoformat(text.upper().replace(",", "."))
        if time.tzinfo is not None:
            return EventTime(_check(time.astimezone(UTC)), text, "offset")
        zone = find_zone(location)
        basis: TimeBasis = "assumed" if zone is None else "place"
        return EventTime(_check(time.replace(tzinfo=zone or UTC).astimezone(UTC)), text, basis)
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidTime):
            raise
        raise InvalidTime("The time does not exist, such as the 31st of June.") from error


def find_zone(location: Location | None) -> ZoneInfo | None:
    """Return the time zone of an airport's IATA code, or of a country with one zone, or None."""
    if location is None:
        return None
    code, country = (location.code or "").upper(), (location.country or "").upper()
    if len(code) == _UN_LOCODE_LENGTH:
        country = country or code[:2]
        code = ""
    name = _find_name(code) or _find_name(country)
    try:
        return ZoneInfo(name) if name else None
    except ZoneInfoNotFoundError:
        return None


def _check(time: datetime) -> datetime:
    if not MIN_YEAR <= time.year <= _MAX_YEAR:
        raise InvalidTime(f"The time is not between the years {MIN_YEAR} and 9998.")
    return time


def _find_name(code: str) -> str | None:
    if not code:
        return None
    lines = _load_lines()
    index = bisect_left(lines, f"{code} ")
    if index < len(lines) and lines[index].startswith(f"{code} "):
        return lines[index].partition(" ")[2]
    return None


@cache
def _load_lines() -> Sequence[str]:
    return _FILE.read_text("ascii").splitlines()
