"""Search filters: conditions on the attributes of documents.

A condition selects among the documents that the caller can read. It is never evaluated for others.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Attributes = Mapping[str, Any]
Condition = Callable[[Attributes], bool]

_MISSING = object()


def match_all(conditions: Sequence[Condition]) -> Condition:
    return lambda attributes: all(condition(attributes) for condition in conditions)


def match_any(conditions: Sequence[Condition]) -> Condition:
    return lambda attributes: any(condition(attributes) for condition in conditions)


def negate(condition: Condition) -> Condition:
    return lambda attributes: not condition(attributes)


def compare_attribute(name: str, operator: str, operand: Any) -> Condition:
    """Return a condition that compares the attribute *name* with *operand*.

    If the attribute is a list, one of its values must match. A missing attribute is not equal to,
    less than or greater than any value.

    Raises:
        KeyError: *operator* is not in OPERATORS.
    """
    test, is_negated = OPERATORS[operator]

    def condition(attributes: Attributes) -> bool:
        value = attributes.get(name, _MISSING)
        if value is _MISSING:
            return is_negated
        if isinstance(value, list):
            return any(test(item, operand) for item in value) != is_negated
        return test(value, operand) != is_negated

    return condition


def _is_equal(value: Any, operand: Any) -> bool:
    # In JSON, true is not equal to 1; in Python it is.
    return isinstance(value, bool) == isinstance(operand, bool) and bool(value == operand)


def _is_in(value: Any, operand: Sequence[Any]) -> bool:
    return any(_is_equal(value, item) for item in operand)


def _are_comparable(value: Any, operand: Any) -> bool:
    """Check that both are numbers or both are strings. RFC 3339 dates are compared as strings."""
    if isinstance(value, str) or isinstance(operand, str):
        return isinstance(value, str) and isinstance(operand, str)
    return not isinstance(value, bool) and isinstance(value, int | float)


# The comparison, and whether its result is negated.
OPERATORS: Mapping[str, tuple[Callable[[Any, Any], bool], bool]] = {
    "$eq": (_is_equal, False),
    "$ne": (_is_equal, True),
    "$in": (_is_in, False),
    "$nin": (_is_in, True),
    "$gt": (lambda value, operand: _are_comparable(value, operand) and value > operand, False),
    "$gte": (lambda value, operand: _are_comparable(value, operand) and value >= operand, False),
    "$lt": (lambda value, operand: _are_comparable(value, operand) and value < operand, False),
    "$lte": (lambda value, operand: _are_comparable(value, operand) and value <= operand, False),
}
