"""Render serial numbers as dates, times of day and elapsed time (ECMA-376 Part 1, 18.17.4).

A date with day and month is shown as ISO 8601, whatever its order in the sheet is: 03/04/2025 is
ambiguous. Other parts of dates, times and elapsed time are shown as in the sheet, in English.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from backend.services.rag.extraction.office.number_formats.tokens import Section, Token, TokenKind

# Serial number 1 is 1900-01-01, or 1904-01-02 with the other epoch.
_EPOCH_1900 = date(1899, 12, 30).toordinal()
_EPOCH_1904 = date(1904, 1, 1).toordinal()
# Serial number 60 is 29 February 1900, which did not exist. Smaller serial numbers are therefore
# dates one day later than counted from the epoch.
_LEAP_DAY_1900 = 60
_MAX_DAYS = 2_958_466  # the first day of the year 10000
_SECONDS_PER_DAY = 86400
_BUDDHIST_ERA_YEARS = 543
_MAX_DECIMALS = 3
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
           "October", "November", "December")  # fmt: skip
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class _Moment:
    year: int
    month: int
    day: int
    weekday: int
    # Seconds since midnight, rounded to the decimals that are shown.
    seconds: Decimal
    elapsed_seconds: Decimal


class DateRenderer:
    """Renders serial numbers by one section with tokens of dates or times."""

    def __init__(self, section: Section) -> None:
        self._tokens = _mark_minutes(_split_decimals(section.tokens))
        parts = {token.text[0] for token in self._tokens if token.kind is TokenKind.DATE}
        self._has_time = bool(parts & set("hns"))
        self._has_elapsed = section.has(TokenKind.ELAPSED)
        days = any(token.kind is TokenKind.DATE and token.text in ("d", "dd")
                   for token in self._tokens)  # fmt: skip
        month_names = any(token.text in ("mmm", "mmmm", "mmmmm") for token in self._tokens)
        self._is_iso = "m" in parts and (days or (month_names and section.is_foreign))
        self._iso_precision = 10 if days else 7
        self._shows_seconds = "s" in parts
        decimals = [len(token.text) - 1 for token in self._tokens if token.text.startswith(".0")]
        self._decimals = min(max(decimals, default=0), _MAX_DECIMALS)
        self._is_half_day = section.has(TokenKind.DAY_HALF)

    def render(self, number: Decimal, from_1904: bool) -> str | None:
        """Return the text of *number*, in days since the epoch, or None if it is not a date."""
        if (number < 0 and not self._has_elapsed) or abs(number) >= _MAX_DAYS:
            return None
        moment = self._to_moment(abs(number), from_1904)
        if self._is_iso:
            text = f"{moment.year:04}-{moment.month:02}-{moment.day:02}"[: self._iso_precision]
            return f"{text} {self._iso_time(moment)}" if self._has_time else text
        text = "".join(self._render_token(token, moment) for token in self._tokens)
        return f"-{text}" if number < 0 else text

    def _to_moment(self, number: Decimal, from_1904: bool) -> _Moment:
        unit = Decimal(1).scaleb(-self._decimals)
        seconds = (number * _SECONDS_PER_DAY).quantize(unit, ROUND_HALF_UP)
        days = int(seconds // _SECONDS_PER_DAY)
        year, month, day, weekday = _to_calendar(days, from_1904)
        return _Moment(year, month, day, weekday, seconds % _SECONDS_PER_DAY, seconds)

    def _iso_time(self, moment: _Moment) -> str:
        whole = int(moment.seconds)
        text = f"{whole // 3600:02}:{whole // 60 % 60:02}"
        return f"{text}:{whole % 60:02}" if self._shows_seconds else text

    def _render_token(self, token: Token, moment: _Moment) -> str:
        if token.kind is TokenKind.DATE:
            return self._render_part(token.text, moment)
        if token.kind is TokenKind.ELAPSED:
            divisor = {"h": 3600, "m": 60, "s": 1}[token.text[0]]
            return f"{int(moment.elapsed_seconds // divisor):0{len(token.text)}}"
        if token.kind is TokenKind.DAY_HALF:
            before, after = token.text.split("/")
            return after if moment.seconds >= _SECONDS_PER_DAY // 2 else before
        return token.text

    def _render_part(self, code: str, moment: _Moment) -> str:
        """Render a run of one letter; `n` are minutes."""
        if code[0] == ".":
            fraction = moment.seconds % 1
            return f"{fraction:.{len(code) - 1}f}"[1:]
        whole = int(moment.seconds)
        hour = whole // 3600
        if self._is_half_day:
            hour = hour % 12 or 12
        width = min(len(code), 2)
        numbers: dict[str, Callable[[], str]] = {
            "y": lambda: f"{moment.year:04}" if len(code) > 2 else f"{moment.year % 100:02}",
            "e": lambda: str(moment.year),
            "b": lambda: str(moment.year + _BUDDHIST_ERA_YEARS),
            "g": lambda: "",
            "m": lambda: _render_month(moment.month, len(code)),
            "d": lambda: _render_day(moment, len(code)),
            "h": lambda: f"{hour:0{width}}",
            "n": lambda: f"{whole // 60 % 60:0{width}}",
            "s": lambda: f"{whole % 60:0{width}}",
        }
        return numbers[code[0]]()


def is_date(section: Section) -> bool:
    """Return True if *section* has tokens of dates, times or elapsed time."""
    return section.has(TokenKind.DATE, TokenKind.ELAPSED) and not section.has(TokenKind.GENERAL)


def _to_calendar(days: int, from_1904: bool) -> tuple[int, int, int, int]:
    """Return year, month, day and weekday (0 is Monday) of a number of days since the epoch."""
    # Before the leap day these are the weekdays that spreadsheets show, not the real ones.
    weekday = (days + (4 if from_1904 else 5)) % 7
    if not from_1904 and days in (0, _LEAP_DAY_1900):
        # Spreadsheets show these days, which do not exist: 0 January and 29 February 1900.
        return (1900, 1, 0, weekday) if days == 0 else (1900, 2, 29, weekday)
    is_before_leap_day = not from_1904 and days < _LEAP_DAY_1900
    ordinal = days + (_EPOCH_1904 if from_1904 else _EPOCH_1900) + is_before_leap_day
    moment = date.fromordinal(min(ordinal, date.max.toordinal()))
    return moment.year, moment.month, moment.day, weekday


def _render_month(month: int, length: int) -> str:
    name = _MONTHS[month - 1]
    return {1: str(month), 2: f"{month:02}", 3: name[:3], 5: name[0]}.get(length, name)


def _render_day(moment: _Moment, length: int) -> str:
    name = _WEEKDAYS[moment.weekday]
    return {1: str(moment.day), 2: f"{moment.day:02}", 3: name[:3]}.get(length, name)


def _mark_minutes(tokens: list[Token]) -> list[Token]:
    """Return *tokens* with the letter `n` for minutes: `m` after hours or before seconds."""
    marked = list(tokens)
    times = [
        index
        for index, token in enumerate(tokens)
        if token.kind in (TokenKind.DATE, TokenKind.ELAPSED) and token.text[0] != "."
    ]
    for position, index in enumerate(times):
        before = tokens[times[position - 1]].text[0] if position else ""
        after = tokens[times[position + 1]].text[0] if position + 1 < len(times) else ""
        token = tokens[index]
        is_month = token.kind is TokenKind.DATE and token.text in ("m", "mm")
        if is_month and (before == "h" or after == "s"):
            marked[index] = Token(TokenKind.DATE, token.text.replace("m", "n"))
    return marked


def _split_decimals(tokens: list[Token]) -> list[Token]:
    """Join the decimals of seconds, `.000`, to one token; other digits are literals."""
    joined: list[Token] = []
    for token in tokens:
        if token.kind is TokenKind.POINT or (
            token.kind is TokenKind.DIGIT and joined and re.fullmatch(r"\.0*", joined[-1].text)
        ):
            start = joined.pop().text if token.kind is TokenKind.DIGIT else ""
            joined.append(Token(TokenKind.DATE, start + token.text[0]))
        else:
            joined.append(token)
    return [Token(TokenKind.LITERAL, ".") if token.text == "." else token for token in joined]
