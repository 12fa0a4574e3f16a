"""Findings about the order and the places of a package's events, without any history.

`assumed` times take no part in findings about times and order.
"""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from math import asin, cos, radians, sin, sqrt
from typing import Final

from backend.services.packages.domain.prediction.milestones import hours_between
from backend.services.packages.domain.statements import create_statement
from backend.services.packages.model import (
    EventCode,
    Finding,
    Location,
    Severity,
    TrackingEvent,
)

_EARTH_RADIUS_KM: Final = 6371.0
# Faster than any freight aircraft, door to door.
_MAX_KM_PER_HOUR: Final = 1100.0
_MIN_JUMP_KM: Final = 50.0
_CLOCK_TOLERANCE: Final = timedelta(minutes=5)

# A carrier must have the package before these events.
_HANDOVERS: Final = frozenset({EventCode.PICKED_UP, EventCode.ACCEPTED})
_MOVES: Final = frozenset(
    {
        EventCode.DEPARTED,
        EventCode.ARRIVED,
        EventCode.OUT_FOR_DELIVERY,
        EventCode.AVAILABLE_FOR_PICKUP,
        EventCode.DELIVERED,
    }
)
_CUSTOMS: Final = frozenset({EventCode.CUSTOMS_HELD, EventCode.CUSTOMS_RELEASED})
_NEUTRAL: Final = frozenset(
    {EventCode.NOTE, EventCode.DELAYED, EventCode.EXCEPTION, EventCode.ANNOUNCED}
)
_RETURN_CODES: Final = frozenset({EventCode.RETURN_STARTED, EventCode.RETURNED})
# These come at most once on the way to the receiver.
_SINGLE: Final = frozenset(
    {EventCode.PICKED_UP, EventCode.ACCEPTED, EventCode.DELIVERED, EventCode.CANCELLED}
)


def find_structural(
    events: Sequence[TrackingEvent], shipped_at: datetime | None = None
) -> list[Finding]:
    """Return what is contradictory or missing in *events*, which are in order (`sort_events`)."""
    events = [event for event in events if event.code != EventCode.NOTE]
    timed = [event for event in events if event.time_basis != "assumed"]
    return [
        *_find_impossible_times(timed, shipped_at),
        *_find_repeats(events),
        *_find_wrong_order(timed),
        *_find_missing(timed),
        *_find_jumps(timed),
    ]


def find_unknown_lane(
    lane: str | None, known: int, events: Sequence[TrackingEvent]
) -> list[Finding]:
    """Return a finding if the tenant has earlier packages, but none of this lane.

    Args:
        lane: keys of origin and destination, None if one is unknown.
        known: number of earlier packages of the lane.
    """
    if lane is None or known or not events:
        return []
    origin, _, destination = lane.partition(">")
    return [
        Finding(
            "unknown_lane",
            Severity.INFO,
            create_statement("unknown_lane", origin=origin, destination=destination),
            (events[0].id,),
            {"value": lane, "samples": 0, "group": f"lane {lane}"},
        )
    ]


def _find_impossible_times(
    events: Sequence[TrackingEvent], shipped_at: datetime | None
) -> list[Finding]:
    findings = []
    for event in events:
        received = event.reported_at or event.received_at
        if received is not None and event.occurred_at > received + _CLOCK_TOLERANCE:
            findings.append(
                Finding(
                    "impossible_time",
                    Severity.WARNING,
                    create_statement("reported_before", code=event.code),
                    (event.id,),
                    {
                        "value": event.occurred_at.isoformat(),
                        "expected": f"until {received.isoformat()}",
                    },
                )
            )
    if shipped_at is not None:
        findings += [
            Finding(
                "impossible_time",
                Severity.WARNING,
                create_statement("before_shipping", code=event.code),
                (event.id,),
                {
                    "value": event.occurred_at.isoformat(),
                    "expected": f"from {shipped_at.isoformat()}",
                },
            )
            for event in events
            if event.code in _MOVES and event.occurred_at < shipped_at - timedelta(days=1)
        ]
    return findings


def _find_repeats(events: Sequence[TrackingEvent]) -> list[Finding]:
    """Find codes that can come once, and moves that come twice in a row at the same place."""
    findings = []
    seen: dict[EventCode, TrackingEvent] = {}
    last_move: TrackingEvent | None = None
    for event in events:
        if event.code in _RETURN_CODES:
            seen, last_move = {}, None
            continue
        earlier = seen.get(event.code) if event.code in _SINGLE else None
        if (
            earlier is None
            and last_move is not None
            and event.code in (EventCode.DEPARTED, EventCode.ARRIVED)
            and last_move.code == event.code
            and _get_place(last_move) == _get_place(event)
        ):
            earlier = last_move
        if earlier is not None:
            findings.append(
                Finding(
                    "repeat",
                    Severity.WARNING,
                    create_statement("reported_twice", code=event.code),
                    (earlier.id, event.id),
                    {"value": 2, "expected": 1},
                )
            )
        seen.setdefault(event.code, event)
        if event.code not in _NEUTRAL:
            last_move = event
    return findings


def _find_wrong_order(events: Sequence[TrackingEvent]) -> list[Finding]:
    findings = []
    end: TrackingEvent | None = None
    first_move: TrackingEvent | None = None
    for event in events:
        if event.code in _RETURN_CODES:
            break
        if end is not None and event.code in (_MOVES | _HANDOVERS) - {end.code}:
            findings.append(_describe_order(end, event))
        if first_move is not None and event.code in _HANDOVERS and end is None:
            findings.append(_describe_order(first_move, event))
        if event.code == EventCode.ANNOUNCED and (first_move or end):
            before = first_move or end
            if before is not None:
                findings.append(_describe_order(before, event))
        if event.code == EventCode.DELIVERED and end is None:
            end = event
        if event.code in _MOVES and first_move is None:
            first_move = event
    findings += _find_swapped_customs(events)
    return findings


def _find_swapped_customs(events: Sequence[TrackingEvent]) -> list[Finding]:
    findings = []
    released: TrackingEvent | None = None
    was_held = False
    for event in events:
        if event.code == EventCode.CUSTOMS_RELEASED and not was_held:
            released = event
        if event.code == EventCode.CUSTOMS_HELD:
            if released is not None and not was_held:
                findings.append(_describe_order(released, event))
            was_held = True
    return findings


def _describe_order(first: TrackingEvent, second: TrackingEvent) -> Finding:
    return Finding(
        "wrong_order",
        Severity.WARNING,
        create_statement("wrong_order", second=second.code, first=first.code),
        (first.id, second.id),
        {"value": f"{first.code}, {second.code}", "expected": f"{second.code}, {first.code}"},
    )


def _find_missing(events: Sequence[TrackingEvent]) -> list[Finding]:
    """Find departures without arrival, arrivals without departure and missing handovers."""
    findings = []
    way = [event for event in events if event.code in _MOVES | _HANDOVERS | _CUSTOMS]
    has_handover = any(event.code in _HANDOVERS for event in way)
    if way and not has_handover:
        findings.append(_describe_missing(EventCode.ACCEPTED, None, way[0]))
    for before, after in itertools.pairwise(way):
        missing = _get_missing(before, after)
        if missing is not None:
            findings.append(_describe_missing(missing, before, after))
        if before.code == EventCode.DELIVERED:
            break
    return findings


def _get_missing(before: TrackingEvent, after: TrackingEvent) -> EventCode | None:
    pair = (before.code, after.code)
    if pair in (
        (EventCode.DEPARTED, EventCode.OUT_FOR_DELIVERY),
        (EventCode.DEPARTED, EventCode.AVAILABLE_FOR_PICKUP),
        (EventCode.DEPARTED, EventCode.DELIVERED),
    ):
        return EventCode.ARRIVED
    is_elsewhere = _get_place(before) != _get_place(after)
    if (
        before.code == EventCode.DEPARTED
        and after.code in _CUSTOMS | {EventCode.DEPARTED}
        and is_elsewhere
    ):
        return EventCode.ARRIVED
    if pair == (EventCode.ARRIVED, EventCode.ARRIVED) and is_elsewhere:
        return EventCode.DEPARTED
    if before.code in _HANDOVERS | _CUSTOMS and after.code == EventCode.ARRIVED and is_elsewhere:
        return EventCode.DEPARTED
    return None


def _describe_missing(
    code: EventCode, before: TrackingEvent | None, after: TrackingEvent
) -> Finding:
    statement = (
        create_statement("missing_between", code=code, before=before.code, after=after.code)
        if before
        else create_statement("missing_before", code=code, after=after.code)
    )
    return Finding(
        "missing_milestone",
        Severity.INFO,
        statement,
        (after.id,) if before is None else (before.id, after.id),
        {"value": None, "expected": str(code)},
    )


def _find_jumps(events: Sequence[TrackingEvent]) -> list[Finding]:
    """Find pairs of events whose places are too far apart for the time between them."""
    findings = []
    placed = [event for event in events if _has_coordinates(event.location)]
    for before, after in itertools.pairwise(placed):
        distance = measure_km(before.location, after.location)
        hours = max(0.0, hours_between(before.occurred_at, after.occurred_at))
        possible = _MIN_JUMP_KM + hours * _MAX_KM_PER_HOUR
        if distance > possible:
            findings.append(
                Finding(
                    "jump",
                    Severity.WARNING,
                    create_statement(
                        "jump",
                        distance=round(distance),
                        before=before.code,
                        after=after.code,
                        hours=hours,
                    ),
                    (before.id, after.id),
                    {"value": round(distance, 1), "expected": f"at most {round(possible)} km"},
                )
            )
    return findings


def measure_km(first: Location | None, second: Location | None) -> float:
    """Return the great-circle distance of two places with coordinates; 0 without them."""
    if first is None or second is None:
        return 0.0
    if first.lat is None or first.lon is None or second.lat is None or second.lon is None:
        return 0.0
    lat1, lat2 = radians(first.lat), radians(second.lat)
    half = sin((lat2 - lat1) / 2) ** 2
    half += cos(lat1) * cos(lat2) * sin(radians(second.lon - first.lon) / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * asin(min(1.0, sqrt(half)))


def _has_coordinates(location: Location | None) -> bool:
    return location is not None and location.lat is not None and location.lon is not None


def _get_place(event: TrackingEvent) -> str:
    return event.location.key if event.location else ""
