"""The door for a search's `filter`: JSON in, a condition out, or a refusal by field."""

from typing import Any

from pydantic import JsonValue

from backend.security import invalid_field
from backend.services.rag.domain.filters import (
    OPERATORS,
    Condition,
    anything,
    compared,
    everything,
    negation,
)

MOST_CONDITIONS = 50
MOST_VALUES = 200
DEEPEST = 8
_JOINING = {"$and": everything, "$or": anything}
_ORDERING = ("$gt", "$gte", "$lt", "$lte")
_LISTING = ("$in", "$nin")


def parsed(raw: dict[str, JsonValue]) -> Condition:
    """The condition that *raw* stands for; a Refusal (422) that points at what is wrong.

    `{"year": 1997}` equals, `{"year": [1997, 2020]}` is one of,
    `{"year": {"$gte": 1990, "$lt": 2000}}` compares, and `$and`, `$or` (of lists) and `$not`
    join whole filters.
    """
    return _Parser().whole(raw, "#/filter", 0)


class _Parser:
    def __init__(self) -> None:
        self._conditions = 0

    def whole(self, raw: JsonValue, place: str, depth: int) -> Condition:
        if not isinstance(raw, dict):
            raise invalid_field(place, "Write an object of names and conditions.")
        if depth > DEEPEST:
            raise invalid_field(place, f"Nest filters at most {DEEPEST} deep.")
        parts = [self._entry(*each, _at(place, each[0]), depth) for each in raw.items()]
        return parts[0] if len(parts) == 1 else everything(parts)

    def _entry(self, name: str, raw: JsonValue, place: str, depth: int) -> Condition:
        if name == "$not":
            return negation(self.whole(raw, place, depth + 1))
        if join := _JOINING.get(name):
            if not isinstance(raw, list) or not raw:
                raise invalid_field(place, f"{name} takes a list of one or more filters.")
            return join(
                [self.whole(each, f"{place}/{at}", depth + 1) for at, each in enumerate(raw)]
            )
        if name.startswith("$"):
            raise invalid_field(place, "Use $and, $or, $not, or the name of an attribute.")
        return self._attribute(name, raw, place, depth)

    def _attribute(self, name: str, raw: JsonValue, place: str, depth: int) -> Condition:
        if isinstance(raw, list):
            return self._comparison(name, "$in", raw, place)
        if not isinstance(raw, dict):
            return self._comparison(name, "$eq", raw, place)
        if not raw:
            raise invalid_field(place, f"Name a comparison: {', '.join(OPERATORS)}.")
        if depth > DEEPEST:
            raise invalid_field(place, f"Nest filters at most {DEEPEST} deep.")
        parts = []
        for operator, wanted in raw.items():
            inner = _at(place, operator)
            if operator == "$not":
                if not isinstance(wanted, dict):
                    raise invalid_field(inner, "$not takes an object of comparisons.")
                parts.append(negation(self._attribute(name, wanted, inner, depth + 1)))
            elif operator in OPERATORS:
                parts.append(self._comparison(name, operator, wanted, inner))
            else:
                raise invalid_field(inner, f"Use one of {', '.join(OPERATORS)} and $not.")
        return everything(parts)

    def _comparison(self, name: str, operator: str, wanted: JsonValue, place: str) -> Condition:
        self._conditions += 1
        if self._conditions > MOST_CONDITIONS:
            raise invalid_field(place, f"Use at most {MOST_CONDITIONS} comparisons.")
        if operator in _LISTING:
            if not isinstance(wanted, list) or len(wanted) > MOST_VALUES:
                raise invalid_field(place, f"List at most {MOST_VALUES} values.")
            for at, each in enumerate(wanted):
                _ensure_scalar(each, f"{place}/{at}")
        else:
            _ensure_scalar(wanted, place)
        if operator in _ORDERING and (isinstance(wanted, bool) or wanted is None):
            raise invalid_field(place, f"{operator} compares with a number or a text.")
        return compared(name, operator, wanted)


def _ensure_scalar(value: Any, place: str) -> None:
    if isinstance(value, (dict, list)):
        raise invalid_field(place, "Compare with a text, a number, true, false or null.")


def _at(place: str, name: str) -> str:
    """The JSON pointer of *name* within *place*; a name of any length is cut."""
    return f"{place}/{name[:64].replace('~', '~0').replace('/', '~1')}"
