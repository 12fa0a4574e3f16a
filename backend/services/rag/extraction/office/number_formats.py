"""Format the numbers of a sheet as displayed, by the format codes of ECMA-376 18.8.30 and 18.8.31.

Dates are formatted as ISO 8601, whatever the order in the sheet is: 03/04/2025 is ambiguous.
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
# Literal text, currency, color, condition, padding or fill character in a format code.
_LITERAL = re.compile(r'"([^"]*)"|\\(.)|\[\$([^\]-]*)[^\]]*\]|\[[^\]]*\]|_.|\*.')
_ELAPSED = re.compile(r"\[(h+|m+|s+)\]", re.I)
_DIGITS = re.compile(r"[#0?][#0?,]*(?:\.[#0?]+,*)?(?:E[+-]?[#0?]+)?", re.I)
_EPOCH_1900 = datetime(1899, 12, 30)  # noqa: DTZ001 - sheets have no time zone
_EPOCH_1904 = datetime(1904, 1, 1)  # noqa: DTZ001
# The longest format code that Excel accepts. Splitting it takes quadratic time.
_MAX_CODE_CHARS = 255
_MAX_DAYS = 2_958_466  # the first day of the year 10000


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """Number format of a cell. Without a code, it is the General format."""

    code: str = ""

    def format_value(self, value: str, from_1904: bool = False) -> str:
        """Return the displayed text of *value*, a number as stored in the file.

        Args:
            from_1904: dates count from 1904-01-01 (as on old Macs), not from 1900.
        """
        try:
            number = float(value)
        except ValueError:
            return value
        if not self.code or number != number:
            return _format_general(number)
        section = _select_section(self.code, number)
        if _ELAPSED.search(section):
            return _format_elapsed(number)
        tokens = _LITERAL.sub("", section).lower()
        if re.search(r"[ymdhs]", tokens) and "general" not in tokens:
            return _format_date(number, tokens, from_1904)
        return _format_number(number, section)


def get_number_format(format_id: str, code: str | None) -> NumberFormat:
    """Return the format with *code*, or the built-in format *format_id* if *code* is None."""
    if code is not None and len(code) > _MAX_CODE_CHARS:
        code = ""
    if code is None:
        code = _BUILT_IN.get(int(format_id), "") if format_id.isdecimal() else ""
    return NumberFormat("" if code.lower() in ("general", "@") else code)


def _format_general(number: float) -> str:
    text = f"{number:.15g}" if abs(number) < 1e15 else f"{number:.0f}"
    if "e" in text:
        text = f"{number:.20f}".rstrip("0") if 1e-12 < abs(number) < 1 else text
    return text


def _select_section(code: str, number: float) -> str:
    """Return the section of *code* for the sign of *number*."""
    sections = re.split(r""";(?=(?:[^"]*"[^"]*")*[^"]*$)""", code)
    if number < 0 and len(sections) > 1:
        return sections[1]
    if number == 0 and len(sections) > 2:
        return sections[2]
    return sections[0] if number >= 0 or len(sections) > 1 else "-" + sections[0]


def _format_number(number: float, section: str) -> str:
    literals: list[str] = []

    def extract_literal(match: re.Match[str]) -> str:
        literals.append(match[1] or match[2] or match[3] or "")
        return "\x00"

    template = _LITERAL.sub(extract_literal, section)
    digits = _DIGITS.search(template)
    if digits is None:
        text = template if "general" not in template.lower() else _format_general(abs(number))
    else:
        formatted = _format_digits(abs(number), digits.group(), template.count("%"))
        rest = _DIGITS.sub("", template[digits.end() :])
        text = template[: digits.start()] + formatted + rest
    for literal in literals:
        text = text.replace("\x00", literal, 1)
    return " ".join(text.split())


def _format_digits(number: float, pattern: str, percent_signs: int) -> str:
    """Format a non-negative number by a digit pattern such as `#,##0.00`."""
    if "E" in pattern.upper():
        decimals = len(pattern.upper().partition("E")[0].partition(".")[2])
        return f"{number:.{decimals}E}"
    thousands = len(pattern) - len(pattern.rstrip(","))
    integer, _, fraction = pattern.rstrip(",").partition(".")
    number = number * 100**percent_signs / 1000**thousands
    separator = "," if "," in integer else ""
    text = f"{number:{separator}.{len(fraction)}f}"
    required_decimals = len(fraction.rstrip("#?"))
    if len(fraction) > required_decimals:
        integer_text, _, digits = text.partition(".")
        digits = digits[:required_decimals] + digits[required_decimals:].rstrip("0")
        text = f"{integer_text}.{digits}" if digits else integer_text
    zeros = integer.count("0")
    return (
        text if separator or zeros < 2 else text.zfill(zeros + len(text) - len(text.split(".")[0]))
    )


def _format_date(number: float, tokens: str, from_1904: bool) -> str:
    if not 0 <= number < _MAX_DAYS:
        return _format_general(number)
    epoch = _EPOCH_1904 if from_1904 else _EPOCH_1900
    if number < 60 and not from_1904:
        number += 1  # spreadsheets count a 29 February 1900, which did not exist
    moment = epoch + timedelta(seconds=round(number * 86400))
    if not re.search(r"[yd]", tokens) and re.search(r"[hs]", tokens):
        return _format_time(moment)
    if not re.search(r"[hs]", tokens):
        return moment.date().isoformat()
    return f"{moment.date().isoformat()} {_format_time(moment)}"


def _format_time(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S" if moment.second else "%H:%M")


def _format_elapsed(number: float) -> str:
    seconds = round(abs(number) * 86400)
    sign = "-" if number < 0 else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
