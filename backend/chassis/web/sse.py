"""Server-sent events: format them, and keep the line open while there are none."""

import json
import queue
from collections.abc import Iterator

HEARTBEAT_SECONDS = 10.0
HEARTBEAT = b": still here\n\n"


def event(name: str | None, data: object, number: int | None = None) -> bytes:
    """One event of the HTML standard's event stream format."""
    return line(name, json.dumps(data, ensure_ascii=False, default=str), number)


def line(name: str | None, data: str, number: int | None = None) -> bytes:
    """The same for *data* that is a line of JSON already."""
    lines = [f"id: {number}"] if number is not None else []
    if name is not None:
        lines.append(f"event: {name}")
    lines.append(f"data: {data}")
    return ("\n".join(lines) + "\n\n").encode()


def with_heartbeat(
    events: "queue.Queue[bytes | None]", seconds: float = HEARTBEAT_SECONDS
) -> Iterator[bytes]:
    """What comes out of *events* until None; a comment line when it is silent for *seconds*.

    A client that has gone is noticed at the next write, so silence must not last.
    """
    while True:
        try:
            chunk = events.get(timeout=seconds)
        except queue.Empty:
            yield HEARTBEAT
            continue
        if chunk is None:
            return
        yield chunk
