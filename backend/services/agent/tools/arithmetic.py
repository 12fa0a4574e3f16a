"""Evaluate arithmetic expressions exactly, with rational numbers.

This is a recursive-descent parser with limits on length, nesting and the size of numbers. With
`eval`, and even with `ast.parse`, a few characters of untrusted input could use any amount of
memory and time.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Final

from backend.services.agent.errors import InvalidExpression, UndefinedResult

MAX_EXPRESSION_CHARACTERS: Final = 300
MAX_NESTING: Final = 40
_MAX_BITS: Final = 4_096
_MAX_DIGITS: Final = 12

_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?|\.\d+)|(\*\*|[-+*/^%(),])|([a-z]+))"
)


def evaluate_expression(expression: str) -> str:
    """Return the value of *expression* in decimal notation.

    Supports + - * / % ^ (or **), parentheses, numbers, pi, e and the functions in _FUNCTIONS.

    Raises:
        InvalidExpression: the expression is invalid or exceeds a limit. The message says why.
        UndefinedResult: the expression is valid, but it has no value or its value is too large.
    """
    if len(expression) > MAX_EXPRESSION_CHARACTERS:
        raise InvalidExpression(
            f"An expression can have at most {MAX_EXPRESSION_CHARACTERS} characters."
        )
    return _format_value(_Parser(_tokenize(expression)).parse())


def _tokenize(expression: str) -> list[str]:
    """Split *expression* into tokens; commas between groups of three digits are dropped."""
    text = expression.replace("\u00d7", "*").replace("\u00f7", "/").replace("\u2212", "-").lower()
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            character = text[position:].strip()[:1]
            raise InvalidExpression(f"{character!r} is not allowed in an expression.")
        tokens.append(match.group().strip())
        position = match.end()
    return tokens


class _Parser:
    """Recursive-descent parser: one method per precedence level, from sums to single values."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def parse(self) -> Fraction:
        value = self._parse_sum()
        if self._peek_token() is not None:
            raise InvalidExpression(f"{self._peek_token()!r} is unexpected at this position.")
        return value

    def _parse_sum(self) -> Fraction:
        value = self._parse_product()
        while (sign := self._accept("+", "-")) is not None:
            right = self._parse_product()
            value = _check_size(value + right if sign == "+" else value - right)
        return value

    def _parse_product(self) -> Fraction:
        value = self._parse_signed()
        while (sign := self._accept("*", "/", "%")) is not None:
            right = self._parse_signed()
            if sign != "*" and right == 0:
                raise UndefinedResult("Division by zero is undefined.")
            if sign == "*":
                value = _check_size(value * right)
            else:
                value = _check_size(value / right if sign == "/" else value % right)
        return value

    def _parse_signed(self) -> Fraction:
        negative = False
        while (sign := self._accept("+", "-")) is not None:
            negative ^= sign == "-"
        value = self._parse_power()
        return -value if negative else value

    def _parse_power(self) -> Fraction:
        base = self._parse_value()
        if self._accept("**", "^") is None:
            return base
        self._enter_nesting()
        exponent = self._parse_signed()  # right-associative: 2 ^ 3 ^ 2 is 2 ^ 9
        self._depth -= 1
        return _compute_power(base, exponent)

    def _parse_value(self) -> Fraction:
        symbol = self._read_token()
        if symbol == "(":
            value = self._parse_nested()
            self._expect(")")
            return value
        if symbol[0].isdigit() or symbol[0] == ".":
            return _check_size(Fraction(symbol.rstrip(".") if symbol.endswith(".") else symbol))
        if symbol in _CONSTANTS:
            return _CONSTANTS[symbol]
        if symbol in _FUNCTIONS:
            return self._parse_call(_FUNCTIONS[symbol])
        raise InvalidExpression(f"{symbol!r} is not a known constant or function.")

    def _parse_call(self, function: Callable[..., Fraction]) -> Fraction:
        self._expect("(")
        arguments = [self._parse_nested()]
        while self._accept(",") is not None:
            arguments.append(self._parse_nested())
        self._expect(")")
        try:
            return _check_size(function(*arguments))
        except TypeError:
            raise InvalidExpression("A function received the wrong number of arguments.") from None
        except (ValueError, OverflowError):
            raise UndefinedResult("A function is undefined for these arguments.") from None

    def _parse_nested(self) -> Fraction:
        self._enter_nesting()
        value = self._parse_sum()
        self._depth -= 1
        return value

    def _enter_nesting(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise InvalidExpression(
                f"An expression can be nested at most {MAX_NESTING} levels deep."
            )

    def _peek_token(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _accept(self, *expected_tokens: str) -> str | None:
        token = self._peek_token()
        if token not in expected_tokens:
            return None
        self._position += 1
        return token

    def _read_token(self) -> str:
        token = self._peek_token()
        if token is None:
            raise InvalidExpression("The expression ends too early.")
        self._position += 1
        return token

    def _expect(self, expected: str) -> None:
        if self._accept(expected) is None:
            raise InvalidExpression(f"{expected!r} is missing.")


def _check_size(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise UndefinedResult("The numbers are too large.")
    return value


def _compute_power(base: Fraction, exponent: Fraction) -> Fraction:
    if base == 0 and exponent < 0:
        raise UndefinedResult("Division by zero is undefined.")
    if exponent.denominator != 1:
        try:
            return _from_float(float(base) ** float(exponent))
        except (OverflowError, TypeError, ValueError):
            raise UndefinedResult("The power is undefined, or too large.") from None
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) not in (0, 1) and bits * abs(exponent.numerator) > _MAX_BITS:
        raise UndefinedResult("The numbers are too large.")
    if abs(base) in (0, 1):
        # Only the parity of the exponent matters, so (-1) ** 10**9 is cheap.
        return base ** (2 + exponent.numerator % 2) if exponent else Fraction(1)
    return base**exponent.numerator


def _square_root(value: Fraction) -> Fraction:
    if value < 0:
        raise ValueError
    numerator, denominator = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if numerator * numerator == value.numerator and denominator * denominator == value.denominator:
        return Fraction(numerator, denominator)
    return _from_float(math.sqrt(value))


def _from_float(value: float | complex) -> Fraction:
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError
    return Fraction(value)


def _round(value: Fraction, digits: Fraction = Fraction(0)) -> Fraction:
    if digits.denominator != 1 or abs(digits) > 20:
        raise ValueError
    step = Fraction(10) ** -digits.numerator
    # Round half away from zero, as taught in school; Python's round() rounds half to even.
    magnitude = math.floor(abs(value) / step + Fraction(1, 2)) * step
    return magnitude if value >= 0 else -magnitude


def _min(*values: Fraction) -> Fraction:
    return min(values)


def _max(*values: Fraction) -> Fraction:
    return max(values)


def _to_rational_function(function: Callable[[float], float]) -> Callable[[Fraction], Fraction]:
    return lambda value: _from_float(function(float(value)))


_CONSTANTS: Final = {"pi": Fraction(math.pi), "e": Fraction(math.e)}
_FUNCTIONS: Final[dict[str, Callable[..., Fraction]]] = {
    "sqrt": _square_root,
    "abs": lambda value: abs(value),
    "round": _round,
    "floor": lambda value: Fraction(math.floor(value)),
    "ceil": lambda value: Fraction(math.ceil(value)),
    "min": _min,
    "max": _max,
    "ln": _to_rational_function(math.log),
    "log": _to_rational_function(math.log10),
    "sin": _to_rational_function(math.sin),
    "cos": _to_rational_function(math.cos),
    "tan": _to_rational_function(math.tan),
}


def _format_value(value: Fraction) -> str:
    """Return *value* in decimal notation: exact if possible, else with _MAX_DIGITS digits."""
    if value.denominator == 1:
        return str(value.numerator)
    # A fraction has a finite decimal expansion if its denominator has no prime factors but 2 and 5.
    cofactor = value.denominator
    for prime in (2, 5):
        while cofactor % prime == 0:
            cofactor //= prime
    if cofactor == 1 and value.denominator <= 10**_MAX_DIGITS:
        places = len(str(value.denominator)) * 4
        scaled = abs(value.numerator) * 10**places // value.denominator
        digits = str(scaled).rjust(places + 1, "0")
        text = f"{digits[:-places]}.{digits[-places:]}".rstrip("0")
        if len(text) <= _MAX_DIGITS * 2:
            return f"-{text}" if value < 0 else text
    try:
        return f"{float(value):.{_MAX_DIGITS}g}"
    except OverflowError:
        raise UndefinedResult("The numbers are too large.") from None
