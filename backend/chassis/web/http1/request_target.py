"""Normalize request targets.

The normalized path is used for matching and for forwarding, so that a service never receives a
path that the gateway interpreted differently.
"""

import re
import string

_UNRESERVED = string.ascii_letters + string.digits + "-._~"
_PATH_CHARACTERS = frozenset(_UNRESERVED + "!$&'()*+,=:@/")
# Browsers do not encode `[]{}|^` and the grave accent in a query.
_QUERY_CHARACTERS = "".join(sorted(_PATH_CHARACTERS)) + "%?;[]{}|^`"
_REMOVE_PATH_CHARACTERS = {ord(c): None for c in _PATH_CHARACTERS}
_REMOVE_QUERY_CHARACTERS = {ord(c): None for c in _QUERY_CHARACTERS}
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
# Code points that must not be percent-encoded: `.`, `/`, `\`, `;` and control characters.
_FORBIDDEN_ESCAPES = frozenset({0x2E, 0x2F, 0x5C, 0x3B, 0x7F, *range(0x20)})


class InvalidTarget(ValueError):
    """The request target has no unambiguous normal form. The message states the reason."""


def normalize_target(target: str) -> tuple[str, str]:
    """Return (path, query) of a *target* in origin form; the query includes its `?`.

    Raises:
        InvalidTarget: the target is ambiguous or malformed.
    """
    path, mark, query = target.partition("?")
    if path[:1] != "/":
        raise InvalidTarget("The request target must start with a slash.")
    if ".." in path or "//" in path or "/./" in path or path.endswith("/."):
        raise InvalidTarget("The path has dot segments or empty segments.")
    special = path.translate(_REMOVE_PATH_CHARACTERS)
    if special:
        path = _normalize_escapes(path, special)
    if mark and query.translate(_REMOVE_QUERY_CHARACTERS):
        raise InvalidTarget("The query has a character that must be percent-encoded.")
    return path, mark + query


def _normalize_escapes(path: str, special: str) -> str:
    if special.strip("%"):
        raise InvalidTarget("The path has a character that must be percent-encoded.")
    if len(_ESCAPE.findall(path)) != path.count("%"):
        raise InvalidTarget("The path has an invalid percent-encoding.")
    return _ESCAPE.sub(_normalize_escape, path)


def _normalize_escape(escape: re.Match[str]) -> str:
    code = int(escape[0][1:], 16)
    if code in _FORBIDDEN_ESCAPES:
        raise InvalidTarget("The path has a percent-encoded separator, dot or control character.")
    character = chr(code)
    return character if character in _UNRESERVED else escape[0].upper()
