"""The route table: prefixes, upstreams, limits and timeouts, and how it is read from TOML."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from backend.chassis.web.openai_errors import is_openai_path
from backend.security.limits import Limit
from backend.services.gateway.domain.routing.paths import compile_paths

MEBIBYTE = 1024 * 1024
_SIZE_UNITS = {"KB": 1024, "MB": MEBIBYTE, "GB": 1024 * MEBIBYTE}
_SIZE = re.compile(r"([1-9][0-9]{0,8}) ?(KB|MB|GB)")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9][A-Za-z0-9._-]*)+")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_WAIT_PARAMETER = re.compile("[?&]wait=")
_SUBJECTS = ("address", "caller", "tenant", "route", "path")
# `/api/v1/NAME/…` reaches the same routes as `/NAME/…`.
_VERSION_PREFIX = "/api/v1"
# Services with a part of OpenAI's API: models and answers, audio.
_OPENAI_SERVICES = frozenset({"agent", "chat"})
DEFAULT_PUBLIC_PATHS = (
    "/health",
    "/health/live",
    "/health/ready",
    "/info",
    "/openapi.json",
    "/docs/*",
)
"""Paths of every service that need no credentials."""


class InvalidRouteTable(ValueError):
    """The route table is invalid. The message names the entry and how to fix it."""


@dataclass(frozen=True, slots=True)
class RateLimitRule:
    """A rate limit, counted by *by* (address, caller, tenant, route or path).

    *paths* are the exact paths it applies to; without paths it applies to the paths of the route
    that no other rule names.
    """

    name: str
    rate: Limit
    by: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenLimitRule:
    """Limits for the model tokens of a user.

    *reserve* tokens are charged before a request and corrected by the `usage` of its response.
    """

    rates: tuple[Limit, ...]
    paths: tuple[str, ...]
    reserve: int = 1000


@dataclass(frozen=True, slots=True)
class Route:
    """One entry of the table. The field names are the keys of GATEWAY_ROUTES.

    Attributes:
        name: unique name, also used in metrics.
        prefix: first part of the public path; removed before forwarding.
        upstreams: URLs of the instances.
        onto: path that replaces the prefix in forwarded requests.
        public: paths of the service that need no credentials.
        closed: paths that are only for calls between services; clients get 404.
        limits: rate limits.
        tokens: limits for model tokens.
        timeout: seconds until the response must start.
        long_timeout: the same for POST requests to *long_paths* and for requests with a `wait=`
            parameter, if longer.
        long_paths: paths of the service whose responses take long, such as generated answers.
        body_limit: maximum size of a request body in bytes.
        concurrency: maximum number of outstanding requests to the service, for all instances; 0
            if only *instance_concurrency* applies.
        instance_concurrency: the same for each instance. Not a key of GATEWAY_ROUTES: it follows
            from the number of threads of a service of the catalog.
        sockets_per_caller: maximum number of open WebSockets of one caller.
        is_cross_origin: True if pages of other sites call the paths or show them in a frame. The
            service decides which: it answers preflight requests, and sends the CORS headers and
            the rules for frames. Not a key of GATEWAY_ROUTES.
        service: name of the service; by default that of the route.
        paths_with_own_limits: paths that *limits* or *tokens* name, whose limits differ from the
            rest of the route.
        counts_paths: True if a limit is counted by path.
    """

    name: str
    prefix: str
    upstreams: tuple[str, ...]
    onto: str = ""
    public: tuple[str, ...] = DEFAULT_PUBLIC_PATHS
    closed: tuple[str, ...] = ("/metrics",)
    limits: tuple[RateLimitRule, ...] = ()
    tokens: TokenLimitRule | None = None
    timeout: float = 30.0
    long_timeout: float = 0.0
    long_paths: tuple[str, ...] = ()
    body_limit: int = 10 * MEBIBYTE
    concurrency: int = 0
    instance_concurrency: int = 4096
    sockets_per_caller: int = 16
    is_cross_origin: bool = False
    service: str = ""
    paths_with_own_limits: frozenset[str] = field(init=False, repr=False, compare=False)
    counts_paths: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.service:
            object.__setattr__(self, "service", self.name)
        paths = {path for rule in self.limits for path in rule.paths}
        paths.update(self.tokens.paths if self.tokens else ())
        object.__setattr__(self, "paths_with_own_limits", frozenset(paths))
        object.__setattr__(self, "counts_paths", any(rule.by == "path" for rule in self.limits))

    def is_public(self, path: str) -> bool:
        return path in compile_paths(self.public)

    def is_closed(self, path: str) -> bool:
        """Return True if *path* is only for calls between services."""
        return path in compile_paths(self.closed)

    def counts_tokens(self, path: str) -> bool:
        """Return True if the responses of *path* contain a token usage that is counted."""
        return self.tokens is not None and path in self.tokens.paths

    def has_openai_errors(self, path: str) -> bool:
        """Return True if clients of *path* expect errors in the format of OpenAI's API."""
        return self.service in _OPENAI_SERVICES and is_openai_path(path)

    def get_timeout(self, method: str, path: str, query: str) -> float:
        """Return the seconds until the response to a request must start; *query* has its `?`."""
        is_long = method == "POST" and path in compile_paths(self.long_paths)
        if is_long or _WAIT_PARAMETER.search(query):
            return max(self.timeout, self.long_timeout)
        return self.timeout

    def select_rules(self, path: str) -> tuple[RateLimitRule, ...]:
        """Return the rules that name *path*, or the rules without paths if none does."""
        if path in self.paths_with_own_limits:
            specific = tuple(rule for rule in self.limits if path in rule.paths)
            if specific:
                return specific
        return tuple(rule for rule in self.limits if not rule.paths)


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routes. The route with the longest matching prefix is used."""

    routes: tuple[Route, ...]
    _by_first_segment: Mapping[str, tuple[Route, ...]] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        by_segment: dict[str, list[Route]] = {}
        for route in sorted(self.routes, key=lambda r: len(r.prefix), reverse=True):
            by_segment.setdefault(route.prefix.split("/", 2)[1], []).append(route)
        object.__setattr__(
            self, "_by_first_segment", {key: tuple(routes) for key, routes in by_segment.items()}
        )

    def find_route(self, path: str) -> tuple[Route, str] | None:
        """Return the route of a normalized *path*, and the path that its service receives."""
        match = self._find_route(path)
        if match is None and path.startswith(_VERSION_PREFIX + "/"):
            return self._find_route(path[len(_VERSION_PREFIX) :])
        return match

    def _find_route(self, path: str) -> tuple[Route, str] | None:
        for route in self._by_first_segment.get(path.split("/", 2)[1], ()):
            prefix = route.prefix
            if path.startswith(prefix):
                rest = path[len(prefix) :]
                if not rest or rest[0] == "/":
                    return route, route.onto + rest or "/"
        return None

    def has_openai_errors(self, path: str) -> bool:
        """Return True if clients of *path* (may be invalid) expect errors in OpenAI's format."""
        match = self.find_route(path)
        return match is not None and match[0].has_openai_errors(match[1])


def load_route_table(defaults: Iterable[Route], file: Path | None) -> RouteTable:
    """Return *defaults*, changed and extended by the TOML *file*.

    Raises:
        InvalidRouteTable: the file cannot be read or an entry is invalid.
    """
    routes = {route.name: route for route in defaults}
    for name, entry in _load_entries(file).items():
        routes[name] = _merge_entry(name, entry, routes.get(name))
    _validate_routes(routes.values())
    return RouteTable(tuple(routes.values()))


def _load_entries(file: Path | None) -> Mapping[str, Any]:
    if file is None:
        return {}
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidRouteTable(
            f"GATEWAY_ROUTES: {file} cannot be read: {error.strerror}."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRouteTable(f"{file} is not valid TOML: {error}.") from error
    entries = document.pop("routes", {})
    if document:
        raise InvalidRouteTable(
            f"{file}: unknown key {min(document)!r}. Use [routes.<name>] tables only."
        )
    if not isinstance(entries, dict):
        raise InvalidRouteTable(f"{file}: 'routes' must be tables: [routes.<name>].")
    return entries


def _merge_entry(name: str, entry: object, default: Route | None) -> Route:
    if not isinstance(entry, dict):
        raise InvalidRouteTable(f"Route {name!r} must be a table: [routes.{name}].")
    parsers = {
        "prefix": _parse_string,
        "onto": _parse_string,
        "service": _parse_string,
        "upstreams": _parse_strings,
        "public": _parse_strings,
        "closed": _parse_strings,
        "timeout": _parse_seconds,
        "long_timeout": _parse_seconds,
        "long_paths": _parse_strings,
        "body_limit": _parse_size,
        "concurrency": _parse_count,
        "sockets_per_caller": _parse_count,
        "limits": _parse_rules,
        "tokens": _parse_token_rule,
    }
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in parsers:
            raise InvalidRouteTable(
                f"Route {name!r} has an unknown setting {key!r}. Settings: {', '.join(parsers)}."
            )
        values[key] = parsers[key](f"Route {name!r}, {key}", value)
    if "public" in values:
        values["public"] = (*DEFAULT_PUBLIC_PATHS, *values["public"])
    if "closed" in values:
        values["closed"] = ("/metrics", *values["closed"])
    if default is not None:
        return replace(default, **values)
    if missing := [key for key in ("prefix", "upstreams") if key not in values]:
        raise InvalidRouteTable(
            f"Route {name!r} is new and has no {' and no '.join(missing)}. Example: "
            f'prefix = "/{name}" and upstreams = ["http://127.0.0.1:5010"].'
        )
    return Route(name=name, **values)


def _validate_routes(routes: Iterable[Route]) -> None:
    names_by_prefix: dict[str, str] = {}
    for route in routes:
        label = f"Route {route.name!r}"
        if not _NAME.fullmatch(route.name):
            raise InvalidRouteTable(
                f"{label}: a name consists of lower-case letters, digits and dashes."
            )
        if not _PREFIX.fullmatch(route.prefix):
            raise InvalidRouteTable(
                f"{label}: prefix {route.prefix!r} must start with a slash, end without one and "
                "consist of letters, digits, dots, dashes and underscores. Example: '/reports'."
            )
        if route.onto and not _PREFIX.fullmatch(route.onto):
            raise InvalidRouteTable(
                f"{label}: onto {route.onto!r} must have the form of a prefix. Example: '/v1'."
            )
        if other := names_by_prefix.get(route.prefix):
            raise InvalidRouteTable(
                f"{label}: prefix {route.prefix!r} is already used by route {other!r}. "
                "Use another prefix."
            )
        names_by_prefix[route.prefix] = route.name
        if not route.upstreams:
            raise InvalidRouteTable(f"{label}: upstreams is empty. Add at least one URL.")
        for url in route.upstreams:
            parse_origin(url, label)
        for pattern in (*route.public, *route.closed, *route.long_paths):
            if not pattern.startswith("/") or "*" in pattern[:-1]:
                raise InvalidRouteTable(
                    f"{label}: path {pattern!r} must start with a slash. A star is allowed "
                    "only as the last character, after a slash."
                )


def parse_origin(url: str, label: str = "The route") -> tuple[str, int]:
    """Return host and port of an upstream *url*.

    Raises:
        InvalidRouteTable: *url* is not `http://host:port`. The message starts with *label*.
    """
    example = "Write http://host:port"
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError as error:
        raise InvalidRouteTable(f"{label}: upstream {url!r}: {error}. {example}.") from error
    if parts.scheme != "http" or not parts.hostname:
        raise InvalidRouteTable(
            f"{label}: upstream {url!r} is not a plain http URL. {example}. The gateway does not "
            "use TLS to services."
        )
    if parts.path not in ("", "/") or parts.query or parts.username or parts.fragment:
        raise InvalidRouteTable(
            f"{label}: upstream {url!r} has more than host and port. {example}."
        )
    return parts.hostname, port


def _parse_string(label: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidRouteTable(f"{label} must be a string in quotes.")
    return value.rstrip("/")


def _parse_strings(label: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRouteTable(f'{label} must be a list of strings: ["…", "…"].')
    return tuple(value)


def _parse_seconds(label: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 3600:
        raise InvalidRouteTable(f"{label} must be a number of seconds between 0 and 3600.")
    return float(value)


def _parse_count(label: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRouteTable(f"{label} must be an integer greater than 0.")
    return value


def _parse_size(label: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise InvalidRouteTable(f"{label} must be a number of bytes, or a size such as '10MB'.")
    return int(match[1]) * _SIZE_UNITS[match[2]]


def _parse_rate(label: str, value: object) -> Limit:
    try:
        return Limit.parse(_parse_string(label, value))
    except ValueError as error:
        raise InvalidRouteTable(f"{label}: {error}") from error


def _parse_rules(label: str, value: object) -> tuple[RateLimitRule, ...]:
    if not isinstance(value, list):
        raise InvalidRouteTable(f"{label} must be a list of tables: [[routes.<name>.limits]].")
    return tuple(_parse_rule(label, entry) for entry in value)


def _parse_rule(label: str, entry: object) -> RateLimitRule:
    allowed_keys = {part.name for part in fields(RateLimitRule)}
    if not isinstance(entry, dict) or not {"name", "rate", "by"} <= entry.keys() <= allowed_keys:
        raise InvalidRouteTable(
            f"{label}: a limit needs name, rate and by, and may have paths. Example: "
            'name = "search", rate = "30/minute", by = "caller".'
        )
    if any("*" in path for path in entry.get("paths", [])):
        raise InvalidRouteTable(f"{label}: paths of a limit must be exact, without a star.")
    if entry["by"] not in _SUBJECTS:
        raise InvalidRouteTable(
            f"{label}: by = {entry['by']!r} must be one of {', '.join(_SUBJECTS)}."
        )
    name = _parse_string(label, entry["name"])
    if not _NAME.fullmatch(name):
        raise InvalidRouteTable(
            f"{label}: name {name!r} must consist of lower-case letters, digits and dashes."
        )
    paths = _parse_strings(label, entry.get("paths", []))
    return RateLimitRule(name, _parse_rate(label, entry["rate"]), entry["by"], paths)


def _parse_token_rule(label: str, entry: object) -> TokenLimitRule:
    if not isinstance(entry, dict) or not entry.keys() <= {"rates", "paths", "reserve"}:
        raise InvalidRouteTable(f"{label} may only have rates, paths and reserve.")
    rates: Sequence[str] = _parse_strings(label, entry.get("rates", []))
    return TokenLimitRule(
        rates=tuple(_parse_rate(label, rate) for rate in rates),
        paths=_parse_strings(label, entry.get("paths", [])),
        reserve=_parse_count(label, entry.get("reserve", 1000)),
    )
