"""Server-sent events: formatting, positions, and heartbeats while there are no events."""

import json
import queue
from collections.abc import Iterator

from flask import request

from backend.chassis.web.problems import ServiceError

HEARTBEAT_SECONDS = 10.0
# A comment line, which clients ignore.
HEARTBEAT = b": still here\n\n"


class InvalidLastEventId(ServiceError):
    """The header Last-Event-ID is not the id of an event."""

    status = 400
    code = "invalid_last_event_id"
    title = "Invalid Last-Event-ID"

    def __init__(self) -> None:
        super().__init__(
            "Last-Event-ID must be the id of a received event, a non-negative integer."
        )


def get_last_event_id(max_digits: int) -> int | None:
    """Return the header Last-Event-ID of the current request, or None if it is missing.

    Raises:
        InvalidLastEventId: it is not an integer of at most *max_digits* digits.
    """
    value = request.headers.get("Last-Event-ID")
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) <= max_digits):
        raise InvalidLastEventId
    return int(value)


def format_event(name: str | None, data: object, number: int | None = None) -> bytes:
    """Return one event in the event stream format of the HTML standard.

    Args:
        name: type of the event; None for the default type, "message".
        data: serialised as JSON.
        number: id of the event, which a client sends as Last-Event-ID when it reconnects.
    """
    return format_json_event(name, json.dumps(data, ensure_ascii=False, default=str), number)


def format_json_event(name: str | None, data: str, number: int | None = None) -> bytes:
    """Return one event like `format_event`, for *data* that is already a line of JSON."""
    lines = [f"id: {number}"] if number is not None else []
    if name is not None:
        lines.append(f"event: {name}")
    lines.append(f"data: {data}")
    return ("\n".join(lines) + "\n\n").encode()


def with_heartbeat(
    events: "queue.Queue[bytes | None]", interval_seconds: float = HEARTBEAT_SECONDS
) -> Iterator[bytes]:
    """Yield *events* until None, and a heartbeat after each *interval_seconds* without an event.

    A closed connection is noticed only by writing to it.
    """
    while True:
        try:
            chunk = events.get(timeout=interval_seconds)
        except queue.Empty:
            yield HEARTBEAT
            continue
        if chunk is None:
            return
        yield chunk
