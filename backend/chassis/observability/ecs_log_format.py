"""Log lines with the field names of the Elastic Common Schema (`LOG_FORMAT=ecs`).

Names with dots are keys of one flat object, which Elasticsearch reads like nested objects. Fields
that the schema does not have are `labels`, whose values are text. Only the standard library is
imported: the supervisor uses this module before any package is installed.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

ECS_VERSION: Final = "8.11.0"

# The schema for log files requires the first three in this order.
_NAMES: Final[dict[str, str]] = {
    "timestamp": "@timestamp",
    "level": "log.level",
    "message": "message",
    "service": "service.name",
    "logger": "log.logger",
    "request_id": "http.request.id",
    "trace_id": "trace.id",
    "span_id": "span.id",
    "method": "http.request.method",
    "path": "url.path",
    "status": "http.response.status_code",
    "bytes": "http.response.body.bytes",
    "remote": "client.address",
    "user": "user.id",
    "user_id": "user.id",
    "actor_id": "user.id",
    "tenant_id": "organization.id",
    "action": "event.action",
    "reason": "event.reason",
    "error": "error.type",
    "error_type": "error.type",
    "error_message": "error.message",
    "exception": "error.stack_trace",
}
_FIRST_NAMES: Final = ("timestamp", "level", "message")
_NUMBERS: Final = frozenset({"status", "bytes"})
_DURATION: Final = "took_ms"
_NANOSECONDS_PER_MILLISECOND: Final = 1_000_000


def to_ecs(line: Mapping[str, object]) -> dict[str, object]:
    """Return *line*, which has the names of `LOG_FORMAT=json`, with the names of the schema.

    Values without meaning (None, empty text) are left out.
    """
    ecs: dict[str, object] = {_NAMES[name]: line[name] for name in _FIRST_NAMES if name in line}
    ecs["ecs.version"] = ECS_VERSION
    for name, value in line.items():
        if name in _FIRST_NAMES or value is None or value == "":
            continue
        if name == _DURATION and isinstance(value, int | float):
            ecs["event.duration"] = round(value * _NANOSECONDS_PER_MILLISECOND)
        elif name in _NUMBERS and isinstance(value, int):
            ecs[_NAMES[name]] = value
        elif name in _NAMES and name not in _NUMBERS:
            ecs[_NAMES[name]] = str(value)
        else:
            ecs[f"labels.{name}"] = str(value)
    return ecs


def from_ecs(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return *line* with the names of `LOG_FORMAT=json`, as far as readers of logs need them.

    A line in that format is returned unchanged.
    """
    if "@timestamp" not in line:
        return dict(line)
    # The first name of several with the same translation is used.
    names = {ecs_name: name for name, ecs_name in reversed(_NAMES.items())}
    return {names.get(ecs_name, ecs_name): value for ecs_name, value in line.items()}


def parse_log_line(text: str) -> dict[str, Any]:
    """Return the fields of a log line in either format, with the names of `LOG_FORMAT=json`.

    Returns:
        An empty dictionary if *text* is not a JSON object.
    """
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return from_ecs(line) if isinstance(line, dict) else {}
