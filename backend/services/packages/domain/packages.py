"""Packages: create, read, change and delete them, and record their events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session, call_after_commit
from backend.chassis.database.write_groups import WriteGroups
from backend.chassis.messaging.event_types import EventData
from backend.chassis.messaging.outbox import EventRecorder
from backend.chassis.web.problems import ServiceError
from backend.services.packages.clients.metrics import PackageMetrics
from backend.services.packages.domain import json_views
from backend.services.packages.domain.event_input import EventContext, EventInput, build_event
from backend.services.packages.domain.event_times import InvalidTime
from backend.services.packages.domain.prediction.arrivals import SampleCache, predict_eta
from backend.services.packages.domain.search_words import index_words
from backend.services.packages.domain.status import compute_state, get_content, select_content
from backend.services.packages.domain.tracking_numbers import identify, load_carriers, normalize
from backend.services.packages.errors import (
    CarrierUnknown,
    InvalidEvents,
    PackageExists,
    PackageNotFound,
    QuotaExceeded,
    TooManyEvents,
    VersionConflict,
)
from backend.services.packages.events import (
    EtaChanged,
    EventRecorded,
    PackageChanged,
    PackageCreated,
    PackageDeleted,
    StatusChanged,
)
from backend.services.packages.model import (
    CLOSED_STATUSES,
    Cursor,
    Location,
    Package,
    PackageFilter,
    PackageState,
    PackageTexts,
    Quotas,
    Sort,
    Status,
    TrackingEvent,
)
from backend.services.packages.store import events as event_store
from backend.services.packages.store import package_rows as row_store
from backend.services.packages.store import packages as store
from backend.services.packages.store.base import new_id
from backend.services.packages.store.tables import PackageRow

_RECORDER: Final = EventRecorder("packages")
_OVERDUE_BATCH: Final = 500
_ETA_BATCH: Final = 100
# Changes of these fields change the prediction.
_ETA_FIELDS: Final = frozenset({"destination", "origin", "promised_at", "shipped_at"})


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant in which a request acts, and the user or source that sends it."""

    tenant_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class PackageFields:
    """The fields of a package that clients set."""

    reference: str | None = None
    origin: Location | None = None
    destination: Location | None = None
    service: str | None = None
    weight_g: int | None = None
    shipped_at: datetime | None = None
    promised_at: datetime | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PackageReport:
    """Events of the package with this number. *fields* are set if it does not exist yet.

    *carrier* is None if the source does not say. *default_carrier* is the carrier of a new package
    if it does not follow from the number either.
    """

    number: str
    carrier: str | None
    fields: PackageFields = PackageFields()
    events: Sequence[EventInput] = ()
    default_carrier: str | None = None


FIELD_NAMES: Final = tuple(PackageFields.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class RecordedEvents:
    """Result of `record_events`.

    Attributes:
        added: number of new events.
        duplicates: number of events that the package had already.
    """

    added: int
    duplicates: int
    package: Package


class ReportFailed(Exception):
    """The report at *index* cannot be recorded because of *error*."""

    def __init__(self, index: int, error: ServiceError) -> None:
        super().__init__(str(error))
        self.index = index
        self.error = error


class PackageService:
    """The packages of all tenants.

    Args:
        now: the clock.

    Attributes:
        groups: writes that share transactions.
    """

    def __init__(
        self,
        database: Database,
        quotas: Quotas,
        metrics: PackageMetrics,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self.quotas = quotas
        self.groups = WriteGroups(database, _load_packages)
        self._samples = SampleCache()
        self._metrics = metrics
        self._now = now

    def create_package(
        self, caller: Caller, number: str, carrier: str | None, fields: PackageFields
    ) -> Package:
        """Create a package. Without *carrier*, it follows from the number.

        Raises:
            CarrierUnknown: the carrier does not follow from the number.
            PackageExists: the tenant has this carrier and number.
            QuotaExceeded: the tenant has too many packages.
        """
        normalized, found = identify_carrier(number, carrier)
        with self._database.write(caller.tenant_id) as session:
            row = self._insert(session, caller, normalized, found, fields)
            return store.to_package(row)

    def get_package(self, caller: Caller, package_id: str) -> Package:
        """Return a package. Raises PackageNotFound."""
        with self._database.read(caller.tenant_id) as session:
            row = store.get_package(session, caller.tenant_id, package_id)
            if row is None:
                raise PackageNotFound
            return store.to_package(row)

    def list_packages(
        self,
        caller: Caller,
        conditions: PackageFilter,
        sort: Sort,
        limit: int,
        after: Cursor | None = None,
    ) -> list[Package]:
        """Return up to *limit* packages after the cursor."""
        with self._database.read(caller.tenant_id) as session:
            rows = store.list_packages(session, caller.tenant_id, conditions, sort, limit, after)
            return [store.to_package(row) for row in rows]

    def list_rows(
        self,
        caller: Caller,
        conditions: PackageFilter,
        sort: Sort,
        limit: int,
        after: Cursor | None,
    ) -> tuple[list[PackageTexts], Cursor | None]:
        """Return up to *limit* packages as they are stored, and the cursor of the last one."""
        with self._database.read(caller.tenant_id) as session:
            return row_store.list_rows(session, caller.tenant_id, conditions, sort, limit, after)

    def count_packages(self, caller: Caller, conditions: PackageFilter, limit: int) -> int:
        """Return the number of packages that match, at most *limit*."""
        with self._database.read(caller.tenant_id) as session:
            return store.count_matching(session, caller.tenant_id, conditions, limit)

    def change_package(
        self,
        caller: Caller,
        package_id: str,
        changes: Mapping[str, Any],
        versions: Sequence[int] | None,
    ) -> Package:
        """Set the fields in *changes*, whose names are those of `PackageFields`.

        Args:
            versions: the change is made only to one of these, None for any.

        Raises:
            PackageNotFound: the tenant has no such package.
            VersionConflict: it has another version.
        """
        with self._database.write(caller.tenant_id) as session:
            row = _get_version(session, caller, package_id, versions)
            changed = [name for name, value in changes.items() if _differs(row, name, value)]
            if not changed:
                return store.to_package(row)
            for name in changed:
                _set_field(row, name, changes[name])
            now = self._now()
            if "tags" in changed:
                store.replace_tags(session, row)
            row.words = _collect_words(row)
            row.is_late = is_late(row.promised_at, row.delivered_at, Status(row.status), now)
            new_eta = None
            if not _ETA_FIELDS.isdisjoint(changed):
                events = event_store.list_events(session, package_id)
                new_eta = self._update_eta(session, row, events, now)
            row.version += 1
            row.updated_at = now
            session.flush()
            data = PackageChanged(**_identify(row), version=row.version, fields=changed)
            _record(session, row, data, now)
            if new_eta is not None:
                _record(session, row, new_eta, now)
            return store.to_package(row)

    def delete_package(
        self, caller: Caller, package_id: str, versions: Sequence[int] | None
    ) -> None:
        """Delete a package and its events. Raises like `change_package`."""
        with self._database.write(caller.tenant_id) as session:
            row = _get_version(session, caller, package_id, versions)
            _record(session, row, PackageDeleted(**_identify(row)), self._now())
            store.delete_package(session, row)
            store.change_usage(session, caller.tenant_id, -1)

    def list_events(
        self,
        caller: Caller,
        package_id: str,
        limit: int | None = None,
        after: tuple[datetime, str] | None = None,
    ) -> Sequence[TrackingEvent]:
        """Return the events of a package, oldest first, or a page of them.

        Raises PackageNotFound.
        """
        with self._database.read(caller.tenant_id) as session:
            if store.get_package(session, caller.tenant_id, package_id) is None:
                raise PackageNotFound
            if limit is None:
                return event_store.list_events(session, package_id)
            return event_store.list_page(session, package_id, limit, after)

    def record_events(
        self, caller: Caller, package_id: str, given: Sequence[EventInput], source: str = "api"
    ) -> RecordedEvents:
        """Add events to a package, and compute its state. All are added, or none.

        Raises:
            PackageNotFound: the tenant has no such package.
            InvalidEvents: the time of an event cannot be read or is in the future.
            TooManyEvents: the package would have too many events.
        """
        recorded: list[RecordedEvents] = []

        def write(session: Session) -> None:
            record = store.lock_package(session, caller.tenant_id, package_id)
            if record is None:
                raise PackageNotFound
            recorded.append(self._add_events(session, record, given, source))

        self.groups.write(caller.tenant_id, write, package_id)
        # If the group was rolled back, it was written again.
        return recorded[-1]

    def record_all(
        self, caller: Caller, reports: Sequence[PackageReport], source: str
    ) -> list[tuple[RecordedEvents, bool]]:
        """Like `record_reports`, but records all reports or none.

        Raises:
            ReportFailed: a report cannot be recorded.
        """
        results: list[tuple[RecordedEvents, bool]] = []
        with self._database.write(caller.tenant_id) as session:
            for index, report in enumerate(reports):
                try:
                    results.append(self.record_by_number(session, caller, report, source))
                except ServiceError as error:
                    raise ReportFailed(index, error) from error
        return results

    def record_by_number(
        self, session: Session, caller: Caller, report: PackageReport, source: str
    ) -> tuple[RecordedEvents, bool]:
        """Add events to the package with the reported number, and create it if it is missing.

        Returns:
            The result, and True if the package was created.

        Raises:
            CarrierUnknown, QuotaExceeded, InvalidEvents, TooManyEvents
        """
        number, carrier = normalize(report.number), report.carrier
        record = store.lock_by_number(session, caller.tenant_id, carrier, number)
        created = record is None
        if record is None:
            number, found = identify_carrier(number, carrier, report.default_carrier)
            # The events are followed by a prediction.
            row = self._insert(
                session, caller, number, found, report.fields, has_eta=not report.events
            )
            record = store.detach_package(session, row)
        return self._add_events(session, record, report.events, source), created

    def record_reports(
        self, caller: Caller, reports: Sequence[PackageReport], source: str
    ) -> list[tuple[RecordedEvents, bool] | ServiceError]:
        """Create the reported packages, or add their events to existing ones, in one transaction.

        Returns:
            For each report the result of `record_by_number` or its error. A report with an error
            changes nothing.
        """
        results: list[tuple[RecordedEvents, bool] | ServiceError] = []
        with self._database.write(caller.tenant_id) as session:
            for report in reports:
                try:
                    with session.begin_nested():
                        result = self.record_by_number(session, caller, report, source)
                except ServiceError as error:
                    results.append(error)
                else:
                    results.append(result)
        return results

    def mark_overdue(self) -> bool:
        """Mark packages as late whose promised time has passed. Returns True if there are more."""
        now = self._now()
        is_overdue = (
            PackageRow.promised_at < now,
            PackageRow.delivered_at.is_(None),
            PackageRow.is_late.is_(False),
            PackageRow.status.not_in([str(status) for status in CLOSED_STATUSES]),
        )
        database = self._database.across_tenants()
        with database.write() as session:
            found = store.iterate_ids(session, is_overdue, _OVERDUE_BATCH)
            for tenant_id, package_id in found:
                row = store.get_package(session, tenant_id, package_id, for_update=True)
                if row is None or row.is_late:
                    continue
                row.is_late = True
                row.version += 1
                row.updated_at = now
                session.flush()
                data = PackageChanged(**_identify(row), version=row.version, fields=["late"])
                _record(session, row, data, now)
        return len(found) == _OVERDUE_BATCH

    def refresh_etas(self, tenant_id: str) -> int:
        """Predict the arrivals of the tenant's open packages again, after new statistics.

        Returns:
            The number of packages whose prediction changed.
        """
        count, last = 0, ""
        while True:
            with self._database.write(tenant_id) as session:
                ids = store.list_open_ids(session, tenant_id, last, _ETA_BATCH)
                count += sum(self._refresh_eta(session, tenant_id, each) for each in ids)
            if len(ids) < _ETA_BATCH:
                return count
            last = ids[-1]

    def _refresh_eta(self, session: Session, tenant_id: str, package_id: str) -> bool:
        row = store.get_package(session, tenant_id, package_id, for_update=True)
        if row is None:
            return False
        now = self._now()
        new_eta = self._update_eta(session, row, event_store.list_events(session, package_id), now)
        if new_eta is None:
            return False
        row.version += 1
        row.updated_at = now
        session.flush()
        _record(session, row, new_eta, now)
        return True

    def _insert(
        self,
        session: Session,
        caller: Caller,
        number: str,
        carrier: str,
        fields: PackageFields,
        *,
        has_eta: bool = True,
    ) -> PackageRow:
        now = self._now()
        row = PackageRow(
            id=new_id("pkg"),
            tenant_id=caller.tenant_id,
            number=number,
            carrier=carrier,
            status=str(Status.PRE_TRANSIT),
            event_count=0,
            version=1,
            created_by=caller.user_id,
            created_at=now,
            updated_at=now,
        )
        for name in FIELD_NAMES:
            _set_field(row, name, getattr(fields, name))
        row.words = _collect_words(row)
        row.is_late = is_late(row.promised_at, None, Status.PRE_TRANSIT, now)
        try:
            store.add_package(session, row)
        except store.NumberTaken:
            known = store.get_by_number(session, caller.tenant_id, carrier, number)
            raise PackageExists(carrier, number, known.id if known else None) from None
        if store.change_usage(session, caller.tenant_id, 1) > self.quotas.packages:
            raise QuotaExceeded(self.quotas.packages)
        data = PackageCreated(**_identify(row), version=1, status=row.status)
        _record(session, row, data, now)
        new_eta = self._update_eta(session, row, (), now) if has_eta else None
        if new_eta is not None:
            session.flush()
            _record(session, row, new_eta, now)
        return row

    def _add_events(
        self,
        session: Session,
        record: store.PackageRecord,
        given: Sequence[EventInput],
        source: str,
    ) -> RecordedEvents:
        now = self._now()
        context = EventContext(record.id, record.carrier, record.number, source, now)
        events = self._build_events(given, context)
        known = {event.key: event for event in event_store.take_events(session, record.id)}
        new: dict[str, TrackingEvent] = {}
        changed: dict[str, TrackingEvent] = {}
        for event in events:
            earlier = new.get(event.key) or known.get(event.key)
            if earlier is None:
                new[event.key] = event
            elif get_content(earlier) != get_content(event):
                selected = select_content(earlier, event)
                if selected is event:
                    target = new if event.key in new else changed
                    target[event.key] = known[event.key] = event
        if len(known.keys() | new.keys()) > self.quotas.events:
            raise TooManyEvents(self.quotas.events)
        event_store.add_events(session, record.tenant_id, record.id, new.values())
        for event in changed.values():
            event_store.replace_content(session, event)
        if new or changed:
            self._apply_state(session, record, (known | new).values(), new.values(), now)
        return RecordedEvents(len(new), len(events) - len(new), store.to_package(record))

    def _build_events(
        self, given: Sequence[EventInput], context: EventContext
    ) -> list[TrackingEvent]:
        events: list[TrackingEvent] = []
        errors: list[dict[str, str]] = []
        for index, each in enumerate(given):
            try:
                event, is_known = build_event(each, context)
            except InvalidTime as error:
                errors.append({"pointer": f"#/events/{index}/occurred_at", "detail": str(error)})
                continue
            if not is_known:
                self._metrics.count_unknown_code(context.carrier, load_carriers())
            events.append(event)
        if errors:
            raise InvalidEvents(errors)
        return events

    def _apply_state(
        self,
        session: Session,
        record: store.PackageRecord,
        events: "Sequence[TrackingEvent] | Any",
        new: "Sequence[TrackingEvent] | Any",
        now: datetime,
    ) -> None:
        state = compute_state(events)
        previous = record.status
        set_state(record, state)
        record.is_late = is_late(record.promised_at, record.delivered_at, state.status, now)
        new_eta = self._update_eta(session, record, list(events), now)
        record.version += 1
        record.updated_at = now
        store.save_changes(session, record)
        reports: list[EventData] = [] if new_eta is None else [new_eta]
        reports += [_report(record, event) for event in new]
        if previous != record.status:
            reports.append(
                StatusChanged(
                    **_identify(record),
                    version=record.version,
                    status=record.status,
                    sub_status=record.sub_status,
                    previous_status=previous,
                )
            )
        call_after_commit(session, partial(self._metrics.count_events, len(new)))
        _record_all(session, record, reports, now)

    def _update_eta(
        self,
        session: Session,
        row: store.StoredPackage,
        events: Sequence[TrackingEvent],
        now: datetime,
    ) -> EtaChanged | None:
        """Set the predicted arrival of *row*.

        Returns:
            The event to record, or None without a change.
        """
        package = store.to_package(row)
        eta = None
        if package.state.status not in CLOSED_STATUSES:
            eta = predict_eta(session, self._samples, package, events, now)
        if eta == package.eta:
            return None
        store.set_eta(row, eta)
        names = _identify(row)
        if eta is None:
            return EtaChanged.model_validate(names)
        return EtaChanged(
            **names,
            p10=eta.p10,
            p50=eta.p50,
            p90=eta.p90,
            late_probability=eta.late_probability,
        )


def _load_packages(session: Session, package_ids: Sequence[str]) -> None:
    store.load_packages(session, package_ids)
    event_store.load_events(session, package_ids)


def identify_carrier(
    number: str, carrier: str | None, default: str | None = None
) -> tuple[str, str]:
    """Return the normalised number and the carrier. A given carrier may be an unknown one.

    *default* is the carrier if it does not follow from the number.

    Raises:
        CarrierUnknown: no carrier is given, and it does not follow from the number.
    """
    if carrier is not None:
        return normalize(number), carrier
    result = identify(number)
    if result.carrier is None and default is not None:
        return result.number, default
    if result.carrier is None:
        raise CarrierUnknown(sorted({each.carrier for each in result.candidates}))
    return result.number, result.carrier


def set_state(row: store.StoredPackage, state: PackageState) -> None:
    """Set the columns of *row* that are computed from the events."""
    row.status = str(state.status)
    row.sub_status = state.sub_status
    row.started_at = state.started_at
    row.delivered_at = state.delivered_at
    row.last_event = json_views.summarize_event(state.last_event) if state.last_event else None
    row.event_count = state.event_count


def is_late(
    promised_at: datetime | None, delivered_at: datetime | None, status: Status, now: datetime
) -> bool:
    """Return True for a delivery after the promised time, or for none until then."""
    if promised_at is None:
        return False
    if delivered_at is not None:
        return delivered_at > promised_at
    return status not in CLOSED_STATUSES and promised_at < now


def _get_version(
    session: Session, caller: Caller, package_id: str, versions: Sequence[int] | None
) -> PackageRow:
    row = store.get_package(session, caller.tenant_id, package_id, for_update=True)
    if row is None:
        raise PackageNotFound
    if versions is not None and row.version not in versions:
        raise VersionConflict(row.version)
    return row


def _set_field(row: PackageRow, name: str, value: Any) -> None:
    if name in ("origin", "destination"):
        place: Location | None = value
        setattr(row, name, place and place.to_json())
        setattr(row, f"{name}_key", (place.key if place else "")[:255])
        setattr(row, f"{name}_country", (place.country or "").upper() if place else "")
    elif name == "tags":
        row.tags = list(dict.fromkeys(value))
    elif name == "metadata":
        row.metadata_ = dict(value)
    else:
        setattr(row, name, value)


def _differs(row: PackageRow, name: str, value: Any) -> bool:
    if name in ("origin", "destination"):
        return bool(getattr(row, name) != (value and value.to_json()))
    if name == "tags":
        return list(row.tags) != list(dict.fromkeys(value))
    if name == "metadata":
        return dict(row.metadata_) != dict(value)
    return bool(getattr(row, name) != value)


def _collect_words(row: PackageRow) -> str:
    places = [Location.from_json(place) for place in (row.origin, row.destination)]
    return index_words(
        (
            row.number,
            row.reference,
            row.carrier,
            row.service,
            *(text for place in places if place for text in _list_texts(place)),
            *row.tags,
            *(value for value in row.metadata_.values() if isinstance(value, str)),
        )
    )


def _list_texts(place: Location) -> Sequence[str | None]:
    return (place.name, place.postal_code, place.code)


def _identify(row: store.StoredPackage) -> dict[str, str]:
    return {"package_id": row.id, "tracking_number": row.number, "carrier": row.carrier}


def _report(row: store.StoredPackage, event: TrackingEvent) -> EventRecorded:
    return EventRecorded(
        **_identify(row),
        event_id=event.id,
        code=str(event.code),
        occurred_at=event.occurred_at,
        location=event.location.to_json() if event.location else None,
        reason=str(event.reason) if event.reason else None,
    )


def _record(session: Session, row: store.StoredPackage, data: EventData, now: datetime) -> None:
    _record_all(session, row, [data], now)


def _record_all(
    session: Session, row: store.StoredPackage, reports: Sequence[EventData], now: datetime
) -> None:
    _RECORDER.record_events(
        session, reports, subject=row.id, key=row.id, tenant_id=row.tenant_id, time=now
    )
