"""Typed access to untrusted JSON: every function returns a default for a value of another type."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, cast

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Object = Mapping[str, Json]

_MAX_DEPTH: Final = 64
_MAX_TEXT: Final = 65_536
_EMPTY: Final[Object] = {}


class InvalidPayload(Exception):
    """The body is not what the channel sends. The message gives the reason."""


def clean(value: Json, depth: int = 0) -> Json:
    """Return *value* without what a database cannot store.

    NUL characters are removed, lone surrogates replaced, and numbers that are not finite become
    None.

    Raises:
        InvalidPayload: *value* is nested deeper than 64 levels.
    """
    if depth > _MAX_DEPTH:
        raise InvalidPayload(f"The body is nested deeper than {_MAX_DEPTH} levels.")
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [clean(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): clean(item, depth + 1) for key, item in value.items()}
    return value


def clean_text(text: str) -> str:
    """Return *text* without NUL characters and with `?` for lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def get_object(source: Json | Object, *path: str) -> Object:
    """Return the object at *path*, or an empty one."""
    found: object = source
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return cast("Object", found) if isinstance(found, Mapping) else _EMPTY


def get_objects(source: Object, key: str) -> list[Object]:
    """Return the objects in the list at *key*; other members of the list are left out."""
    found = source.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def get_text(source: Object, *keys: str) -> str:
    """Return the text of the first of *keys* that has one, or an empty text."""
    for key in keys:
        found = source.get(key)
        if isinstance(found, str) and found:
            return found[:_MAX_TEXT]
    return ""


def get_id(source: Object, *keys: str) -> str:
    """Return the identifier at the first of *keys* that has one; numbers become text."""
    for key in keys:
        found = source.get(key)
        if isinstance(found, str) and found:
            return found[:_MAX_TEXT]
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
    return ""


def get_number(source: Object, key: str) -> float | None:
    """Return the finite number at *key*; texts such as "12.5" are parsed."""
    found = source.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    try:
        number = float(found)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def get_size(source: Object, key: str) -> int | None:
    """Return the number of bytes at *key*, or None."""
    number = get_number(source, key)
    return int(number) if number is not None and 0 <= number < 2**53 else None


def is_true(source: Object, key: str) -> bool:
    return source.get(key) is True


def from_unix(seconds: float | None) -> str | None:
    """Return the time as `2023-10-11T16:53:43Z`, or None if it is missing or out of range."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(math.floor(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None


def from_milliseconds(milliseconds: float | None) -> str | None:
    return None if milliseconds is None else from_unix(milliseconds / 1000)


def from_iso(text: str) -> str | None:
    """Return an ISO 8601 time in UTC and whole seconds, or None if it is invalid."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    try:
        return from_unix(aware.timestamp())
    except (ValueError, OverflowError):
        return None


def drop_empty(**values: Json) -> dict[str, Json]:
    """Return *values* without those that are None, an empty text, list or object."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}
