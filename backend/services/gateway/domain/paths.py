"""A request target's normal form, or why it has none.

What is matched is what is forwarded: a service never sees a path that the gateway read
in another way.
"""

import re
import string
from functools import lru_cache

_UNRESERVED = string.ascii_letters + string.digits + "-._~"
_PATH_PLAIN = frozenset(_UNRESERVED + "!$&'()*+,=:@/")
# Browsers leave `[]{}|^` and the grave accent in a query as they are.
_QUERY_PLAIN = "".join(sorted(_PATH_PLAIN)) + "%?;[]{}|^`"
_DROP_PATH = {ord(c): None for c in _PATH_PLAIN}
_DROP_QUERY = {ord(c): None for c in _QUERY_PLAIN}
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
# The escapes that hide a separator, a dot or a control character.
_HIDDEN = frozenset({0x2E, 0x2F, 0x5C, 0x3B, 0x7F, *range(0x20)})


class BadTarget(ValueError):
    """The request target is not forwarded; the message says what is wrong with it."""


def normal_form(target: str) -> tuple[str, str]:
    """(path, query) of a target in origin form; the query keeps its `?`."""
    path, mark, query = target.partition("?")
    if path[:1] != "/":
        raise BadTarget("The request target must begin with a slash.")
    if ".." in path or "//" in path or "/./" in path or path.endswith("/."):
        raise BadTarget("The path holds dot segments or empty segments.")
    rest = path.translate(_DROP_PATH)
    if rest:
        path = _unescaped(path, rest)
    if mark and query.translate(_DROP_QUERY):
        raise BadTarget("The query holds a character that must be percent-encoded.")
    return path, mark + query


def _unescaped(path: str, rest: str) -> str:
    if rest.strip("%"):
        raise BadTarget("The path holds a character that must be percent-encoded.")
    if len(_ESCAPE.findall(path)) != path.count("%"):
        raise BadTarget("The path holds a broken percent-encoding.")
    return _ESCAPE.sub(_one, path)


def _one(escape: re.Match[str]) -> str:
    code = int(escape[0][1:], 16)
    if code in _HIDDEN:
        raise BadTarget("The path hides a separator, a dot or a control character.")
    character = chr(code)
    return character if character in _UNRESERVED else escape[0].upper()


class Paths:
    """A set of paths: each alone, or with all below it where its pattern ends in `/*`."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        below = [pattern[:-1] for pattern in patterns if pattern.endswith("/*")]
        self._below = tuple(below)
        self._exact = frozenset(patterns) | {prefix[:-1] for prefix in below}

    def __contains__(self, path: str) -> bool:
        return path in self._exact or path.startswith(self._below)


@lru_cache(maxsize=1024)
def paths(patterns: tuple[str, ...]) -> Paths:
    """The set that *patterns* name, made once for each tuple of them."""
    return Paths(patterns)
