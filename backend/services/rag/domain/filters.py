"""Which documents a search looks in: conditions on what is known of them.

A condition can only take away from what its asker may read; it is never asked about the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Attributes = Mapping[str, Any]
Condition = Callable[[Attributes], bool]

_ABSENT = object()


def everything(parts: Sequence[Condition]) -> Condition:
    return lambda known: all(part(known) for part in parts)


def anything(parts: Sequence[Condition]) -> Condition:
    return lambda known: any(part(known) for part in parts)


def negation(part: Condition) -> Condition:
    return lambda known: not part(known)


def compared(name: str, operator: str, wanted: Any) -> Condition:
    """The attribute *name*, or any of its values where it is a list, compared with *wanted*.

    Raises KeyError for an operator that is not in OPERATORS. An attribute that is absent
    equals nothing, and is neither less nor greater than anything.
    """
    test, negated = OPERATORS[operator]

    def holds(known: Attributes) -> bool:
        value = known.get(name, _ABSENT)
        if value is _ABSENT:
            return negated
        if isinstance(value, list):
            return any(test(each, wanted) for each in value) != negated
        return test(value, wanted) != negated

    return holds


def _same(value: Any, wanted: Any) -> bool:
    # In JSON true is not 1, though Python thinks so.
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _one_of(value: Any, wanted: Sequence[Any]) -> bool:
    return any(_same(value, each) for each in wanted)


def _ordered(value: Any, wanted: Any) -> bool:
    """Numbers with numbers and texts with texts; dates as RFC 3339 writes them are texts."""
    if isinstance(value, str) or isinstance(wanted, str):
        return isinstance(value, str) and isinstance(wanted, str)
    numbers = (int, float)
    return not isinstance(value, bool) and isinstance(value, numbers)


# The comparison, and whether it is meant the other way round.
OPERATORS: Mapping[str, tuple[Callable[[Any, Any], bool], bool]] = {
    "$eq": (_same, False),
    "$ne": (_same, True),
    "$in": (_one_of, False),
    "$nin": (_one_of, True),
    "$gt": (lambda value, wanted: _ordered(value, wanted) and value > wanted, False),
    "$gte": (lambda value, wanted: _ordered(value, wanted) and value >= wanted, False),
    "$lt": (lambda value, wanted: _ordered(value, wanted) and value < wanted, False),
    "$lte": (lambda value, wanted: _ordered(value, wanted) and value <= wanted, False),
}
