"""Cells of CSV files that spreadsheets open."""

from typing import Any, Final

FORMULA_STARTS: Final = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)


def make_formula_safe(value: Any) -> Any:
    """Return *value* for a CSV cell. Text that a spreadsheet would calculate gets an apostrophe.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def remove_formula_guard(text: str) -> str:
    """Return the text of a CSV cell without the apostrophe of `make_formula_safe`."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(FORMULA_STARTS) else text
