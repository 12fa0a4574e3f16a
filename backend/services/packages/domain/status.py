"""Status of a package as a pure function of its events.

The events are sorted by time, then by the carrier's sequence, then by `received_at` where the
source gave it, then by code and duplicate key. So the same events in any order, and with any
repetitions, give the same state.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from backend.services.packages.model import (
    CLOSED_STATUSES,
    EventCode,
    Location,
    PackageState,
    Status,
    TrackingEvent,
)

_STATUS_BY_CODE: Final[Mapping[EventCode, Status]] = {
    EventCode.ANNOUNCED: Status.PRE_TRANSIT,
    EventCode.PICKED_UP: Status.IN_TRANSIT,
    EventCode.ACCEPTED: Status.IN_TRANSIT,
    EventCode.DEPARTED: Status.IN_TRANSIT,
    EventCode.ARRIVED: Status.IN_TRANSIT,
    EventCode.CUSTOMS_HELD: Status.EXCEPTION,
    EventCode.CUSTOMS_RELEASED: Status.IN_TRANSIT,
    EventCode.OUT_FOR_DELIVERY: Status.OUT_FOR_DELIVERY,
    EventCode.DELIVERY_ATTEMPTED: Status.ATTEMPTED,
    EventCode.AVAILABLE_FOR_PICKUP: Status.AVAILABLE_FOR_PICKUP,
    EventCode.DELIVERED: Status.DELIVERED,
    EventCode.EXCEPTION: Status.EXCEPTION,
    EventCode.RETURN_STARTED: Status.RETURNING,
    EventCode.RETURNED: Status.RETURNED,
    EventCode.CANCELLED: Status.CANCELLED,
    EventCode.EXPIRED: Status.EXPIRED,
    EventCode.LOST: Status.EXCEPTION,
}
# Codes that name no progress: the status stays, `delayed` becomes the sub status.
_KEEPING_CODES: Final = frozenset({EventCode.DELAYED, EventCode.NOTE})
_RETURN_CODES: Final = frozenset({EventCode.RETURN_STARTED, EventCode.RETURNED})
_ORDER: Final = {code: index for index, code in enumerate(EventCode)}
_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)


def build_key(
    carrier: str,
    number: str,
    code: str,
    occurred_at: datetime,
    location: Location | None,
    external_id: str | None,
) -> str:
    """Return the duplicate key of an event.

    It is the external id, or else a digest of carrier, number, code, second and place.
    """
    if external_id:
        return f"id:{external_id}"
    second = occurred_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    place = location.key if location else ""
    parts = "\0".join((carrier, number, code, second, place))
    return f"sha256:{hashlib.sha256(parts.encode()).hexdigest()}"


def build_event_id(package_id: str, key: str) -> str:
    """Return the id of the event of *package_id* with this duplicate key."""
    digest = hashlib.sha256("\0".join((package_id, key)).encode()).hexdigest()
    return f"evt_{digest[:32]}"


def get_content(event: TrackingEvent) -> str:
    """Return what the source reported, as text that orders different contents of one key."""
    location = event.location.to_json() if event.location else None
    fields = (
        event.occurred_at.astimezone(UTC).isoformat(),
        event.code,
        event.sequence if event.sequence is not None else -1,
        event.reason,
        event.raw_code,
        location,
        event.detail,
        event.corrects,
        event.local_time,
    )
    return json.dumps(fields, sort_keys=True)


def select_content(known: TrackingEvent, repeated: TrackingEvent) -> TrackingEvent:
    """Return the one of two events with the same key that counts, whichever arrived first."""
    first, second = _get_choice_key(known), _get_choice_key(repeated)
    return repeated if second < first else known


def sort_events(events: Iterable[TrackingEvent]) -> list[TrackingEvent]:
    """Return the different events without corrected ones, in the order in which they count."""
    by_key: dict[str, TrackingEvent] = {}
    for event in events:
        known = by_key.get(event.key)
        by_key[event.key] = event if known is None else select_content(known, event)
    corrected = _find_corrected(by_key)
    return sorted(
        (event for key, event in by_key.items() if key not in corrected), key=_get_sort_key
    )


def compute_state(events: Iterable[TrackingEvent]) -> PackageState:
    """Return the state of the package with these *events*, in any order and with repetitions."""
    events = list(events)
    counted = sort_events(events)
    status, sub_status = Status.PRE_TRANSIT, None
    delivered_at = started_at = None
    is_returning = False
    for event in counted:
        if started_at is None and _is_with_carrier(event):
            started_at = event.occurred_at
        following = _apply(status, event, is_returning=is_returning)
        if following is None or event.code == EventCode.NOTE:
            continue
        if following == Status.DELIVERED and status != Status.DELIVERED:
            delivered_at = event.occurred_at
        status = following
        is_returning |= status == Status.RETURNING
        sub_status = _get_sub_status(event)
    return PackageState(
        status=status,
        sub_status=sub_status,
        delivered_at=delivered_at if status == Status.DELIVERED else None,
        started_at=started_at,
        last_event=counted[-1] if counted else None,
        event_count=len({event.key for event in events}),
    )


def _find_corrected(events: Mapping[str, TrackingEvent]) -> Collection[str]:
    """Return the keys of the events that others declare wrong.

    A correction that is itself declared wrong corrects nothing. Events that correct each other in
    a circle are all wrong; an event cannot correct itself.
    """
    open_corrections: dict[str, set[str]] = {}
    for key, event in events.items():
        if not event.corrects:
            continue
        target = f"id:{event.corrects}"
        if target in events and target != key:
            open_corrections.setdefault(target, set()).add(key)
    corrected: set[str] = set()
    valid = events.keys() - open_corrections.keys()
    while valid and open_corrections:
        found = {key for key, corrections in open_corrections.items() if corrections & valid}
        for key in found:
            del open_corrections[key]
        corrected |= found
        for corrections in open_corrections.values():
            corrections -= found
        valid = {key for key, corrections in open_corrections.items() if not corrections}
        for key in valid:
            del open_corrections[key]
    return corrected | open_corrections.keys()


def _apply(status: Status, event: TrackingEvent, *, is_returning: bool) -> Status | None:
    """Return the status after *event*, or None if the event does not count."""
    code = event.code
    if status in CLOSED_STATUSES and code not in _RETURN_CODES:
        return None
    if status == Status.RETURNED:
        return None
    if code in _KEEPING_CODES:
        return status
    following = _STATUS_BY_CODE[code]
    if is_returning:
        # The way back has the same scans and problems, and ends with a delivery to the sender.
        if following == Status.DELIVERED:
            return Status.RETURNED
        if following in (Status.PRE_TRANSIT, Status.IN_TRANSIT, Status.OUT_FOR_DELIVERY):
            return Status.RETURNING
    if following == Status.PRE_TRANSIT and status != Status.PRE_TRANSIT:
        # An announcement says nothing about a package that moves.
        return None
    return following


def _is_with_carrier(event: TrackingEvent) -> bool:
    status = _STATUS_BY_CODE.get(event.code)
    return status not in (None, Status.PRE_TRANSIT, Status.CANCELLED, Status.EXPIRED)


def _get_sub_status(event: TrackingEvent) -> str | None:
    if event.reason is not None:
        return str(event.reason)
    status = _STATUS_BY_CODE.get(event.code)
    return None if status is not None and str(status) == str(event.code) else str(event.code)


def _get_sort_key(event: TrackingEvent) -> tuple[datetime, int, datetime, int, str]:
    sequence = -1 if event.sequence is None else event.sequence
    reported_at = event.reported_at or _NO_TIME
    return (event.occurred_at, sequence, reported_at, _ORDER[event.code], event.key)


def _get_choice_key(event: TrackingEvent) -> tuple[datetime, str]:
    return (event.reported_at or _NO_TIME, get_content(event))
