"""`python -m backend.services.packages replay FILE`: the packages that events result in.

FILE has a JSON object in each line: an event as `POST /packages/{id}/events` takes it. A line may
also name its package by `tracking_number` and `carrier`, and its time of receipt by `received_at`.
Without a name, all events belong to one package.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backend.services.packages.domain import json_views
from backend.services.packages.domain.event_input import EventContext, build_event
from backend.services.packages.domain.event_schemas import TrackingEventInput
from backend.services.packages.domain.event_times import InvalidTime, parse_event_time
from backend.services.packages.domain.import_errors import InvalidLine, parse_json
from backend.services.packages.domain.status import compute_state, sort_events
from backend.services.packages.domain.tracking_numbers import identify, normalize
from backend.services.packages.model import TrackingEvent

_MAX_LINE_CHARACTERS = 100_000
Key = tuple[str, str]


def main(arguments: Sequence[str]) -> int:
    """Print a JSON object for each package. Returns 1 if lines were invalid."""
    parser = argparse.ArgumentParser(prog="python -m backend.services.packages replay")
    parser.add_argument("file", metavar="FILE", help="events as JSON lines, or - for stdin")
    parser.add_argument("--events", action="store_true", help="print the events too, in order")
    options = parser.parse_args(arguments)
    if options.file == "-":
        packages, errors = read_events(sys.stdin)
    else:
        try:
            with Path(options.file).open(encoding="utf-8-sig", errors="replace") as lines:
                packages, errors = read_events(lines)
        except OSError as error:
            sys.stderr.write(f"{options.file} cannot be read: {error.strerror}.\n")
            return 1
    for message in errors:
        sys.stderr.write(f"{message}\n")
    for (carrier, number), events in sorted(packages.items()):
        package = build_package(carrier, number, events, with_events=options.events)
        sys.stdout.write(json.dumps(package) + "\n")
    return 1 if errors else 0


def read_events(lines: Iterable[str]) -> tuple[dict[Key, list[TrackingEvent]], list[str]]:
    """Return the events by carrier and number of the package, and a message for each bad line."""
    packages: dict[Key, list[TrackingEvent]] = defaultdict(list)
    errors: list[str] = []
    for position, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            key, event = _read_line(line)
        except ValueError as error:
            errors.append(f"line {position}: {error}")
        else:
            packages[key].append(event)
    return packages, errors


def build_package(
    carrier: str, number: str, events: Sequence[TrackingEvent], *, with_events: bool = False
) -> dict[str, Any]:
    """Return the package of *events* as a JSON object."""
    package: dict[str, Any] = {
        "tracking_number": number or None,
        "carrier": carrier or None,
        **json_views.state_to_json(compute_state(events)),
    }
    if with_events:
        package["events"] = [json_views.event_to_json(event) for event in sort_events(events)]
    return package


def _read_line(line: str) -> tuple[Key, TrackingEvent]:
    if len(line) > _MAX_LINE_CHARACTERS:
        raise ValueError(f"The line has more than {_MAX_LINE_CHARACTERS} characters.")
    try:
        content = parse_json(line, "line")
    except InvalidLine as error:
        raise ValueError(f"{error}") from None
    if not isinstance(content, dict):
        raise ValueError("The line is not a JSON object.")  # noqa: TRY004 - reported with its line
    number = normalize(_take_text(content, "tracking_number"))
    carrier = _take_text(content, "carrier").lower()
    received_at = _take_text(content, "received_at")
    if number and not carrier:
        carrier = identify(number).carrier or ""
    try:
        given = TrackingEventInput.model_validate_json(json.dumps(content)).to_event_input()
        if received_at:
            time = parse_event_time(received_at, None)
            given = replace(given, reported_at=time.utc)
        context = EventContext(f"{carrier}:{number}", carrier, number, "file", None)
        event, _ = build_event(given, context)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the line"
        raise ValueError(f"{field}: {first['msg']}") from None
    except InvalidTime as error:
        raise ValueError(f"{error}") from error
    return (carrier, number), event


def _take_text(content: dict[str, Any], name: str) -> str:
    """Remove a text or an integer from *content* and return it as text, "" if it is missing."""
    value = content.pop(name, None)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name}: Write a text.")  # noqa: TRY004 - reported with its line
    return str(value)
