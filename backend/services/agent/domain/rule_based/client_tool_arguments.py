"""Guess the arguments of a client-defined tool from the words and numbers of a request."""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

# A hyphen is a minus sign if it starts a word or follows a dash, as in a range of negative numbers.
# It is not a minus sign in names, dates and ranges (X-200, 2026-11-29, pages 5-10), after a slash
# (+/-5) and after a closing bracket or a unit. In languages without spaces between words, it is a
# minus sign after a letter too.
_UNSPACED: Final = r"\u0e01-\u0eff\u1000-\u109f\u1780-\u17d3\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_MINUS: Final = r"\-\u2212\ufe63\uff0d"
_NO_MINUS_AFTER: Final = rf"\w)\]}}/.%°'±\u2019\u201d»{_MINUS}"
# Not after a number, where these words mean a subtraction: 12 minus 8.
_MINUS_WORD: Final = (
    r"(?<!\d )(?<!\d)"
    r"(?:(?<!\w)(?:minus|negative|moins|menos|meno|минус) |(?:マイナス|负|負|마이너스) ?)"
)
_NUMBER: Final = re.compile(
    rf"((?:(?<![{_NO_MINUS_AFTER}])|(?<=[{_UNSPACED}])|(?<=\d-))[{_MINUS}]|{_MINUS_WORD})?"
    r"(?:[$€£¥₹])?(\d+(?:[.,]\d+)*+)",
    re.IGNORECASE,
)
_GROUPED_BY_COMMAS: Final = re.compile(r"[1-9]\d{0,2}(?:,\d{3})++(?:\.\d+)?")
_GROUPED_BY_DOTS: Final = re.compile(r"[1-9]\d{0,2}(?:\.\d{3})++(?:,\d+|(?<=\.\d{3}\.\d{3}))")
_NUMBER_TYPES: Final = frozenset({"number", "integer"})


def guess_arguments(
    request: str, parameters: Mapping[str, Any], *, required: bool
) -> dict[str, Any] | None:
    """Return arguments for a tool whose schema is *parameters*; None if *request* lacks a value.

    Args:
        request: the request of the user.
        parameters: JSON Schema of an object.
        required: True if the tool must be called. If *request* names no choice, the first one of
            the schema is used then. A missing number is omitted, because it must not be invented.
    """
    properties = _get_mapping(parameters, "properties")
    required_names = parameters.get("required")
    names = required_names if isinstance(required_names, list) else []
    numbers = find_numbers(request)
    arguments: dict[str, Any] = {}
    for name in filter(lambda item: isinstance(item, str), names):
        schema = _get_mapping(properties, name)
        kind = _get_type(schema)
        choices = schema.get("enum")
        if isinstance(choices, list):
            named = [choice for choice in choices if str(choice).lower() in request.lower()]
            choices = named or (choices if required else [])
            if not choices:
                return None
            arguments[name] = choices[0]
        elif kind in _NUMBER_TYPES:
            number = _take_number(numbers, is_integer=kind == "integer")
            if number is not None:
                arguments[name] = number
            elif not required:
                return None
        elif kind in {"string", None}:
            arguments[name] = _find_last_name(request) or request
        elif kind == "boolean":
            arguments[name] = True
        else:
            return None
    return arguments


def find_numbers(text: str) -> list[float]:
    """Return the numbers in *text*, in order.

    A hyphen or U+2212 at the start of a word is a minus sign, also before a currency sign. The
    word minus counts as one too. Thousands are separated by commas or, in a number with several
    groups or with a decimal comma, by dots. Other numbers with several separators, such as dates
    and versions, are split into one number for each part.
    """
    numbers = []
    for minus, digits in _NUMBER.findall(text):
        # A number of more than 308 digits is infinite as a float.
        values = [value for part in _split_number(digits) if isfinite(value := float(part))]
        if minus and values:
            values[0] = -values[0]
        numbers += values
    return numbers


def _split_number(digits: str) -> list[str]:
    """Return the numbers in *digits*, which may contain dots and commas, with a decimal point."""
    if _GROUPED_BY_COMMAS.fullmatch(digits):
        return [digits.replace(",", "")]
    if _GROUPED_BY_DOTS.fullmatch(digits):
        return [digits.replace(".", "").replace(",", ".")]
    parts = re.split("[.,]", digits)
    return [".".join(parts)] if len(parts) <= 2 else parts


def _take_number(numbers: list[float], *, is_integer: bool) -> float | int | None:
    """Remove the first number of *numbers* that has the type, and return it."""
    for index, number in enumerate(numbers):
        if not is_integer or number.is_integer():
            del numbers[index]
            return int(number) if is_integer else number
    return None


def _get_mapping(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object *name* of a schema that a client wrote, or an empty one."""
    value = mapping.get(name)
    return value if isinstance(value, Mapping) else {}


def _get_type(schema: Mapping[str, Any]) -> str | None:
    """Return the type of *schema*; of several types, the first one except null."""
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return next((item for item in kinds if isinstance(item, str) and item != "null"), None)


def _find_last_name(request: str) -> str | None:
    """Return the last quoted text, or else the last capitalised words.

    For example, New York for "the weather in New York".
    """
    if quoted := re.findall(r"[\"\u201c]([^\"\u201d]{1,200})[\"\u201d]", request):
        return str(quoted[-1])
    if quoted := re.findall(r"(?<!\w)['\u2018]([^'\u2019]{1,200})['\u2019](?!\w)", request):
        return str(quoted[-1])
    names = re.findall(r"(?<=\s)[A-Z][\w'\u2019-]*(?:\s[A-Z][\w'\u2019-]*)*", request)
    return str(names[-1]) if names else None
