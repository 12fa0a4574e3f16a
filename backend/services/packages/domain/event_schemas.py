"""Schemas of tracking events and places, for requests, imports and files."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, field_validator

from backend.security import Input
from backend.security.validation import JsonInteger, VisibleText
from backend.services.packages.domain.event_input import EventInput
from backend.services.packages.domain.event_times import InvalidTime, parse_event_time
from backend.services.packages.model import Location, Reason

MAX_SEQUENCE: Final = 2_000_000_000


class LocationInput(Input):
    """A place. At least one field is set."""

    name: Annotated[str, Field(max_length=200), VisibleText] | None = None
    country: Annotated[str, Field(pattern="^[A-Za-z]{2}$")] | None = None
    postal_code: Annotated[str, Field(max_length=20)] | None = None
    code: Annotated[str, Field(pattern="^[A-Za-z0-9]{3,5}$")] | None = None
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None

    def to_location(self) -> Location | None:
        """Return the place, or None if no field is set."""
        place = Location(
            name=self.name,
            country=self.country and self.country.upper(),
            postal_code=self.postal_code,
            code=self.code and self.code.upper(),
            lat=self.lat,
            lon=self.lon,
        )
        return place if place.to_json() else None


class TrackingEventInput(Input):
    """A tracking event.

    `code` is one of ours, or a code of the carrier; an unknown code is stored as a note. A time
    without an offset is taken in the time zone of the place.
    """

    code: Annotated[str, StringConstraints(min_length=1, max_length=64), VisibleText]
    occurred_at: Annotated[str, Field(max_length=40)]
    location: LocationInput | None = None
    reason: (
        Literal[
            "damaged",
            "missorted",
            "address",
            "refused",
            "absent",
            "closed",
            "customs_documents",
            "customs_duties",
            "weather",
            "security",
            "capacity",
            "other",
        ]
        | None
    ) = None
    detail: Annotated[str, Field(max_length=2000)] | None = None
    external_id: Annotated[str, Field(min_length=1, max_length=200), VisibleText] | None = None
    sequence: Annotated[int, Field(ge=0, le=MAX_SEQUENCE), JsonInteger] | None = None
    corrects: (
        Annotated[
            str,
            Field(max_length=200, description="External id of an earlier event that is wrong."),
        ]
        | None
    ) = None

    @field_validator("occurred_at")
    @classmethod
    def _check_time(cls, value: str) -> str:
        try:
            parse_event_time(value, None)
        except InvalidTime as error:
            raise ValueError(str(error)) from error
        return value

    def to_event_input(self) -> EventInput:
        return EventInput(
            code=self.code,
            occurred_at=self.occurred_at,
            location=self.location.to_location() if self.location else None,
            reason=Reason(self.reason) if self.reason else None,
            detail=self.detail,
            external_id=self.external_id,
            sequence=self.sequence,
            corrects=self.corrects,
        )
