"""Parse and validate the `filter` of a search."""

from typing import Any

from pydantic import JsonValue

from backend.security import invalid_field
from backend.services.rag.domain.search.filters import (
    OPERATORS,
    Condition,
    compare_attribute,
    match_all,
    match_any,
    negate,
)

MAX_COMPARISONS = 50
MAX_LIST_VALUES = 200
MAX_DEPTH = 8
_LOGICAL_OPERATORS = {"$and": match_all, "$or": match_any}
_ORDER_OPERATORS = ("$gt", "$gte", "$lt", "$lte")
_LIST_OPERATORS = ("$in", "$nin")


def parse_filter(raw: dict[str, JsonValue]) -> Condition:
    """Parse *raw* into a condition.

    `{"year": 1997}` means equal, `{"year": [1997, 2020]}` one of the values, and
    `{"year": {"$gte": 1990, "$lt": 2000}}` all of the comparisons. `$and`, `$or` (with lists) and
    `$not` combine filters.

    Raises:
        HttpError: 422 that points to the invalid field.
    """
    return _Parser().parse_object(raw, "#/filter", 0)


class _Parser:
    """Parses one filter and counts its comparisons. Pointers are JSON pointers to the field."""

    def __init__(self) -> None:
        self._comparisons = 0

    def parse_object(self, raw: JsonValue, pointer: str, depth: int) -> Condition:
        if not isinstance(raw, dict):
            raise invalid_field(pointer, "Send an object of attribute names and conditions.")
        if depth > MAX_DEPTH:
            raise invalid_field(pointer, f"Nest filters at most {MAX_DEPTH} levels deep.")
        conditions = [
            self._parse_entry(name, value, _join_pointer(pointer, name), depth)
            for name, value in raw.items()
        ]
        return conditions[0] if len(conditions) == 1 else match_all(conditions)

    def _parse_entry(self, name: str, raw: JsonValue, pointer: str, depth: int) -> Condition:
        if name == "$not":
            return negate(self.parse_object(raw, pointer, depth + 1))
        if combine := _LOGICAL_OPERATORS.get(name):
            if not isinstance(raw, list) or not raw:
                raise invalid_field(pointer, f"{name} requires a list of at least one filter.")
            return combine(
                [
                    self.parse_object(item, f"{pointer}/{index}", depth + 1)
                    for index, item in enumerate(raw)
                ]
            )
        if name.startswith("$"):
            raise invalid_field(pointer, "Use $and, $or, $not, or the name of an attribute.")
        return self._parse_attribute(name, raw, pointer, depth)

    def _parse_attribute(self, name: str, raw: JsonValue, pointer: str, depth: int) -> Condition:
        if isinstance(raw, list):
            return self._parse_comparison(name, "$in", raw, pointer)
        if not isinstance(raw, dict):
            return self._parse_comparison(name, "$eq", raw, pointer)
        if not raw:
            raise invalid_field(pointer, f"Add a comparison: {', '.join(OPERATORS)}.")
        if depth > MAX_DEPTH:
            raise invalid_field(pointer, f"Nest filters at most {MAX_DEPTH} levels deep.")
        conditions = []
        for operator, operand in raw.items():
            inner = _join_pointer(pointer, operator)
            if operator == "$not":
                if not isinstance(operand, dict):
                    raise invalid_field(inner, "$not requires an object of comparisons.")
                conditions.append(negate(self._parse_attribute(name, operand, inner, depth + 1)))
            elif operator in OPERATORS:
                conditions.append(self._parse_comparison(name, operator, operand, inner))
            else:
                raise invalid_field(inner, f"Use one of {', '.join(OPERATORS)} and $not.")
        return match_all(conditions)

    def _parse_comparison(
        self, name: str, operator: str, operand: JsonValue, pointer: str
    ) -> Condition:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise invalid_field(pointer, f"Use at most {MAX_COMPARISONS} comparisons.")
        if operator in _LIST_OPERATORS:
            if not isinstance(operand, list) or len(operand) > MAX_LIST_VALUES:
                raise invalid_field(pointer, f"Send a list of at most {MAX_LIST_VALUES} values.")
            for index, item in enumerate(operand):
                _ensure_scalar(item, f"{pointer}/{index}")
        else:
            _ensure_scalar(operand, pointer)
        if operator in _ORDER_OPERATORS and (isinstance(operand, bool) or operand is None):
            raise invalid_field(pointer, f"{operator} requires a number or a string.")
        return compare_attribute(name, operator, operand)


def _ensure_scalar(value: Any, pointer: str) -> None:
    if isinstance(value, (dict, list)):
        raise invalid_field(pointer, "Compare with a string, a number, true, false or null.")


def _join_pointer(pointer: str, name: str) -> str:
    """Append *name*, escaped and cut to 64 characters, to the JSON pointer."""
    return f"{pointer}/{name[:64].replace('~', '~0').replace('/', '~1')}"
