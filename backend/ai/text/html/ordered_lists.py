"""Number the items of ordered lists (HTML standard, 4.4.5 and 4.4.8; CSS Counter Styles 3)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BULLET: Final = "•"
# Attribute values of `type` are case-sensitive.
_TYPES: Final = {
    "1": "decimal",
    "a": "lower-alpha",
    "A": "upper-alpha",
    "i": "lower-roman",
    "I": "upper-roman",
}
_STYLE = re.compile(
    r"(?<![\w-])list-style(?:-type)?\s*:\s*(?:inside\s+|outside\s+)?([a-z-]+)", re.IGNORECASE
)
_STYLES: Final = {
    "decimal": "decimal",
    "decimal-leading-zero": "decimal-leading-zero",
    "lower-alpha": "lower-alpha",
    "lower-latin": "lower-alpha",
    "upper-alpha": "upper-alpha",
    "upper-latin": "upper-alpha",
    "lower-roman": "lower-roman",
    "upper-roman": "upper-roman",
    "lower-greek": "lower-greek",
    "disc": "bullet",
    "circle": "bullet",
    "square": "bullet",
    "none": "none",
}
_INTEGER = re.compile(r"[ \t\n\f\r]*([+-]?[0-9]{1,9})")
_ALPHABETS: Final = {
    "lower-alpha": "abcdefghijklmnopqrstuvwxyz",
    "upper-alpha": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "lower-greek": "αβγδεζηθικλμνξοπρστυφχψω",
}
_ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"),
    (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip
_MAX_ROMAN: Final = 3999


@dataclass(slots=True)
class ListNumbering:
    """The marker style of a list and the number of its next item."""

    style: str
    next_number: int = 1
    step: int = 1

    def format_marker(self, attributes: Mapping[str, str | None]) -> str:
        """Return the marker of the next item, which has these *attributes*, and count the item."""
        number = _parse_integer(attributes.get("value"))
        number = self.next_number if number is None else number
        self.next_number = number + self.step
        style = _get_style(attributes, self.style)
        if style in ("bullet", "none"):
            return BULLET if style == "bullet" else ""
        return f"{_format_number(number, style)}."


def start_ordered_list(
    attributes: Mapping[str, str | None], reversed_item_count: int
) -> ListNumbering:
    """Return the numbering of an `ol` element.

    *reversed_item_count* is the number of items in the list. It is used only for a reversed list.
    """
    is_reversed = "reversed" in attributes
    start = _parse_integer(attributes.get("start"))
    if start is None:
        start = reversed_item_count if is_reversed else 1
    return ListNumbering(_get_style(attributes, "decimal"), start, -1 if is_reversed else 1)


def start_unordered_list(attributes: Mapping[str, str | None]) -> ListNumbering:
    """Return the numbering of a `ul` or `menu` element."""
    return ListNumbering(_get_style({"style": attributes.get("style")}, "bullet"))


def _get_style(attributes: Mapping[str, str | None], default: str) -> str:
    if css := _STYLE.search(attributes.get("style") or ""):
        return _STYLES.get(css[1].lower(), default)
    return _TYPES.get(attributes.get("type") or "", default)


def _parse_integer(text: str | None) -> int | None:
    """Parse *text* by the standard's rules for integers (2.3.4.1): trailing text is ignored."""
    integer = _INTEGER.match(text or "")
    return int(integer[1]) if integer else None


def _format_number(number: int, style: str) -> str:
    """Return *number* in a counter style; decimal if the style cannot represent it."""
    if style == "decimal-leading-zero":
        return f"{number:03d}" if number < 0 else f"{number:02d}"
    if style in _ALPHABETS and number > 0:
        return _format_alphabetic(number, _ALPHABETS[style])
    if style.endswith("roman") and 0 < number <= _MAX_ROMAN:
        roman = _format_roman(number)
        return roman.upper() if style == "upper-roman" else roman
    return str(number)


def _format_alphabetic(number: int, alphabet: str) -> str:
    letters = ""
    while number:
        number, index = divmod(number - 1, len(alphabet))
        letters = alphabet[index] + letters
    return letters


def _format_roman(number: int) -> str:
    numeral = ""
    for value, letters in _ROMAN:
        count, number = divmod(number, value)
        numeral += letters * count
    return numeral
