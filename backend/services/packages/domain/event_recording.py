"""Tracking events of packages: record them, and update the packages."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from backend.chassis.database.sessions import Database, Session, call_after_commit
from backend.chassis.database.write_groups import WriteGroups
from backend.chassis.messaging.event_types import EventData
from backend.chassis.web.problems import ServiceError
from backend.services.packages.clients.metrics import PackageMetrics
from backend.services.packages.domain.event_input import EventContext, EventInput, build_event
from backend.services.packages.domain.event_times import InvalidTime
from backend.services.packages.domain.package_fields import PackageFields
from backend.services.packages.domain.package_state import (
    EtaForecasts,
    identify_package,
    is_late,
    record_changes,
    set_state,
)
from backend.services.packages.domain.packages import Caller, PackageService, identify_carrier
from backend.services.packages.domain.status import compute_state, get_content, select_content
from backend.services.packages.domain.tracking_numbers import load_carriers, normalize
from backend.services.packages.errors import InvalidEvents, PackageNotFound, TooManyEvents
from backend.services.packages.events import EventRecorded, StatusChanged
from backend.services.packages.model import Package, Quotas, TrackingEvent
from backend.services.packages.store import events as event_store
from backend.services.packages.store import packages as store


@dataclass(frozen=True, slots=True)
class PackageReport:
    """Events of the package with this number. *fields* are set if it does not exist yet.

    *carrier* is None if the source does not say. *default_carrier* is the carrier of a new package
    if it does not follow from the number either.
    """

    number: str
    carrier: str | None
    fields: PackageFields = field(default_factory=PackageFields)
    events: Sequence[EventInput] = ()
    default_carrier: str | None = None


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


class EventService:
    """The tracking events of all tenants.

    Args:
        now: the clock.

    Attributes:
        groups: writes that share transactions.
    """

    def __init__(
        self,
        database: Database,
        packages: PackageService,
        etas: EtaForecasts,
        quotas: Quotas,
        metrics: PackageMetrics,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self.groups = WriteGroups(database, _load_packages)
        self._packages = packages
        self._etas = etas
        self._quotas = quotas
        self._metrics = metrics
        self._now = now

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
            number, found = identify_carrier(report.number, carrier, report.default_carrier)
            # The events are followed by a prediction.
            row = self._packages.insert_package(
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
        if len(known.keys() | new.keys()) > self._quotas.events:
            raise TooManyEvents(self._quotas.events)
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
        events: Collection[TrackingEvent],
        new: Collection[TrackingEvent],
        now: datetime,
    ) -> None:
        state = compute_state(events)
        previous = record.status
        set_state(record, state)
        record.is_late = is_late(record.promised_at, record.delivered_at, state.status, now)
        new_eta = self._etas.update(session, record, list(events), now)
        record.version += 1
        record.updated_at = now
        store.save_changes(session, record)
        reports: list[EventData] = [] if new_eta is None else [new_eta]
        reports += [_report(record, event) for event in new]
        if previous != record.status:
            reports.append(
                StatusChanged(
                    **identify_package(record),
                    version=record.version,
                    status=record.status,
                    sub_status=record.sub_status,
                    previous_status=previous,
                )
            )
        call_after_commit(session, partial(self._metrics.count_events, len(new)))
        record_changes(session, record, reports, now)


def _load_packages(session: Session, package_ids: Sequence[str]) -> None:
    store.load_packages(session, package_ids)
    event_store.load_events(session, package_ids)


def _report(row: store.StoredPackage, event: TrackingEvent) -> EventRecorded:
    return EventRecorded(
        **identify_package(row),
        event_id=event.id,
        code=str(event.code),
        occurred_at=event.occurred_at,
        location=event.location.to_json() if event.location else None,
        reason=str(event.reason) if event.reason else None,
    )
