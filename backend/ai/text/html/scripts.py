"""Write superscripts and subscripts in plain text, apart from the digits before them."""

from typing import Final

_SUPERSCRIPTS: Final = str.maketrans("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ")  # noqa: RUF001
_SUBSCRIPTS: Final = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")  # noqa: RUF001
# Separate several note marks: 1,2 and a range.
_SEPARATORS: Final = frozenset(",;–* \u2020\u2021\u2009\xa0")  # noqa: RUF001 - as in the text
# Letters of exponents. Others are ordinals and abbreviations: 4th, 1er, nº.
_EXPONENT_LETTERS: Final = frozenset("ijkmnpqxyz")


def format_superscript(text: str, before: str) -> str:
    """Return the superscript *text*, which follows the character *before*.

    Numbers use superscript characters: 10⁶, m², word¹. Other exponents follow a circumflex: 2^(3x).
    Ordinals and marks in brackets stay as they are: 4th, [1].
    """
    if not any(char.isdigit() for char in text):
        if text in _EXPONENT_LETTERS and before.isalnum():
            raised = text.translate(_SUPERSCRIPTS)
            return raised if raised != text else f"^{text}"
        if not any(map(str.isalpha, text)) and all(ord(char) in _SUPERSCRIPTS for char in text):
            return text.translate(_SUPERSCRIPTS)
        return f"^({text})" if _is_expression(text) and before.isalnum() else text
    if all(ord(char) in _SUPERSCRIPTS or char in _SEPARATORS for char in text):
        return text.translate(_SUPERSCRIPTS)
    if before.isalnum() and "[" not in text and not text.startswith("("):
        return f"^({text})"
    return text


def format_subscript(text: str, before: str) -> str:
    """Return the subscript *text*, which follows the character *before*.

    Numbers use subscript characters if they follow a digit or a slash, where they would be read as
    part of another number (1011₂, ³/₄). After a letter they stay searchable: H2O.
    """
    if (before.isdigit() or before in ("/", "⁄")) and all(  # noqa: RUF001 - fraction slash
        ord(char) in _SUBSCRIPTS for char in text
    ):
        return text.translate(_SUBSCRIPTS)
    return text


def _is_expression(text: str) -> bool:
    return any(char in "+-−=/*^·×" for char in text) and any(  # noqa: RUF001 - minus sign
        char.isalpha() for char in text
    )
