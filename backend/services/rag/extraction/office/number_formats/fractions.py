"""Render a number as a fraction such as `2 3/8` (ECMA-376 Part 1, 18.8.31)."""

from decimal import Decimal
from fractions import Fraction

from backend.services.rag.extraction.office.number_formats.tokens import (
    Token,
    TokenKind,
    join_tokens,
)

_MAX_DENOMINATOR_DIGITS = 7
# Smaller remainders are rounding errors: 0.333333333333333 is 1/3.
_MIN_REMAINDER = Fraction(5, 10**8)


def find_fraction(tokens: list[Token]) -> int:
    """Return the position of the slash between two digit tokens, or 0 if there is none."""
    for index, token in enumerate(tokens[1:-1], start=1):
        if token.kind is TokenKind.SLASH:
            after = tokens[index + 1]
            is_denominator = after.kind is TokenKind.DIGIT or _is_literal_digit(after)
            return index if tokens[index - 1].kind is TokenKind.DIGIT and is_denominator else 0
    return 0


def _is_literal_digit(token: Token) -> bool:
    return token.kind is TokenKind.LITERAL and token.text in "123456789" and bool(token.text)


def render_fraction(number: Decimal, tokens: list[Token], slash: int) -> str:
    """Return *number* as a fraction such as `2 3/8`. Without an integer digit: `19/8`."""
    end = slash + 1
    while end < len(tokens) and (
        tokens[end].kind is TokenKind.DIGIT or _is_literal_digit(tokens[end])
    ):
        end += 1
    start = slash
    while start and tokens[start - 1].kind is TokenKind.DIGIT:
        start -= 1
    integer = [i for i, token in enumerate(tokens[:start]) if token.kind is TokenKind.DIGIT]
    exact = Fraction(number)
    whole = int(exact) if integer else 0
    numerator, denominator = _approximate(exact - whole, tokens[slash + 1 : end])
    if integer and numerator == denominator:
        whole, numerator = whole + 1, 0
    before = tokens[: integer[0]] if integer else tokens[:start]
    between = tokens[integer[-1] + 1 : start] if integer else []
    text = join_tokens(before)
    if integer:
        digits = str(whole) if whole or not numerator else ""
        text += digits.rjust(sum(tokens[i].text == "0" for i in integer), "0")
    if numerator or not integer:
        text += f"{join_tokens(between)}{numerator}/{denominator}"
    return text + join_tokens(tokens[end:])


def _approximate(rest: Fraction, denominator: list[Token]) -> tuple[int, int]:
    """Return numerator and denominator of *rest*, as the section's *denominator* allows."""
    digits = join_tokens(denominator)
    if any(map(_is_literal_digit, denominator)):
        fixed = int(digits.replace("#", "0").replace("?", "0")[:_MAX_DENOMINATOR_DIGITS])
        # Round half away from zero.
        return int(rest * fixed + Fraction(1, 2)), fixed
    return _find_convergent(rest, 10 ** min(len(digits), _MAX_DENOMINATOR_DIGITS) - 1)


def _find_convergent(number: Fraction, max_denominator: int) -> tuple[int, int]:
    """Return the last convergent of the continued fraction with a denominator in the limit.

    Spreadsheets use it, although other fractions may be closer: 123.456 is 123 1/2 with one digit.
    """
    before, current = (0, 1), (1, 0)
    while True:
        whole = int(number)
        following = whole * current[0] + before[0], whole * current[1] + before[1]
        if following[1] > max_denominator:
            return current
        before, current = current, following
        if number - whole < _MIN_REMAINDER:
            return current
        number = 1 / (number - whole)
