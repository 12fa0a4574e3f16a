"""Codes of countries of ISO 3166-1, with two and with three letters.

data/country_codes.txt has a line for each country: the code of three letters, a space, that of two.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).parents[1] / "data" / "country_codes.txt"


def find_country_code(text: str | None) -> str | None:
    """Return the code of two letters for one of two or three letters, or None for another text."""
    code = (text or "").strip().upper()
    if len(code) == 3:
        return _load_codes().get(code)
    return code if len(code) == 2 and code.isascii() and code.isalpha() else None


@cache
def _load_codes() -> Mapping[str, str]:
    lines = _FILE.read_text("ascii").splitlines()
    return dict(line.split() for line in lines)
