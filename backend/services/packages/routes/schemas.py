"""Schemas of requests and responses."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from backend.chassis.web.paging import PageQuery, Rfc3339Datetime
from backend.security import FiniteNumbers, Input
from backend.security.validation import JsonInteger, VisibleText
from backend.services.packages.domain.carrier_codes import CARRIER_CODE
from backend.services.packages.domain.event_schemas import LocationInput, TrackingEventInput
from backend.services.packages.domain.event_times import InvalidTime, parse_event_time
from backend.services.packages.domain.package_fields import PackageFields
from backend.services.packages.domain.tracking_numbers import is_number, normalize
from backend.services.packages.model import EventCode, Status

MAX_EVENTS_PER_REQUEST = 500
_DEFAULT_WAIT_SECONDS = 10.0
_MAX_METADATA_BYTES = 16 * 1024
_NO_TIME = "Write a time as in RFC 3339, such as 2030-01-31T12:00:00Z."


def _parse_time(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(_NO_TIME)  # noqa: TRY004 - pydantic reports it as an invalid field
    try:
        time = parse_event_time(value, None)
    except InvalidTime as error:
        raise ValueError(str(error)) from error
    if time.basis != "offset":
        raise ValueError("The time has no offset. Write it as 2030-01-31T12:00:00Z.")
    return time.utc


def _check_number(text: str) -> str:
    if not is_number(normalize(text)):
        raise ValueError(
            "A tracking number has 4 to 64 letters and digits; spaces, dots and dashes are ignored."
        )
    return text


def _check_carrier(text: str) -> str:
    carrier = text.strip().lower().replace(" ", "_")
    if not CARRIER_CODE.fullmatch(carrier):
        raise ValueError(
            "A carrier has up to 40 lower-case letters, digits, dashes and underscores."
        )
    return carrier


def _check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value)) > _MAX_METADATA_BYTES:
        raise ValueError(f"The metadata has more than {_MAX_METADATA_BYTES} bytes as JSON.")
    return value


UtcTime = Annotated[datetime, BeforeValidator(_parse_time)]
TrackingNumber = Annotated[str, Field(max_length=160), AfterValidator(_check_number)]
Carrier = Annotated[
    str,
    Field(max_length=64, description="Code of a carrier, also one that is not in the list."),
    AfterValidator(_check_carrier),
]
Reference = Annotated[str, StringConstraints(max_length=128), VisibleText]
Tag = Annotated[
    str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True), VisibleText
]
Tags = Annotated[list[Tag], Field(max_length=32)]
Metadata = Annotated[dict[str, Any], FiniteNumbers, AfterValidator(_check_metadata)]
Weight = Annotated[int, Field(ge=0, le=100_000_000), JsonInteger]


class _PackageFieldsInput(Input):
    reference: Reference | None = None
    origin: LocationInput | None = None
    destination: LocationInput | None = None
    service: Annotated[str, Field(max_length=64), VisibleText] | None = None
    weight_g: Weight | None = None
    shipped_at: UtcTime | None = None
    promised_at: UtcTime | None = None
    tags: Tags | None = None
    metadata: Metadata | None = None

    def to_fields(self) -> PackageFields:
        """Return the fields; those that are not set are empty."""
        return PackageFields(**{name: self.get_value(name) for name in _FIELD_NAMES})

    def get_value(self, name: str) -> Any:
        """Return the field *name* as it is stored."""
        value = getattr(self, name)
        if isinstance(value, LocationInput):
            return value.to_location()
        if value is None and name == "tags":
            return ()
        if value is None and name == "metadata":
            return {}
        return value


_FIELD_NAMES = tuple(_PackageFieldsInput.model_fields)


class PackageInput(_PackageFieldsInput):
    """A new package. Without `carrier`, it follows from the number."""

    tracking_number: TrackingNumber
    carrier: Carrier | None = None


class PackageReplacement(_PackageFieldsInput):
    """All fields that clients set; those that are missing become empty.

    `tracking_number` and `carrier` cannot change. They may be given with their present values.
    """

    tracking_number: TrackingNumber | None = None
    carrier: Carrier | None = None

    def to_changes(self) -> Mapping[str, Any]:
        return {name: self.get_value(name) for name in _FIELD_NAMES}


class PackageUpdate(_PackageFieldsInput):
    """The fields to change. Null makes a field empty."""

    def to_changes(self) -> Mapping[str, Any]:
        return {name: self.get_value(name) for name in self.model_fields_set}


class EventsInput(Input):
    events: Annotated[
        list[TrackingEventInput], Field(min_length=1, max_length=MAX_EVENTS_PER_REQUEST)
    ]


SortName = Literal[
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "eta",
    "-eta",
    "promised_at",
    "-promised_at",
    "delivered_at",
    "-delivered_at",
]
StatusName = Literal[
    "pre_transit",
    "in_transit",
    "out_for_delivery",
    "attempted",
    "available_for_pickup",
    "delivered",
    "returning",
    "returned",
    "exception",
    "cancelled",
    "expired",
]


class FilterQuery(Input):
    """Filters of packages, and their order; `-` sorts descending."""

    status: StatusName | None = None
    carrier: Annotated[str, Field(max_length=64)] | None = None
    tracking_number: Annotated[str, Field(max_length=160)] | None = None
    reference: Annotated[str, Field(max_length=128)] | None = None
    origin: (
        Annotated[
            str,
            Field(
                min_length=2,
                max_length=255,
                description="A country (`DE`), a code (`DEFRA`, `FRA`), or a country with a postal "
                "code or name (`DE:60313`).",
            ),
        ]
        | None
    ) = None
    destination: Annotated[str, Field(min_length=2, max_length=255)] | None = None
    late: bool | None = None
    tag: Annotated[str, Field(max_length=64)] | None = None
    q: (
        Annotated[
            str, Field(max_length=200, description="Beginnings of words, all of which must occur.")
        ]
        | None
    ) = None
    created_since: Rfc3339Datetime | None = None
    created_until: Rfc3339Datetime | None = None
    eta_since: Rfc3339Datetime | None = None
    eta_until: Rfc3339Datetime | None = None
    sort: SortName = "-created_at"


class PackageQuery(FilterQuery, PageQuery):
    """Query string of the list of packages."""


class WaitQuery(Input):
    """Seconds to wait for the result; 0 returns at once.

    If too many requests wait, the response is 202 at once.
    """

    wait: Annotated[float, Field(ge=0, le=100)] = _DEFAULT_WAIT_SECONDS


class LocationResponse(BaseModel):
    """A place. `code` is an UN/LOCODE or an IATA code."""

    name: str | None = None
    country: str | None = None
    postal_code: str | None = None
    code: str | None = None
    lat: float | None = None
    lon: float | None = None


class EtaBasisResponse(BaseModel):
    samples: int
    group: str


class EtaResponse(BaseModel):
    """Quantiles of the time of arrival. `late_probability` is null without a promised time."""

    p10: AwareDatetime
    p50: AwareDatetime
    p90: AwareDatetime
    late_probability: float | None
    basis: EtaBasisResponse


class EventSummary(BaseModel):
    """A tracking event. `raw_code` is the code of the carrier, if it is another one."""

    model_config = ConfigDict(use_enum_values=True)

    id: str
    code: EventCode
    occurred_at: AwareDatetime
    location: LocationResponse | None
    reason: str | None
    detail: str | None
    raw_code: str | None


class EventResponse(EventSummary):
    """A tracking event with its origin.

    `time_basis` is `offset` if the source gave one, `place` if the time zone of the place was used,
    and `assumed` if the local time was taken as UTC.
    """

    local_time: str | None
    time_basis: str
    received_at: AwareDatetime | None
    external_id: str | None
    corrects: str | None
    source: str


class PackageResponse(BaseModel):
    """A package. Its status and times are computed from its events.

    `late` is true after a delivery after `promised_at`, or without one when that time has passed.
    """

    model_config = ConfigDict(use_enum_values=True)

    id: str
    tracking_number: str
    carrier: str
    status: Status
    sub_status: str | None
    reference: str | None
    origin: LocationResponse | None
    destination: LocationResponse | None
    service: str | None
    weight_g: int | None
    shipped_at: AwareDatetime | None
    promised_at: AwareDatetime | None
    started_at: AwareDatetime | None
    delivered_at: AwareDatetime | None
    late: bool
    eta: EtaResponse | None
    last_event: EventSummary | None
    event_count: int
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    version: int
    created_by: str
    created_at: AwareDatetime
    updated_at: AwareDatetime

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        return cls.model_validate(value)


class PackagePage(BaseModel):
    items: Sequence[PackageResponse]
    next_cursor: str | None


class EventPage(BaseModel):
    items: Sequence[EventResponse]
    next_cursor: str | None


class EventsResponse(BaseModel):
    """Result of adding events. Repeated events are counted and not stored again."""

    added: int
    duplicates: int
    package: PackageResponse
