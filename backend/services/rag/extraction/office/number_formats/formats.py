"""Format the values of cells as displayed, by the format codes of ECMA-376 18.8.30 and 18.8.31."""

import re
from decimal import Decimal
from functools import lru_cache

from backend.services.rag.extraction.office.number_formats.dates import DateRenderer, is_date
from backend.services.rag.extraction.office.number_formats.numbers import NumberRenderer
from backend.services.rag.extraction.office.number_formats.tokens import (
    Section,
    TokenKind,
    parse_sections,
)

# Built-in formats of applications in English. In other languages, applications use another order of
# day and month and other currencies, and store these formats as codes.
_BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 5: "$#,##0_);($#,##0)",
    6: "$#,##0_);[Red]($#,##0)", 7: "$#,##0.00_);($#,##0.00)", 8: "$#,##0.00_);[Red]($#,##0.00)",
    9: "0%", 10: "0.00%", 11: "0.00E+00", 12: "# ?/?", 13: "# ??/??",
    14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm",
    37: "#,##0_);(#,##0)", 38: "#,##0_);[Red](#,##0)", 39: "#,##0.00_);(#,##0.00)",
    40: "#,##0.00_);[Red](#,##0.00)", 41: '_(* #,##0_);_(* (#,##0);_(* "-"_);_(@_)',
    42: '_($* #,##0_);_($* (#,##0);_($* "-"_);_(@_)',
    43: '_(* #,##0.00_);_(* (#,##0.00);_(* "-"??_);_(@_)',
    44: '_($* #,##0.00_);_($* (#,##0.00);_($* "-"??_);_(@_)',
    45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0",
    **dict.fromkeys((*range(27, 32), 36, *range(50, 59)), "yyyy-mm-dd"),
}  # fmt: skip
# The longest format code that applications accept.
_MAX_CODE_CHARS = 255
# Signs by which a section itself marks a negative number.
_OWN_SIGN = re.compile(r"[-\u2212(]")


class NumberFormat:
    """Number format of a cell. Without a code, it is the General format."""

    def __init__(self, code: str = "") -> None:
        is_general = not code or code.lower() == "general" or len(code) > _MAX_CODE_CHARS
        self._sections = [] if is_general else parse_sections(code)
        self._text_section = _pop_text_section(self._sections)
        self._renderers = [
            DateRenderer(section) if is_date(section) else NumberRenderer(section)
            for section in self._sections
        ]
        self._has_conditions = any(section.condition for section in self._sections)
        self._has_general = any(section.has(TokenKind.GENERAL) for section in self._sections)
        self._adds_sign = [
            _adds_sign(self._sections, index) for index in range(len(self._sections))
        ]

    def format_value(self, value: str, from_1904: bool = False) -> str:
        """Return the displayed text of *value*, a number as stored in the file.

        Args:
            from_1904: dates count from 1904-01-01 (as on old Macs), not from 1900.
        """
        try:
            number = float(value)
        except ValueError:
            return value
        if number - number != 0:  # infinite or not a number
            return value
        if not self._sections:
            return _format_general(number)
        # Applications calculate with 15 significant digits.
        exact = Decimal(f"{number:.15g}")
        index = self._select_section(exact)
        if index is None:
            return _format_general(number)
        renderer = self._renderers[index]
        if isinstance(renderer, DateRenderer):
            text = renderer.render(exact, from_1904)
            return _format_general(number) if text is None else " ".join(text.split())
        general = _format_general(abs(number)) if self._has_general else ""
        text = " ".join(renderer.render(abs(exact), general).split())
        return f"-{text}" if number < 0 and self._adds_sign[index] else text

    def _select_section(self, number: Decimal) -> int | None:
        """Return the index of the section for *number*, or None if none applies.

        Without conditions, sections are for positive numbers, negative numbers and zero. A section
        without a condition after one with a condition is for all other numbers.
        """
        sections = self._sections
        if not self._has_conditions:
            if number < 0 and len(sections) > 1:
                return 1
            return 2 if not number and len(sections) > 2 else 0
        for index, section in enumerate(sections):
            if section.condition and section.condition.admits(number):
                return index
        others = [index for index, section in enumerate(sections) if not section.condition]
        if len(others) > 1 and others[0] == 0:
            # Only the second section has a condition: the first one is for positive numbers.
            return 0 if number > 0 else others[1]
        return others[0] if others else None

    def format_text(self, text: str) -> str:
        """Return the displayed text of a cell that contains *text*."""
        section = self._text_section
        if section is None:
            return text
        return "".join(
            text if token.kind is TokenKind.TEXT else token.text for token in section.tokens
        ).strip()


def get_number_format(format_id: str, code: str | None) -> NumberFormat:
    """Return the format with *code*, or the built-in format *format_id* if *code* is None."""
    if code is None:
        code = _BUILT_IN.get(int(format_id), "") if format_id.isdecimal() else ""
    return get_format(code)


@lru_cache(maxsize=1000)
def get_format(code: str) -> NumberFormat:
    """Return the format with *code*. An empty code is the General format."""
    return NumberFormat(code)


def _format_general(number: float) -> str:
    """Return up to 15 significant digits, as in the formula bar, for any column width."""
    text = f"{number:.15g}" if abs(number) < 1e15 else f"{number:.0f}"
    if "e" in text:
        text = f"{number:.20f}".rstrip("0") if 1e-12 < abs(number) < 1 else text
    return text


def _pop_text_section(sections: list[Section]) -> Section | None:
    """Remove and return the section for text: the fourth, or a last one with `@`."""
    if len(sections) > 3:
        text = sections[3]
        del sections[3:]
        return text
    return sections.pop() if sections and sections[-1].has(TokenKind.TEXT) else None


def _adds_sign(sections: list[Section], index: int) -> bool:
    """Return True if a negative number needs a minus sign before the text of its section.

    A section that is only for negative numbers shows the sign itself, or omits it on purpose.
    """
    condition = sections[index].condition
    if not any(section.condition for section in sections):
        return index != 1
    if condition is None:
        return not any(
            other.condition and other.condition.splits_at_zero() for other in sections[:index]
        )
    literals = "".join(token.text for token in sections[index].tokens)
    return not condition.splits_at_zero() and not _OWN_SIGN.search(literals)
