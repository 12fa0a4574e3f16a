"""Unicode normalization in linear time."""

import re
import unicodedata
from functools import cache
from typing import Final, Literal

NormalForm = Literal["NFC", "NFKC", "NFKD"]

# Shorter runs are left to `unicodedata`: ordering them takes few steps.
_MIN_RUN_CHARS: Final = 32
# All combining characters are between these two code points (Unicode 15).
_FIRST_COMBINING: Final = 0x300
_LAST_COMBINING: Final = 0x1E94A


def normalize(form: NormalForm, text: str) -> str:
    """Return `unicodedata.normalize(form, text)`, in linear time for every text.

    `unicodedata` orders the combining characters that follow a letter by insertion sort, which
    takes quadratic time for a text of combining characters. Long runs of them are therefore put
    into canonical order (The Unicode Standard, section 3.11) beforehand; the result is the same.
    """
    if text.isascii():
        return text
    return unicodedata.normalize(form, _combining_run_pattern().sub(_order_run, text))


def _order_run(run: re.Match[str]) -> str:
    marks = (mark for char in run.group() for mark in unicodedata.normalize("NFD", char))
    return "".join(sorted(marks, key=unicodedata.combining))


@cache
def _combining_run_pattern() -> re.Pattern[str]:
    marks = (
        char
        for char in map(chr, range(_FIRST_COMBINING, _LAST_COMBINING + 1))
        # Some characters of class 0 decompose into combining ones only.
        if all(map(unicodedata.combining, unicodedata.normalize("NFD", char)))
    )
    return re.compile(f"[{''.join(marks)}]{{{_MIN_RUN_CHARS},}}")
