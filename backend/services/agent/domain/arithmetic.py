"""Work out an arithmetic expression exactly, without ever running it as code.

A recursive-descent reader of its own: `eval`, and even `ast.parse`, would let a stranger choose
how much memory and time a few characters cost.
"""

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Final

from backend.services.agent.errors import NotArithmetic

LONGEST: Final = 300
DEEPEST: Final = 40
_LARGEST_BITS: Final = 4_096
_DIGITS_SHOWN: Final = 12

_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?|\.\d+)|(\*\*|[-+*/^%(),])|([a-z]+))"
)


def work_out(expression: str) -> str:
    """The value of *expression* as people write it; NotArithmetic says what is wrong."""
    if len(expression) > LONGEST:
        raise NotArithmetic(f"An expression has at most {LONGEST} characters.")
    return _written(_Reader(_tokens(expression)).whole())


def _tokens(expression: str) -> list[str]:
    text = expression.replace("\u00d7", "*").replace("\u00f7", "/").replace("\u2212", "-").lower()
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise NotArithmetic(f"{text[at:].strip()[:1]!r} is not part of an expression.")
        found.append(match.group().strip())
        at = match.end()
    return found


class _Reader:
    """Reads tokens by precedence: sums, products, signs, powers, values."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> Fraction:
        value = self._sum()
        if self._peek() is not None:
            raise NotArithmetic(f"{self._peek()!r} was not expected there.")
        return value

    def _sum(self) -> Fraction:
        value = self._product()
        while (sign := self._take("+", "-")) is not None:
            right = self._product()
            value = _bounded(value + right if sign == "+" else value - right)
        return value

    def _product(self) -> Fraction:
        value = self._signed()
        while (sign := self._take("*", "/", "%")) is not None:
            right = self._signed()
            if sign != "*" and right == 0:
                raise NotArithmetic("Nothing can be divided by zero.")
            if sign == "*":
                value = _bounded(value * right)
            else:
                value = _bounded(value / right if sign == "/" else value % right)
        return value

    def _signed(self) -> Fraction:
        negative = False
        while (sign := self._take("+", "-")) is not None:
            negative ^= sign == "-"
        value = self._power()
        return -value if negative else value

    def _power(self) -> Fraction:
        base = self._value()
        if self._take("**", "^") is None:
            return base
        self._go_deeper()
        exponent = self._signed()  # to the right first: 2 ^ 3 ^ 2 is 2 ^ 9
        self._depth -= 1
        return _power(base, exponent)

    def _value(self) -> Fraction:
        found = self._next()
        if found == "(":
            value = self._nested()
            self._expect(")")
            return value
        if found[0].isdigit() or found[0] == ".":
            return _bounded(Fraction(found.rstrip(".") if found.endswith(".") else found))
        if found in _CONSTANTS:
            return _CONSTANTS[found]
        if found in _FUNCTIONS:
            return self._call(_FUNCTIONS[found])
        raise NotArithmetic(f"{found!r} is not a number that is known here.")

    def _call(self, function: Callable[..., Fraction]) -> Fraction:
        self._expect("(")
        arguments = [self._nested()]
        while self._take(",") is not None:
            arguments.append(self._nested())
        self._expect(")")
        try:
            return _bounded(function(*arguments))
        except TypeError:
            raise NotArithmetic("A function got too many or too few numbers.") from None
        except (ValueError, OverflowError):
            raise NotArithmetic("A function has no value there.") from None

    def _nested(self) -> Fraction:
        self._go_deeper()
        value = self._sum()
        self._depth -= 1
        return value

    def _go_deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise NotArithmetic(f"An expression nests at most {DEEPEST} deep.")

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, *wanted: str) -> str | None:
        token = self._peek()
        if token not in wanted:
            return None
        self._at += 1
        return token

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            raise NotArithmetic("The expression ends too early.")
        self._at += 1
        return token

    def _expect(self, wanted: str) -> None:
        if self._take(wanted) is None:
            raise NotArithmetic(f"{wanted!r} is missing.")


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _LARGEST_BITS:
        raise NotArithmetic("The numbers grow too large.")
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if base == 0 and exponent < 0:
        raise NotArithmetic("Nothing can be divided by zero.")
    if exponent.denominator != 1:
        try:
            return _from_float(float(base) ** float(exponent))
        except (OverflowError, TypeError, ValueError):
            raise NotArithmetic("That power has no value here.") from None
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) not in (0, 1) and bits * abs(exponent.numerator) > _LARGEST_BITS:
        raise NotArithmetic("The numbers grow too large.")
    if abs(base) in (0, 1):  # (-1) ** 10**9 is no work, its exponent's parity decides
        return base ** (2 + exponent.numerator % 2) if exponent else Fraction(1)
    return base**exponent.numerator


def _square_root(value: Fraction) -> Fraction:
    if value < 0:
        raise ValueError
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if top * top == value.numerator and bottom * bottom == value.denominator:
        return Fraction(top, bottom)
    return _from_float(math.sqrt(value))


def _from_float(value: float | complex) -> Fraction:
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError
    return Fraction(value)


def _rounded(value: Fraction, places: Fraction = Fraction(0)) -> Fraction:
    if places.denominator != 1 or abs(places) > 20:
        raise ValueError
    step = Fraction(10) ** -places.numerator
    # Half away from zero, as people round; Python's round() goes to the even neighbour.
    size = math.floor(abs(value) / step + Fraction(1, 2)) * step
    return size if value >= 0 else -size


def _smallest(*values: Fraction) -> Fraction:
    return min(values)


def _largest(*values: Fraction) -> Fraction:
    return max(values)


def _by_float(function: Callable[[float], float]) -> Callable[[Fraction], Fraction]:
    return lambda value: _from_float(function(float(value)))


_CONSTANTS: Final = {"pi": Fraction(math.pi), "e": Fraction(math.e)}
_FUNCTIONS: Final[dict[str, Callable[..., Fraction]]] = {
    "sqrt": _square_root,
    "abs": lambda value: abs(value),
    "round": _rounded,
    "floor": lambda value: Fraction(math.floor(value)),
    "ceil": lambda value: Fraction(math.ceil(value)),
    "min": _smallest,
    "max": _largest,
    "ln": _by_float(math.log),
    "log": _by_float(math.log10),
    "sin": _by_float(math.sin),
    "cos": _by_float(math.cos),
    "tan": _by_float(math.tan),
}


def _written(value: Fraction) -> str:
    """Whole numbers whole, exact decimals exact, the rest to twelve digits."""
    if value.denominator == 1:
        return str(value.numerator)
    left = value.denominator
    for prime in (2, 5):
        while left % prime == 0:
            left //= prime
    if left == 1 and value.denominator <= 10**_DIGITS_SHOWN:
        places = len(str(value.denominator)) * 4
        scaled = abs(value.numerator) * 10**places // value.denominator
        digits = str(scaled).rjust(places + 1, "0")
        written = f"{digits[:-places]}.{digits[-places:]}".rstrip("0")
        if len(written) <= _DIGITS_SHOWN * 2:
            return f"-{written}" if value < 0 else written
    try:
        return f"{float(value):.{_DIGITS_SHOWN}g}"
    except OverflowError:
        raise NotArithmetic("The numbers grow too large.") from None
