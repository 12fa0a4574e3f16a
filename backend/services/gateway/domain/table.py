"""The route table: which service answers under which prefix, and on what terms."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from backend.security.limits import Limit
from backend.services.gateway.domain.paths import paths

MEBIBYTE = 1024 * 1024
_SIZES = {"KB": 1024, "MB": MEBIBYTE, "GB": 1024 * MEBIBYTE}
_SIZE = re.compile(r"([1-9][0-9]{0,8}) ?(KB|MB|GB)")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_COUNTED_BY = ("address", "caller", "tenant", "route")
# What every service answers without asking who is there.
OPEN_EVERYWHERE = ("/health", "/health/live", "/health/ready", "/info", "/openapi.json", "/docs/*")


class BadTable(ValueError):
    """The route table can't be used; the message names the entry and the mend."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit: how much, counted for whom, on which paths (none: the rest of the route)."""

    name: str
    rate: Limit
    by: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenRule:
    """How many of a model's tokens a user may use; reserved first, settled from `usage`."""

    rates: tuple[Limit, ...]
    paths: tuple[str, ...]
    reserve: int = 1000


@dataclass(frozen=True, slots=True)
class Route:
    """One entry: requests under *prefix* go to one of *upstreams*, without the prefix."""

    name: str
    prefix: str
    upstreams: tuple[str, ...]
    onto: str = ""
    public: tuple[str, ...] = OPEN_EVERYWHERE
    closed: tuple[str, ...] = ("/metrics",)
    limits: tuple[Rule, ...] = ()
    tokens: TokenRule | None = None
    timeout: float = 30.0
    body_limit: int = 10 * MEBIBYTE
    concurrency: int = 4096
    sockets_per_caller: int = 16
    service: str = ""
    singled_out: frozenset[str] = field(init=False, repr=False, compare=False)
    """The paths that pay something else than the rest of the route."""

    def __post_init__(self) -> None:
        if not self.service:
            object.__setattr__(self, "service", self.name)
        named = {path for rule in self.limits for path in rule.paths}
        named.update(self.tokens.paths if self.tokens else ())
        object.__setattr__(self, "singled_out", frozenset(named))

    def is_public(self, path: str) -> bool:
        return path in paths(self.public)

    def is_closed(self, path: str) -> bool:
        """Whether *path* is between services only, and from outside as if it were not there."""
        return path in paths(self.closed)

    def rules_for(self, path: str) -> tuple[Rule, ...]:
        """The rules that name *path*, or where none does the general ones."""
        if path in self.singled_out:
            named = tuple(rule for rule in self.limits if path in rule.paths)
            if named:
                return named
        return tuple(rule for rule in self.limits if not rule.paths)


@dataclass(frozen=True, slots=True)
class Table:
    """All routes, found by prefix; the longest prefix wins."""

    routes: tuple[Route, ...]
    _by_first: Mapping[str, tuple[Route, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_first: dict[str, list[Route]] = {}
        for route in sorted(self.routes, key=lambda r: len(r.prefix), reverse=True):
            by_first.setdefault(route.prefix.split("/", 2)[1], []).append(route)
        object.__setattr__(self, "_by_first", {k: tuple(v) for k, v in by_first.items()})

    def find(self, path: str) -> tuple[Route, str] | None:
        """The route of *path* (in normal form) and the path its service sees."""
        for route in self._by_first.get(path.split("/", 2)[1], ()):
            prefix = route.prefix
            if path.startswith(prefix):
                rest = path[len(prefix) :]
                if not rest or rest[0] == "/":
                    return route, route.onto + (rest or "/")
        return None


def read_table(defaults: Iterable[Route], file: Path | None) -> Table:
    """*defaults*, changed and added to by the TOML *file*; BadTable says what is wrong."""
    routes = {route.name: route for route in defaults}
    for name, entry in _entries(file).items():
        routes[name] = _merged(name, entry, routes.get(name))
    _check(routes.values())
    return Table(tuple(routes.values()))


def _entries(file: Path | None) -> Mapping[str, Any]:
    if file is None:
        return {}
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BadTable(
            f"GATEWAY_ROUTES names {file}, which can't be read: {error.strerror}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadTable(f"{file} is not TOML: {error}.") from error
    entries = document.pop("routes", {})
    if document:
        raise BadTable(
            f"{file}: {min(document)!r} is not known here; write [routes.<name>] tables."
        )
    if not isinstance(entries, dict):
        raise BadTable(f"{file}: 'routes' must be tables: [routes.<name>].")
    return entries


def _merged(name: str, entry: object, known: Route | None) -> Route:
    if not isinstance(entry, dict):
        raise BadTable(f"Route {name!r} must be a table: [routes.{name}].")
    readers = {
        "prefix": _text,
        "onto": _text,
        "service": _text,
        "upstreams": _texts,
        "public": _texts,
        "closed": _texts,
        "timeout": _seconds,
        "body_limit": _size,
        "concurrency": _count,
        "sockets_per_caller": _count,
        "limits": _rules,
        "tokens": _token_rule,
    }
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in readers:
            raise BadTable(
                f"Route {name!r} has no setting {key!r}; the settings are {', '.join(readers)}."
            )
        values[key] = readers[key](f"Route {name!r}, {key}", value)
    if "public" in values:
        values["public"] = (*OPEN_EVERYWHERE, *values["public"])
    if "closed" in values:
        values["closed"] = ("/metrics", *values["closed"])
    if known is not None:
        return replace(known, **values)
    if missing := [key for key in ("prefix", "upstreams") if key not in values]:
        raise BadTable(
            f"Route {name!r} is new and lacks {' and '.join(missing)}. Write for example "
            f'prefix = "/{name}" and upstreams = ["http://127.0.0.1:5010"].'
        )
    return Route(name=name, **values)


def _check(routes: Iterable[Route]) -> None:
    seen: dict[str, str] = {}
    for route in routes:
        where = f"Route {route.name!r}"
        if not _NAME.fullmatch(route.name):
            raise BadTable(f"{where}: a name is lower-case letters, digits and dashes.")
        if not _PREFIX.fullmatch(route.prefix):
            raise BadTable(
                f"{where}: prefix {route.prefix!r} must begin with a slash, end without one and "
                "hold letters, digits, dots, dashes and underscores: '/reports'."
            )
        if route.onto and not _PREFIX.fullmatch(route.onto):
            raise BadTable(f"{where}: onto {route.onto!r} must look like a prefix: '/v1'.")
        if other := seen.get(route.prefix):
            raise BadTable(
                f"{where}: prefix {route.prefix!r} is already the one of route {other!r}; "
                "give one of them another."
            )
        seen[route.prefix] = route.name
        if not route.upstreams:
            raise BadTable(f"{where}: upstreams is empty; name at least one URL.")
        for url in route.upstreams:
            origin(url, where)
        for pattern in (*route.public, *route.closed):
            if not pattern.startswith("/") or "*" in pattern[:-1]:
                raise BadTable(
                    f"{where}: path {pattern!r} must begin with a slash; a star may only "
                    "stand at its end, after a slash."
                )


def origin(url: str, where: str = "The route") -> tuple[str, int]:
    """Host and port of an upstream *url*; BadTable when it is more or less than an origin."""
    example = "write it as http://host:port"
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError as error:
        raise BadTable(f"{where}: upstream {url!r}: {error}; {example}.") from error
    if parts.scheme != "http" or not parts.hostname:
        raise BadTable(
            f"{where}: upstream {url!r} is not a plain http URL; {example}. TLS ends here."
        )
    if parts.path not in ("", "/") or parts.query or parts.username or parts.fragment:
        raise BadTable(f"{where}: upstream {url!r} has more than host and port; {example}.")
    return parts.hostname, port


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadTable(f"{where} must be a text in quotes.")
    return value.rstrip("/")


def _texts(where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadTable(f'{where} must be a list of texts: ["…", "…"].')
    return tuple(value)


def _seconds(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3600:
        raise BadTable(f"{where} must be a number of seconds between 0 and 3600.")
    return float(value)


def _count(where: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadTable(f"{where} must be a whole number above zero.")
    return value


def _size(where: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    written = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if written is None:
        raise BadTable(f"{where} must be a number of bytes, or a text such as '10MB'.")
    return int(written[1]) * _SIZES[written[2]]


def _rate(where: str, value: object) -> Limit:
    try:
        return Limit.parse(_text(where, value))
    except ValueError as error:
        raise BadTable(f"{where}: {error}") from error


def _rules(where: str, value: object) -> tuple[Rule, ...]:
    if not isinstance(value, list):
        raise BadTable(f"{where} must be a list of tables: [[routes.<name>.limits]].")
    return tuple(_rule(where, entry) for entry in value)


def _rule(where: str, entry: object) -> Rule:
    known = {part.name for part in fields(Rule)}
    if not isinstance(entry, dict) or not {"name", "rate", "by"} <= entry.keys() <= known:
        raise BadTable(
            f'{where}: each needs name, rate and by, and may have paths: name = "search", '
            'rate = "30/minute", by = "caller".'
        )
    if any("*" in path for path in entry.get("paths", [])):
        raise BadTable(f"{where}: paths are named one by one here, without a star.")
    if entry["by"] not in _COUNTED_BY:
        raise BadTable(f"{where}: by = {entry['by']!r}; it is one of {', '.join(_COUNTED_BY)}.")
    name = _text(where, entry["name"])
    if not _NAME.fullmatch(name):
        raise BadTable(f"{where}: name {name!r}: lower-case letters, digits and dashes.")
    paths = _texts(where, entry.get("paths", []))
    return Rule(name, _rate(where, entry["rate"]), entry["by"], paths)


def _token_rule(where: str, entry: object) -> TokenRule:
    if not isinstance(entry, dict) or not entry.keys() <= {"rates", "paths", "reserve"}:
        raise BadTable(f"{where} may have rates, paths and reserve.")
    rates: Sequence[str] = _texts(where, entry.get("rates", []))
    return TokenRule(
        rates=tuple(_rate(where, rate) for rate in rates),
        paths=_texts(where, entry.get("paths", [])),
        reserve=_count(where, entry.get("reserve", 1000)),
    )
