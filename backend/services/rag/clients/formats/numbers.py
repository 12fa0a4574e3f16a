"""Numbers of a sheet as a person sees them, by the format codes of ECMA-376 18.8.30/31.

Dates are written as ISO 8601 does, in whatever order the sheet shows them: 03/04/2025 would
mean one day to one reader and another to the next.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00",
    14: "yyyy-mm-dd", 15: "yyyy-mm-dd", 16: "yyyy-mm-dd", 17: "yyyy-mm-dd", 18: "hh:mm",
    19: "hh:mm:ss", 20: "hh:mm", 21: "hh:mm:ss", 22: "yyyy-mm-dd hh:mm", 37: "#,##0", 38: "#,##0",
    39: "#,##0.00", 40: "#,##0.00", 45: "[mm]:ss", 46: "[h]:mm:ss", 47: "[mm]:ss", 48: "0.0E+0",
    **dict.fromkeys((*range(27, 32), 36, *range(50, 59)), "yyyy-mm-dd"),
}  # fmt: skip
# What stands in a code for itself, for a colour, a condition, room, or a repeated filling.
_LITERAL = re.compile(r'"([^"]*)"|\\(.)|\[\$([^\]-]*)[^\]]*\]|\[[^\]]*\]|_.|\*.')
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.I)
_DIGITS = re.compile(r"[#0?][#0?,]*(?:\.[#0?]+,*)?(?:E[+-]?[#0?]+)?", re.I)
_DAYS_FROM_1900 = datetime(1899, 12, 30)  # noqa: DTZ001 - a sheet's clock stands nowhere
_DAYS_FROM_1904 = datetime(1904, 1, 1)  # noqa: DTZ001
_MOST_DAYS = 2_958_466  # the first day of the year 10000


@dataclass(frozen=True, slots=True)
class Format:
    """How a cell shows its number; without a code, as it is typed."""

    code: str = ""

    def show(self, value: str, from_1904: bool = False) -> str:
        try:
            number = float(value)
        except ValueError:
            return value
        if not self.code or number != number:
            return _general(number)
        section = _section(self.code, number)
        if _ELAPSED.search(section):
            return _elapsed(number)
        tokens = _LITERAL.sub("", section).lower()
        if re.search(r"[ymdhs]", tokens) and "general" not in tokens:
            return _moment(number, tokens, from_1904)
        return _in_digits(number, section)


def format_of(number: str, code: str | None) -> Format:
    """The format with this id; *code* is what the file says of it, if it is no built-in one."""
    if code is None:
        code = _BUILT_IN.get(int(number), "") if number.isdecimal() else ""
    return Format("" if code.lower() in ("general", "@") else code)


def _general(number: float) -> str:
    text = f"{number:.15g}" if abs(number) < 1e15 else f"{number:.0f}"
    if "e" in text:
        text = f"{number:.20f}".rstrip("0") if 1e-12 < abs(number) < 1 else text
    return text


def _section(code: str, number: float) -> str:
    """The part of the code for numbers of this sign."""
    sections = re.split(r""";(?=(?:[^"]*"[^"]*")*[^"]*$)""", code)
    if number < 0 and len(sections) > 1:
        return sections[1]
    if number == 0 and len(sections) > 2:
        return sections[2]
    return sections[0] if number >= 0 or len(sections) > 1 else "-" + sections[0]


def _in_digits(number: float, section: str) -> str:
    literals: list[str] = []

    def aside(found: re.Match[str]) -> str:
        literals.append(found[1] or found[2] or found[3] or "")
        return "\x00"

    bare = _LITERAL.sub(aside, section)
    place = _DIGITS.search(bare)
    if place is None:
        shown = bare if "general" not in bare.lower() else _general(abs(number))
    else:
        digits = _digits(abs(number), place.group(), bare.count("%"))
        shown = bare[: place.start()] + digits + _DIGITS.sub("", bare[place.end() :])
    for literal in literals:
        shown = shown.replace("\x00", literal, 1)
    return " ".join(shown.split())


def _digits(number: float, pattern: str, percents: int) -> str:
    if "E" in pattern.upper():
        decimals = len(pattern.upper().partition("E")[0].partition(".")[2])
        return f"{number:.{decimals}E}"
    thousands = len(pattern) - len(pattern.rstrip(","))
    whole, _, fraction = pattern.rstrip(",").partition(".")
    number = number * 100**percents / 1000**thousands
    grouped = "," if "," in whole else ""
    text = f"{number:{grouped}.{len(fraction)}f}"
    needed = len(fraction.rstrip("#?"))
    if len(fraction) > needed:
        whole_text, _, digits = text.partition(".")
        kept = digits[:needed] + digits[needed:].rstrip("0")
        text = f"{whole_text}.{kept}" if kept else whole_text
    zeros = whole.count("0")
    return text if grouped or zeros < 2 else text.zfill(zeros + len(text) - len(text.split(".")[0]))


def _moment(number: float, tokens: str, from_1904: bool) -> str:
    if not 0 <= number < _MOST_DAYS:
        return _general(number)
    start = _DAYS_FROM_1904 if from_1904 else _DAYS_FROM_1900
    if number < 60 and not from_1904:
        number += 1  # the calendar of sheets has a 29 February 1900
    moment = start + timedelta(seconds=round(number * 86400))
    if not re.search(r"[yd]", tokens) and re.search(r"[hs]", tokens):
        return _clock(moment)
    if not re.search(r"[hs]", tokens):
        return moment.date().isoformat()
    return f"{moment.date().isoformat()} {_clock(moment)}"


def _clock(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S" if moment.second else "%H:%M")


def _elapsed(number: float) -> str:
    seconds = round(abs(number) * 86400)
    sign = "-" if number < 0 else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
