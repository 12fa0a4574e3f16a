"""Events that the packages service publishes."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import Field

from backend.chassis.messaging.event_types import EventData, Id

Version = Annotated[int, Field(ge=1, description="Number of the change of the package.")]


class _PackageEvent(EventData):
    package_id: Id
    tracking_number: str
    carrier: str


class PackageCreated(_PackageEvent):
    """A package was created."""

    event_type: ClassVar[str] = "packages.created"

    version: Version
    status: str


class PackageChanged(_PackageEvent):
    """A client changed fields of a package."""

    event_type: ClassVar[str] = "packages.changed"

    version: Version
    fields: Annotated[list[str], Field(description="Names of the changed fields.")]


class PackageDeleted(_PackageEvent):
    """A package and its events were deleted."""

    event_type: ClassVar[str] = "packages.deleted"


class EventRecorded(_PackageEvent):
    """A tracking event was added to a package."""

    event_type: ClassVar[str] = "packages.event-recorded"

    event_id: Id
    code: str
    occurred_at: datetime
    location: dict[str, Any] | None = None
    reason: str | None = None


class StatusChanged(_PackageEvent):
    """The events of a package give it another status."""

    event_type: ClassVar[str] = "packages.status-changed"

    version: Version
    status: str
    sub_status: str | None = None
    previous_status: str


class EtaChanged(_PackageEvent):
    """The predicted time of arrival changed."""

    event_type: ClassVar[str] = "packages.eta-changed"

    p10: datetime | None = None
    p50: datetime | None = None
    p90: datetime | None = None
    late_probability: Annotated[float | None, Field(ge=0, le=1)] = None


class PackageInvestigated(_PackageEvent):
    """An investigation of a package was completed."""

    event_type: ClassVar[str] = "packages.investigated"

    investigation_id: Id
    kind: str
    findings: Annotated[list[str], Field(description="Kinds of the findings.")]


EVENTS: tuple[type[EventData], ...] = (
    PackageCreated,
    PackageChanged,
    PackageDeleted,
    EventRecorded,
    StatusChanged,
    EtaChanged,
    PackageInvestigated,
)
