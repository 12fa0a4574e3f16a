"""Packages, tracking events and what is computed from them, without database and HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, TypedDict


class EventCode(StrEnum):
    """Kind of a tracking event, independent of the carrier."""

    ANNOUNCED = "announced"
    PICKED_UP = "picked_up"
    ACCEPTED = "accepted"
    DEPARTED = "departed"
    ARRIVED = "arrived"
    CUSTOMS_HELD = "customs_held"
    CUSTOMS_RELEASED = "customs_released"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERY_ATTEMPTED = "delivery_attempted"
    AVAILABLE_FOR_PICKUP = "available_for_pickup"
    DELIVERED = "delivered"
    EXCEPTION = "exception"
    DELAYED = "delayed"
    RETURN_STARTED = "return_started"
    RETURNED = "returned"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    LOST = "lost"
    NOTE = "note"


class Reason(StrEnum):
    """Cause of an exception, an attempt or a delay."""

    DAMAGED = "damaged"
    MISSORTED = "missorted"
    ADDRESS = "address"
    REFUSED = "refused"
    ABSENT = "absent"
    CLOSED = "closed"
    CUSTOMS_DOCUMENTS = "customs_documents"
    CUSTOMS_DUTIES = "customs_duties"
    WEATHER = "weather"
    SECURITY = "security"
    CAPACITY = "capacity"
    OTHER = "other"


class Status(StrEnum):
    """Status of a package, computed from its events (`domain/status.py`)."""

    PRE_TRANSIT = "pre_transit"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    ATTEMPTED = "attempted"
    AVAILABLE_FOR_PICKUP = "available_for_pickup"
    DELIVERED = "delivered"
    RETURNING = "returning"
    RETURNED = "returned"
    EXCEPTION = "exception"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


CLOSED_STATUSES: Final = frozenset({Status.DELIVERED, Status.RETURNED, Status.CANCELLED})
"""Only a later return or a correction changes these."""

# How the UTC time of an event was derived: from its offset, from the time zone of its place, or
# by the assumption that a local time without a place is in UTC.
TimeBasis = Literal["offset", "place", "assumed"]


@dataclass(frozen=True, slots=True)
class Location:
    """A place. `code` is an UN/LOCODE or an IATA code; `country` an ISO 3166-1 alpha-2 code."""

    name: str | None = None
    country: str | None = None
    postal_code: str | None = None
    code: str | None = None
    lat: float | None = None
    lon: float | None = None

    @property
    def key(self) -> str:
        """Return the text that identifies the place in lanes and duplicate keys, "" if unknown.

        Examples: `code:DEFRA`, `place:de:60313`, `place:de:frankfurt`, `place:de:`.
        """
        if self.code:
            return f"code:{self.code.upper()}"
        area = (self.postal_code or self.name or "").casefold().strip()
        country = (self.country or "").casefold()
        return f"place:{country}:{area}" if country or area else ""

    def to_json(self) -> dict[str, Any]:
        """Return the location as a JSON object without its missing fields."""
        fields = {
            "name": self.name,
            "country": self.country,
            "postal_code": self.postal_code,
            "code": self.code,
            "lat": self.lat,
            "lon": self.lon,
        }
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> "Location | None":
        return None if not value else cls(**value)


@dataclass(frozen=True, slots=True)
class TrackingEvent:
    """A tracking event of a package.

    Attributes:
        id: derived from the package and *key*, so that it is the same for any order of arrival.
        key: duplicate key: the external id, or a digest of carrier, number, code, second, place.
        occurred_at: UTC.
        received_at: UTC; None for an event that is not stored.
        local_time: the time as the carrier wrote it.
        time_basis: how *occurred_at* was derived. `assumed` times raise no time findings.
        reported_at: time of receipt that the source itself gave, for events from files.
        sequence: position that the carrier gave the event among events of the same time.
        reason: why, for exceptions, attempts and delays.
        raw_code: the code of the carrier.
        corrects: external id of an event that this one declares wrong.
        source: who reported it: `api`, `import`, `epcis` or `webhook:SOURCE`.
    """

    id: str
    key: str
    code: EventCode
    occurred_at: datetime
    received_at: datetime | None = None
    reported_at: datetime | None = None
    local_time: str | None = None
    time_basis: TimeBasis = "offset"
    sequence: int | None = None
    location: Location | None = None
    reason: Reason | None = None
    detail: str | None = None
    raw_code: str | None = None
    external_id: str | None = None
    corrects: str | None = None
    source: str = "api"


@dataclass(frozen=True, slots=True)
class EtaBasis:
    """The sample on which an ETA rests: its size and the group that weighs most in it."""

    samples: int
    group: str


@dataclass(frozen=True, slots=True)
class Eta:
    """Quantiles of the time of arrival, and the probability that it is after the promised time.

    *late_probability* is None without a promised time.
    """

    p10: datetime
    p50: datetime
    p90: datetime
    late_probability: float | None
    basis: EtaBasis


@dataclass(frozen=True, slots=True)
class PackageState:
    """State of a package, computed from its events in any order of arrival.

    Attributes:
        sub_status: the code or reason that explains the status, such as `damaged`.
        delivered_at: time of the delivery, None unless the status is `delivered`.
        started_at: time of the first event in which a carrier has the package.
        last_event: the latest event that counts.
        event_count: number of different events.
    """

    status: Status = Status.PRE_TRANSIT
    sub_status: str | None = None
    delivered_at: datetime | None = None
    started_at: datetime | None = None
    last_event: TrackingEvent | None = None
    event_count: int = 0


@dataclass(frozen=True, slots=True)
class Package:
    """A package. Clients set the first fields; `state` is computed from its events.

    Attributes:
        number: tracking number in capitals, without spaces and dashes.
        carrier: code of the carrier, such as `ups`.
        reference: the client's own number, such as an order number.
        service: name of the carrier's service, such as `express`.
        version: number of the last change, for ETags.
        is_late: delivered after the promised time, or not delivered until then.
    """

    id: str
    tenant_id: str
    number: str
    carrier: str
    reference: str | None
    origin: Location | None
    destination: Location | None
    service: str | None
    weight_g: int | None
    shipped_at: datetime | None
    promised_at: datetime | None
    tags: tuple[str, ...]
    metadata: Mapping[str, Any]
    state: PackageState
    eta: Eta | None
    version: int
    created_by: str
    created_at: datetime
    updated_at: datetime
    is_late: bool = False

    @property
    def lane(self) -> str | None:
        """Return the keys of origin and destination, or None if one is unknown."""
        if self.origin is None or self.destination is None:
            return None
        origin, destination = self.origin.key, self.destination.key
        return f"{origin}>{destination}" if origin and destination else None


class PackageTexts(NamedTuple):
    """A stored package with times and JSON columns as text.

    The format of times is `2030-01-31 12:00:00.000000`.
    """

    id: str
    number: str
    carrier: str
    status: str
    sub_status: str | None
    started_at: str | None
    delivered_at: str | None
    last_event: str | None
    event_count: int
    reference: str | None
    origin: str | None
    destination: str | None
    service: str | None
    weight_g: int | None
    shipped_at: str | None
    promised_at: str | None
    is_late: bool
    eta_p10: str | None
    eta_p50: str | None
    eta_p90: str | None
    late_probability: float | None
    eta_samples: int | None
    eta_group: str | None
    tags: str
    metadata: str
    version: int
    created_by: str
    created_at: str
    updated_at: str


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Evidence(TypedDict, total=False):
    """Figures of a finding. Durations are in hours, times in RFC 3339."""

    value: float | str | None
    expected: float | str | None
    p95: float | None
    samples: int | None
    group: str | None


# Languages of the statements about packages.
Language = Literal["en", "de"]


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence about a package, in English, with its template for other languages.

    Attributes:
        template: name in `domain/statements.py`; "" for a text that a model wrote, or that was
            stored without its template.
        values: values of the template.
    """

    text: str
    template: str = ""
    values: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A statement about a package, the events that show it, and its figures.

    Attributes:
        kind: `missing_milestone`, `wrong_order`, `repeat`, `jump`, `unknown_lane`,
            `impossible_time`, `slow_step`, `stalled`, `insufficient_history` and so on.
        event_ids: the events that show it. For a missing event, those before and after it.
    """

    kind: str
    severity: Severity
    statement: Statement
    event_ids: tuple[str, ...]
    evidence: Evidence = field(default_factory=Evidence)


class InvestigationKind(StrEnum):
    ANOMALY = "anomaly"
    DELAY = "delay"
    ROUTE = "route"
    PREDICTION = "prediction"


class WorkState(StrEnum):
    """State of an investigation or a tour."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an investigation's text, and the events to which it refers."""

    statement: Statement
    event_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Investigation:
    """A computed investigation of a package.

    Attributes:
        figures: what was computed, by the kind of the investigation.
        text_source: `templates`, or the name of the model that wrote the text.
        error: a problem, if the state is `failed`.
    """

    id: str
    package_id: str
    kind: InvestigationKind
    state: WorkState
    findings: tuple[Finding, ...]
    figures: Mapping[str, Any]
    text: tuple[Sentence, ...]
    text_source: str
    requested_by: str
    created_at: datetime
    completed_at: datetime | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Vehicles:
    """Vehicles of one kind. A limit that is None does not apply.

    Attributes:
        max_duration_s: time from the depot and back, in seconds.
    """

    name: str
    count: int
    capacity_g: int | None = None
    max_distance_m: int | None = None
    max_duration_s: int | None = None


@dataclass(frozen=True, slots=True)
class TourStop:
    """A stop of a tour: the destination of a package."""

    package_id: str
    lat: float
    lon: float
    weight_g: int


@dataclass(frozen=True, slots=True)
class TourProblem:
    """Vehicles, and the stops that they visit from the depot.

    Attributes:
        depot: latitude and longitude.
        speed_kmh: mean speed between stops.
        service_s: time at each stop in seconds.
        seconds: time of the search.
        seed: of the random numbers of the search.
    """

    depot: tuple[float, float]
    vehicles: tuple[Vehicles, ...]
    stops: tuple[TourStop, ...]
    speed_kmh: float = 50.0
    service_s: int = 300
    seconds: int = 30
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the problem as the solver process reads it."""
        return {
            "depot": list(self.depot),
            "vehicles": [asdict(vehicles) for vehicles in self.vehicles],
            "stops": [asdict(stop) | {"service_s": self.service_s} for stop in self.stops],
            "speed_kmh": self.speed_kmh,
            "service_s": self.service_s,
            "seconds": self.seconds,
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TourProblem":
        lat, lon = value["depot"]
        return cls(
            depot=(lat, lon),
            vehicles=tuple(Vehicles(**vehicles) for vehicles in value["vehicles"]),
            stops=tuple(
                TourStop(stop["package_id"], stop["lat"], stop["lon"], stop["weight_g"])
                for stop in value["stops"]
            ),
            speed_kmh=value["speed_kmh"],
            service_s=value["service_s"],
            seconds=value["seconds"],
            seed=value["seed"],
        )


@dataclass(frozen=True, slots=True)
class Tour:
    """A request for tours, and the tours that were found.

    Attributes:
        result: `tours`, `unassigned` and `cost` if the state is `done`; `elapsed` and `cost` of the
            best tours so far while it is `running`.
        error: a problem, if the state is `failed`.
    """

    id: str
    state: WorkState
    problem: TourProblem
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    requested_by: str
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Quotas:
    """Upper bounds of what a tenant can store.

    Attributes:
        packages: packages of a tenant.
        events: events of a package.
        export_rows: rows of one export in the format xlsx.
    """

    packages: int
    events: int
    export_rows: int = 200_000


@dataclass(frozen=True, slots=True)
class PackageFilter:
    """Conditions of a list. A package matches all that are set.

    Attributes:
        origin: a key of a location, a code, or a country of two letters.
        words: each is the beginning of a word of the package.
    """

    status: Status | None = None
    carrier: str | None = None
    number: str | None = None
    reference: str | None = None
    origin: str | None = None
    destination: str | None = None
    late: bool | None = None
    tag: str | None = None
    words: Sequence[str] = ()
    created_since: datetime | None = None
    created_until: datetime | None = None
    eta_since: datetime | None = None
    eta_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """Order of a list; packages without a value come last.

    *name* is `created_at`, `updated_at`, `eta`, `promised_at` or `delivered_at`.
    """

    name: str = "created_at"
    descending: bool = True


# The value of the sort column, None for packages without one, and the id.
Cursor = tuple[datetime | None, str]


@dataclass(frozen=True, slots=True)
class WebhookAccount:
    """An account of a tracking provider, without its secret."""

    id: str
    tenant_id: str
    source: str
    name: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """A stored webhook. `state` is `received`, `done` or `failed`; see `WebhookDeliveryRow`."""

    id: str
    state: str
    attempts: int
    repeats: int
    result: Mapping[str, Any] | None
    error: str | None
    received_at: datetime
    processed_at: datetime | None
