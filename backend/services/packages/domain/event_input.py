"""Events as sources report them, and their conversion to tracking events."""

from dataclasses import dataclass
from datetime import datetime

from backend.services.packages.domain.carrier_codes import TranslatedCode, translate
from backend.services.packages.domain.event_times import (
    MAX_FUTURE,
    InvalidTime,
    parse_event_time,
)
from backend.services.packages.domain.status import build_event_id, build_key
from backend.services.packages.model import Location, Reason, TrackingEvent


@dataclass(frozen=True, slots=True)
class EventInput:
    """An event as a source reports it.

    Attributes:
        code: one of ours, or a code of the carrier.
        occurred_at: as in RFC 3339; the offset may be missing.
        translated: the code, if the source knows it better than *code* tells.
        reported_at: time of receipt that a file gives.
        corrects: external id of an earlier event that is wrong.
    """

    code: str
    occurred_at: str
    location: Location | None = None
    reason: Reason | None = None
    detail: str | None = None
    external_id: str | None = None
    sequence: int | None = None
    corrects: str | None = None
    translated: TranslatedCode | None = None
    reported_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventContext:
    """The package of reported events, their source, and the time of their receipt.

    Attributes:
        received_at: None without a check for future times.
    """

    package_id: str
    carrier: str
    number: str
    source: str
    received_at: datetime | None


def build_event(given: EventInput, context: EventContext) -> tuple[TrackingEvent, bool]:
    """Return the tracking event, and False if its code is unknown.

    Raises:
        InvalidTime: the time cannot be read, or is more than 24 hours ahead of the clock.
    """
    translated = given.translated or translate(given.code, context.carrier)
    time = parse_event_time(given.occurred_at, given.location)
    if context.received_at is not None and time.utc > context.received_at + MAX_FUTURE:
        raise InvalidTime("The time is more than 24 hours in the future.")
    key = build_key(
        context.carrier,
        context.number,
        str(translated.code) if translated.is_known else f"note/{given.code}",
        time.utc,
        given.location,
        given.external_id,
    )
    event = TrackingEvent(
        id=build_event_id(context.package_id, key),
        key=key,
        code=translated.code,
        occurred_at=time.utc,
        received_at=context.received_at,
        reported_at=given.reported_at,
        local_time=time.local_time,
        time_basis=time.basis,
        sequence=given.sequence,
        location=given.location,
        reason=given.reason or translated.reason,
        detail=given.detail,
        raw_code=None if given.code == translated.code else given.code,
        external_id=given.external_id,
        corrects=given.corrects,
        source=context.source,
    )
    return event, translated.is_known
