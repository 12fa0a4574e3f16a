"""Render a number by the digit placeholders of a section: decimal or scientific."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

from backend.services.rag.extraction.office.number_formats.fractions import (
    find_fraction,
    render_fraction,
)
from backend.services.rag.extraction.office.number_formats.tokens import (
    Section,
    Token,
    TokenKind,
    join_tokens,
)

# Enough for the digits of 1e308 and those of the longest format code: rounding never fails.
_CONTEXT = Context(prec=1200, rounding=ROUND_HALF_UP)
_ONE = Decimal(1)
_OTHER = (TokenKind.GENERAL, TokenKind.DIGIT)


@dataclass(slots=True)
class _Pattern:
    """The tokens of a section before its decimal point, from the point on, and after `E`."""

    integer: list[Token]
    # Starts with the decimal point, if there is one.
    fraction: list[Token]
    exponent: list[Token]
    integer_digits: int
    fraction_digits: int
    groups_thousands: bool
    # The number is multiplied by 10**scale, for percent signs and for commas after the last digit.
    scale: int


@dataclass(frozen=True, slots=True)
class _PlainPattern:
    """A pattern without other tokens between its digits, such as `"$"#,##0.00`. Most are plain."""

    prefix: str
    suffix: str
    # Format specification for Python's `format`.
    specification: str
    required_integer_digits: int
    optional_decimals: int


class NumberRenderer:
    """Renders non-negative numbers by one section."""

    def __init__(self, section: Section) -> None:
        self._tokens = section.tokens
        self._slash = find_fraction(section.tokens)
        self._pattern = _parse_pattern(section.tokens)
        self._unit = _ONE.scaleb(-self._pattern.fraction_digits)
        self._plain = None if self._slash else _parse_plain_pattern(self._pattern)

    def render(self, number: Decimal, general: str) -> str:
        """Return the text of *number*.

        Args:
            number: at least 0, with at most 15 significant digits.
            general: the text of the number in the General format.
        """
        if self._slash:
            return render_fraction(number, self._tokens, self._slash)
        pattern = self._pattern
        if pattern.scale:
            number = number.scaleb(pattern.scale, _CONTEXT)
        if self._plain is not None:
            return _render_plain(number.quantize(self._unit, context=_CONTEXT), self._plain)
        exponent = 0
        if pattern.exponent:
            number, exponent = _split_exponent(number, pattern)
        digits = _round(number, pattern.fraction_digits)
        integer, _, fraction = f"{digits:f}".partition(".")
        text = _place_integer(integer, pattern, general)
        text += _place_fraction(fraction, pattern.fraction)
        return text + _place_exponent(exponent, pattern.exponent) if pattern.exponent else text


def _parse_pattern(tokens: list[Token]) -> _Pattern:
    kinds = [token.kind for token in tokens]
    end = kinds.index(TokenKind.EXPONENT) if TokenKind.EXPONENT in kinds else len(kinds)
    point = kinds.index(TokenKind.POINT) if TokenKind.POINT in kinds[:end] else end
    integer_digits = kinds[:point].count(TokenKind.DIGIT)
    scaling = _find_scaling_commas(kinds[:end], point)
    groups = _find_grouping_commas(kinds[:point])
    meaningless = scaling | groups
    return _Pattern(
        [token for index, token in enumerate(tokens[:point]) if index not in meaningless],
        [token for index, token in enumerate(tokens[:end]) if point <= index not in meaningless],
        tokens[end:],
        integer_digits,
        kinds[point:end].count(TokenKind.DIGIT),
        bool(groups),
        2 * kinds.count(TokenKind.PERCENT) - 3 * len(scaling),
    )


def _parse_plain_pattern(pattern: _Pattern) -> _PlainPattern | None:
    """Return *pattern* as a plain one, or None if it has other tokens between its digits."""
    prefix, integer = _split_digits(pattern.integer[::-1])
    point = pattern.fraction[:1] if pattern.fraction_digits else []
    suffix, fraction = _split_digits(pattern.fraction[len(point) :])
    decimals = fraction.rstrip("#")
    required = integer.count("0")
    is_plain = (
        len(integer) == pattern.integer_digits > 0
        and len(fraction) == pattern.fraction_digits
        and not pattern.exponent
        and "?" not in integer + fraction
        and "#" not in decimals + integer[:required]
        and (required < 2 or not pattern.groups_thousands)
        and not any(token.kind in _OTHER for token in (*prefix, *suffix))
        and all(token.kind is TokenKind.POINT for token in point)
    )
    if not is_plain:
        return None
    grouping = "," if pattern.groups_thousands else ""
    optional = len(fraction) - len(decimals)
    return _PlainPattern(
        join_tokens(prefix[::-1]),
        join_tokens(suffix),
        f"{grouping}.{len(fraction)}f",
        required,
        optional,
    )


def _split_digits(tokens: list[Token]) -> tuple[list[Token], str]:
    """Return the tokens after the digits at the start of *tokens*, and these digits."""
    end = 0
    while end < len(tokens) and tokens[end].kind is TokenKind.DIGIT:
        end += 1
    return tokens[end:], join_tokens(tokens[:end])


def _render_plain(number: Decimal, pattern: _PlainPattern) -> str:
    text = f"{number:{pattern.specification}}"
    if pattern.optional_decimals:
        required = text[: -pattern.optional_decimals]
        text = required + text[-pattern.optional_decimals :].rstrip("0")
    if pattern.required_integer_digits == 0 and number < 1:
        text = text[1:]
    elif pattern.required_integer_digits > 1:
        integer, point, fraction = text.partition(".")
        text = f"{integer.rjust(pattern.required_integer_digits, '0')}{point}{fraction}"
    return f"{pattern.prefix}{text}{pattern.suffix}"


def _find_scaling_commas(kinds: list[TokenKind], point: int) -> set[int]:
    """Return the positions of the commas that follow the last digit before the point or end."""
    found = set()
    for end in {point, len(kinds)}:
        index = end - 1
        # Literals may follow the commas, as in `0.0,"K"`.
        while index >= 0 and kinds[index] in (TokenKind.LITERAL, TokenKind.PERCENT):
            index -= 1
        commas = set()
        while index >= 0 and kinds[index] is TokenKind.COMMA:
            commas.add(index)
            index -= 1
        if index >= 0 and kinds[index] is TokenKind.DIGIT:
            found |= commas
    return found


def _find_grouping_commas(kinds: list[TokenKind]) -> set[int]:
    """Return the positions of the commas between two digits of the integer part."""
    return {
        index
        for index in range(1, len(kinds) - 1)
        if kinds[index] is TokenKind.COMMA
        and kinds[index - 1] in (TokenKind.DIGIT, TokenKind.COMMA)
        and TokenKind.DIGIT in kinds[:index]
        and TokenKind.DIGIT in kinds[index + 1 :]
    }


def _round(number: Decimal, decimals: int) -> Decimal:
    """Round half away from zero, as spreadsheets do."""
    return number.quantize(_ONE.scaleb(-decimals), context=_CONTEXT)


def _split_exponent(number: Decimal, pattern: _Pattern) -> tuple[Decimal, int]:
    """Return mantissa and exponent. The exponent is a multiple of the number of integer digits."""
    step = max(pattern.integer_digits, 1)
    if not number:
        return number, 0
    exponent = number.adjusted() // step * step
    mantissa = number.scaleb(-exponent, _CONTEXT)
    if _round(mantissa, pattern.fraction_digits).adjusted() >= step:
        exponent += step
        mantissa = number.scaleb(-exponent, _CONTEXT)
    return mantissa, exponent


def _place_integer(digits: str, pattern: _Pattern, general: str) -> str:
    """Place *digits* right-aligned; digits without a placeholder go before the first one."""
    digits = digits.lstrip("0")
    missing = pattern.integer_digits - len(digits)
    parts = []
    # The number of digits and placeholders from here to the decimal point.
    left = max(pattern.integer_digits, len(digits))
    is_first = True
    for token in pattern.integer:
        if token.kind is TokenKind.GENERAL:
            parts.append(general)
        if token.kind is not TokenKind.DIGIT:
            parts.append(token.text if token.kind is not TokenKind.GENERAL else "")
            continue
        count = 1 - missing if is_first and missing < 0 else 1
        is_first = False
        for _ in range(count):
            if left <= len(digits):
                digit = digits[-left]
            else:
                digit = {"0": "0", "?": " "}.get(token.text, "")
            left -= 1
            parts.append(digit)
            if digit.isdigit() and pattern.groups_thousands and left and left % 3 == 0:
                parts.append(",")
    if not pattern.integer_digits and pattern.fraction_digits:
        parts.append(digits)  # the pattern is `.00`
    return "".join(parts)


def _place_fraction(digits: str, tokens: list[Token]) -> str:
    """Place the decimals. Zeros at the end are shown only for placeholders `0`."""
    significant = len(digits.rstrip("0"))
    parts, index = [], 0
    for token in tokens:
        if token.kind is not TokenKind.DIGIT:
            parts.append(token.text)
            continue
        if index < significant or token.text == "0":
            parts.append(digits[index])
        elif token.text == "?":
            parts.append(" ")
        index += 1
    return "".join(parts)


def _place_exponent(exponent: int, tokens: list[Token]) -> str:
    sign = "-" if exponent < 0 else "+" if tokens[0].text.endswith("+") else ""
    placeholders = [token for token in tokens if token.kind is TokenKind.DIGIT]
    width = sum(token.text == "0" for token in placeholders)
    digits = str(abs(exponent)).rjust(width, "0")
    literals = "".join(token.text for token in tokens[1:] if token.kind is not TokenKind.DIGIT)
    return f"E{sign}{digits}{literals}"
