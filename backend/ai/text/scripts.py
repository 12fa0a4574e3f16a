"""Write superscripts and subscripts in plain text, distinct from the digits next to them.

A raised digit that is joined to the number before it makes another number: 10⁶ is not 106. Raised
and lowered digits use Unicode's superscript and subscript characters (UAX #44, <super> and <sub>
decompositions), which searches treat like plain digits.
"""

# ruff: noqa: RUF001
import re
from typing import Final

_SUPERSCRIPTS: Final = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")
_SUBSCRIPTS: Final = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_SUPERSCRIPT_LETTERS: Final = str.maketrans(
    "abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"
)
# Characters between several note marks, as in `1,2` or a range.
_SEPARATORS: Final = frozenset(",.;:–* \u2020\u2021\u2009\xa0")
# Letters that occur as exponents. Other letters after a digit form ordinals, as in `2e`.
_EXPONENT_LETTERS: Final = frozenset("ijkmnpqxyzαβγδθλμπφω")
# A word next to a space, as in `see note 2`.
_WORDS: Final = re.compile(r"[^\W\d_]{2}\s|\s[^\W\d_]{2}")
# Longer texts are not exponents: some documents raise or lower whole sentences.
_MAX_CHARACTERS: Final = 20


def format_superscript(text: str, before: str) -> str:
    """Return the superscript *text*, which follows the character *before*.

    Numbers and single letters use superscript characters: 10⁶, m², word¹, wordᵃ. Other exponents
    follow a circumflex: 2^(3x).
    Words, ordinals and marks in brackets stay as they are: 4th, [1].
    """
    if _is_prose(text):
        return text
    if not any(char.isdigit() for char in text):
        if before.isalpha() and len(text) == 1 and ord(text) in _SUPERSCRIPT_LETTERS:
            return text.translate(_SUPERSCRIPT_LETTERS)
        if text in _EXPONENT_LETTERS and before.isalnum():
            raised = text.translate(_SUPERSCRIPT_LETTERS)
            return raised if raised != text else f"^{text}"
        if not any(map(str.isalpha, text)) and all(ord(char) in _SUPERSCRIPTS for char in text):
            return text.translate(_SUPERSCRIPTS)
        return f"^({text})" if _is_expression(text) and before.isalnum() else text
    if all(ord(char) in _SUPERSCRIPTS or char in _SEPARATORS for char in text):
        return text.translate(_SUPERSCRIPTS)
    if before.isalnum() and "[" not in text and not text.startswith("("):
        return f"^({text})"
    return text


def format_subscript(text: str) -> str:
    """Return the subscript *text*: numbers in subscript characters (H₂O, log₂8), others as is."""
    is_number = any(char.isdigit() for char in text) and not _is_prose(text)
    if is_number and all(ord(char) in _SUBSCRIPTS or char in _SEPARATORS for char in text):
        return text.translate(_SUBSCRIPTS)
    return text


def _is_prose(text: str) -> bool:
    return len(text) > _MAX_CHARACTERS or _WORDS.search(text) is not None


def _is_expression(text: str) -> bool:
    return any(char in "+-−=/*^·×" for char in text) and any(map(str.isalpha, text))
