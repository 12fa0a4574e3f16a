"""Payloads of webhooks, and their conversion to reported events.

Unknown fields are ignored: providers add them without notice. The formats follow the public
documentation of the providers and were not confirmed with recorded webhooks.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from backend.services.packages.domain.carrier_codes import translate_status
from backend.services.packages.domain.country_codes import find_country_code
from backend.services.packages.domain.event_input import EventInput
from backend.services.packages.domain.tracking_numbers import is_number, normalize
from backend.services.packages.model import Location, Reason

_MAX_EVENTS: Final = 500
_MAX_CODE_CHARACTERS: Final = 64
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _limit(max_characters: int) -> AfterValidator:
    """Return a validator that cuts off text. A long message must not hide the events."""
    return AfterValidator(lambda text: text[:max_characters])


Text = Annotated[str, _limit(2000)]
Name = Annotated[str, _limit(200)]
PostalCode = Annotated[str, _limit(20)]
# Without a time, or with one that cannot be read, an event is skipped and reported.
Time = Annotated[str, _limit(40)]


class InvalidPayload(Exception):
    """The body of a webhook cannot be read. The message has the reason."""


@dataclass(frozen=True, slots=True)
class Report:
    """Events of one package that a webhook reports. *carrier* is None if it names none."""

    number: str
    carrier: str | None
    events: Sequence[EventInput]


class _Payload(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class _EasyPostLocation(_Payload):
    city: Name | None = None
    state: Name | None = None
    country: Name | None = None
    zip: PostalCode | None = None


class _EasyPostDetail(_Payload):
    message: Text | None = None
    status: Name | None = None
    status_detail: Name | None = None
    datetime: Time | None = None
    tracking_location: _EasyPostLocation | None = None


class _EasyPostTracker(_Payload):
    object: str = "Tracker"
    tracking_code: Annotated[str, Field(min_length=1, max_length=160)]
    carrier: Name | None = None
    tracking_details: Annotated[list[_EasyPostDetail], Field(max_length=_MAX_EVENTS)] | None = None


class _EasyPostEvent(_Payload):
    description: Name


class _EasyPostTrackerEvent(_Payload):
    result: _EasyPostTracker


class _Checkpoint(_Payload):
    checkpoint_time: Time | None = None
    tag: Name | None = None
    subtag: Name | None = None
    message: Text | None = None
    city: Name | None = None
    location: Name | None = None
    zip: PostalCode | None = None
    postal_code: PostalCode | None = None
    country_iso2: Name | None = None
    country_iso3: Name | None = None
    country_region: Name | None = None


class _AfterShipTracking(_Payload):
    tracking_number: Annotated[str, Field(min_length=1, max_length=160)]
    slug: Name | None = None
    checkpoints: Annotated[list[_Checkpoint], Field(max_length=_MAX_EVENTS)] | None = None


class _AfterShipEvent(_Payload):
    msg: _AfterShipTracking


class _StandardPlace(_Payload):
    name: Name | None = None
    country: Annotated[str, Field(pattern="^[A-Za-z]{2}$")] | None = None
    postal_code: Annotated[str, Field(max_length=20)] | None = None
    code: Annotated[str, Field(pattern="^[A-Za-z0-9]{3,5}$")] | None = None
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None


class _StandardItem(_Payload):
    code: Annotated[str, Field(min_length=1, max_length=64)]
    occurred_at: Annotated[str, Field(max_length=40)]
    location: _StandardPlace | None = None
    reason: Reason | None = None
    detail: Text | None = None
    external_id: Annotated[str, Field(max_length=200)] | None = None
    sequence: Annotated[int, Field(ge=0, le=2_000_000_000)] | None = None
    corrects: Annotated[str, Field(max_length=200)] | None = None


class _StandardData(_Payload):
    tracking_number: Annotated[str, Field(min_length=1, max_length=160)]
    carrier: Name | None = None
    events: Annotated[list[_StandardItem], Field(max_length=_MAX_EVENTS)] = []


class _StandardEvent(_Payload):
    data: _StandardData


def read_payload(source: str, body: bytes) -> Report | None:
    """Return what the webhook reports, or None if it is not about the events of a package.

    Raises:
        InvalidPayload: the body is not what *source* sends.
    """
    if b"\\u0000" in body:  # databases end strings at it
        raise InvalidPayload("The body has a NUL character.")
    try:
        report = _READERS[source](body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the body"
        raise InvalidPayload(f"{field}: {first['msg']}"[:400]) from None
    if report is not None and not is_number(normalize(report.number)):
        raise InvalidPayload("The tracking number has not 4 to 64 letters and digits.")
    return report


def _read_easypost(body: bytes) -> Report | None:
    event = _EasyPostEvent.model_validate_json(body)
    if not event.description.startswith("tracker."):
        return None
    tracker = _EasyPostTrackerEvent.model_validate_json(body).result
    events = [
        EventInput(
            code=_build_code(each.status),
            occurred_at=each.datetime or "",
            location=_build_easypost_place(each.tracking_location),
            detail=each.message or None,
            # A detail alone can be another one than the status, such as "unknown" of a delivery.
            translated=translate_status(
                "easypost", f"{each.status}/{each.status_detail}", each.status or ""
            ),
        )
        for each in tracker.tracking_details or ()
    ]
    return Report(tracker.tracking_code, _clean_carrier(tracker.carrier), events)


def _read_aftership(body: bytes) -> Report | None:
    tracking = _AfterShipEvent.model_validate_json(body).msg
    events = [
        EventInput(
            code=_build_code(each.subtag or each.tag),
            occurred_at=_add_midnight(each.checkpoint_time or ""),
            location=_build_place(
                each.city or each.location,
                each.country_iso2 or each.country_iso3 or each.country_region,
                each.zip or each.postal_code,
            ),
            detail=each.message or None,
            translated=translate_status("aftership", each.subtag or "", each.tag or ""),
        )
        for each in tracking.checkpoints or ()
    ]
    return Report(tracking.tracking_number, _clean_carrier(tracking.slug), events)


def _read_standard(body: bytes) -> Report | None:
    data = _StandardEvent.model_validate_json(body).data
    events = [
        EventInput(
            code=each.code,
            occurred_at=each.occurred_at,
            location=Location(**each.location.model_dump()) if each.location else None,
            reason=each.reason,
            detail=each.detail,
            external_id=each.external_id,
            sequence=each.sequence,
            corrects=each.corrects,
        )
        for each in data.events
    ]
    return Report(data.tracking_number, _clean_carrier(data.carrier), events)


_READERS: Final[Mapping[str, Callable[[bytes], Report | None]]] = {
    "easypost": _read_easypost,
    "aftership": _read_aftership,
    "standard": _read_standard,
}


def _build_code(status: str | None) -> str:
    """Return the raw code of a status. Providers leave it out if they know nothing."""
    return (status or "unknown")[:_MAX_CODE_CHARACTERS]


def _add_midnight(time: str) -> str:
    """Return *time*, with the beginning of the day if it is a date."""
    return f"{time}T00:00:00" if _DATE.fullmatch(time) else time


def _build_easypost_place(place: _EasyPostLocation | None) -> Location | None:
    if place is None:
        return None
    return _build_place(place.city, place.country, place.zip)


def _build_place(name: str | None, country: str | None, postal_code: str | None) -> Location | None:
    # Providers also write names of countries, which identify no place in our data.
    code = find_country_code(country)
    place = Location(name=name or None, country=code, postal_code=postal_code or None)
    return place if place.to_json() else None


def _clean_carrier(name: str | None) -> str | None:
    """Return the code of a carrier that a provider names, such as `ups` for `UPS`."""
    if not name:
        return None
    code = "".join(char if char.isalnum() else "_" for char in name.strip().lower())
    carrier = code.strip("_")[:40] or None
    return _CARRIERS.get(carrier, carrier) if carrier and carrier.isascii() else None


# Names of providers for carriers of couriers.json.
_CARRIERS: Final = {
    "amazonshipping": "amazon",
    "dhlecs": "dhl",
    "dhl_global_mail": "dhl",
    "dhlexpress": "dhl",
    "dhl_express": "dhl",
    "dhlecommerce": "dhl",
    "canadapost": "canada_post",
    "canada_post": "canada_post",
    "fedexdefault": "fedex",
    "fedex_ground": "fedex",
    "fedexground": "fedex",
    "lasershipv2": "lasership",
    "ontracv3": "ontrac",
    "upsdap": "ups",
    "upsmailinnovations": "ups",
}
