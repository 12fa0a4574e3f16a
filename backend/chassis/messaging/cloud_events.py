"""CloudEvents 1.0 in structured JSON: the form in which brokers carry events.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

import json
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from backend.chassis.messaging.event_types import Id

CONTENT_TYPE = "application/cloudevents+json"
MAX_EVENT_BYTES = 256 * 1024
_TRACEPARENT = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"


class InvalidEvent(Exception):
    """A received message is not an event of this suite."""


class Event(BaseModel):
    """An event with the attributes of CloudEvents 1.0 and of their extensions."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"]
    id: Annotated[str, Field(pattern="^[0-9a-f-]{36}$")]
    source: Annotated[
        str, Field(pattern="^/[a-z]{1,31}$", description="Path of the service, such as `/rag`.")
    ]
    type: Annotated[str, Field(pattern=r"^[a-z]{1,31}\.[a-z-]{1,31}$")]
    subject: Annotated[str, Field(min_length=1, max_length=128)]
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    partitionkey: Annotated[
        Id,
        Field(description="Events of one source with the same key are delivered in order."),
    ]
    tenant: Annotated[
        Id | None, Field(description="Tenant of the subject; absent without one.")
    ] = None
    traceparent: Annotated[
        Annotated[str, Field(pattern=_TRACEPARENT)] | None,
        Field(description="Trace in which the event occurred (extension Distributed Tracing)."),
    ] = None
    data: dict[str, Any]

    @property
    def service(self) -> str:
        """Name of the service that published the event."""
        return self.source.removeprefix("/")

    def encode(self) -> bytes:
        """Return the event as JSON. Attributes without a value are omitted."""
        return self._encoded

    # Events are encoded to check their sizes, and again to publish them.
    @cached_property
    def _encoded(self) -> bytes:
        return json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":")).encode()

    def to_json(self) -> dict[str, Any]:
        """Return the event as a JSON object."""
        # Not by model_dump, which copies the data and takes longer than the encoding.
        values = {name: value for name, value in self if value is not None}
        return {**values, "time": format_time(self.time)}


def parse_event(content: bytes) -> Event:
    """Parse an event.

    Raises:
        InvalidEvent: *content* is no event, or larger than 256 KB.
    """
    if len(content) > MAX_EVENT_BYTES:
        raise InvalidEvent(f"The event has {len(content)} bytes; {MAX_EVENT_BYTES} are allowed.")
    try:
        return Event.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the message"
        raise InvalidEvent(f"{place}: {first['msg']}") from error


def format_time(time: datetime) -> str:
    """Return *time*, which is in UTC, in the format of RFC 3339."""
    return time.isoformat().replace("+00:00", "Z")
