"""Convert pydantic's validation errors to one error per mistake, at its place in the JSON value.

pydantic reports an error for each type of a union, and adds the names of these types to the
location. Here a mistake in a value of a union is one error at the value's own location.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from pydantic import ValidationError

Location = tuple[int | str, ...]

# Replacements for messages of pydantic, by error type.
_DETAILS = {
    "missing": "This field is required.",
    "extra_forbidden": "This field is unknown. Remove it.",
}
_EXPECTATION = "Input should be "


class Mistake(NamedTuple):
    """An error as pydantic reports it; names of union types are part of the location."""

    location: Location
    error_type: str
    message: str


def describe_errors(error: ValidationError, value: object) -> Iterator[tuple[Location, str]]:
    """Yield (location, message) of each mistake in *value*.

    Args:
        error: the error of validating *value*.
        value: the parsed JSON value, or the parameters of a query string by name.
    """
    details = error.errors(include_url=False, include_context=False, include_input=False)
    mistakes = [Mistake(item["loc"], item["type"], item["msg"]) for item in details]
    return _describe_mistakes(mistakes, value)


def _describe_mistakes(
    mistakes: Sequence[Mistake], value: object
) -> Iterator[tuple[Location, str]]:
    for place, group in groupby(mistakes, key=lambda mistake: _find_union(mistake, value)):
        items = list(group)
        if place is None:
            for item in items:
                yield item.location, _get_message(item)
        else:
            yield from _describe_union(items, place, value)


def _describe_union(
    mistakes: Sequence[Mistake], place: Location, value: object
) -> Iterator[tuple[Location, str]]:
    """Yield the mistakes for one type of a union: the one that the caller probably meant.

    That is the type with the fewest mistakes among those that accept the value at *place* itself.
    If none accepts it, yield one mistake that names all expected types.
    """
    depth = len(place)
    by_type: dict[int | str, list[Mistake]] = {}
    for item in mistakes:
        inner_location = place + item.location[depth + 1 :]
        by_type.setdefault(item.location[depth], []).append(item._replace(location=inner_location))
    matching = [
        items
        for items in by_type.values()
        if not any(item.location == place and _is_type_mismatch(item) for item in items)
    ]
    if matching:
        yield from _describe_mistakes(min(matching, key=len), value)
    else:
        expected = (_get_message(item).removeprefix(_EXPECTATION) for item in mistakes)
        yield place, _EXPECTATION + " or ".join(dict.fromkeys(expected))


def _find_union(mistake: Mistake, value: object) -> Location | None:
    """Return the location of the outermost union that contains *mistake*, or None."""
    location = mistake.location
    for index, part in enumerate(location):
        if isinstance(value, Mapping):
            is_missing = mistake.error_type == "missing" and index == len(location) - 1
            if part not in value and not is_missing:
                return location[:index]
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return location[:index]
    return None


def _is_type_mismatch(mistake: Mistake) -> bool:
    return mistake.error_type.endswith("_type") or mistake.error_type == "literal_error"


def _get_message(mistake: Mistake) -> str:
    return _DETAILS.get(mistake.error_type) or mistake.message.removeprefix("Value error, ")
