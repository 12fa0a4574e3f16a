"""Investigations of a package: anomalies, delay, route and prediction, with their text."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session
from backend.chassis.messaging.audit_events import format_time
from backend.chassis.messaging.outbox import EventRecorder
from backend.services.packages.clients.text_processes import TextWriter
from backend.services.packages.domain.findings.durations import (
    MIN_SAMPLES,
    describe_insufficient,
    find_slow_steps,
    find_stalled,
    get_norm,
)
from backend.services.packages.domain.findings.structure import (
    find_structural,
    find_unknown_lane,
)
from backend.services.packages.domain.optimization.route_texts import (
    compare_routes,
    describe_route,
    route_to_json,
)
from backend.services.packages.domain.optimization.routes import RouteRequest, choose_routes
from backend.services.packages.domain.packages import Caller
from backend.services.packages.domain.prediction import history
from backend.services.packages.domain.prediction.arrivals import load_edges, load_sample_tables
from backend.services.packages.domain.prediction.milestones import (
    Milestone,
    Step,
    hours_between,
    list_milestones,
    list_steps,
)
from backend.services.packages.domain.prediction.places import list_places
from backend.services.packages.domain.prediction.samples import SampleTable
from backend.services.packages.domain.statements import create_statement
from backend.services.packages.domain.status import sort_events
from backend.services.packages.domain.wording import apply_wording
from backend.services.packages.errors import PackageNotFound
from backend.services.packages.events import PackageInvestigated
from backend.services.packages.model import (
    CLOSED_STATUSES,
    EventCode,
    Finding,
    Investigation,
    InvestigationKind,
    Package,
    Sentence,
    Severity,
    Statement,
    TrackingEvent,
    WorkState,
)
from backend.services.packages.store import events as event_store
from backend.services.packages.store import investigations as store
from backend.services.packages.store import packages as package_store
from backend.services.packages.store import statistics as statistics_store
from backend.services.packages.store.base import new_id

_log = logging.getLogger(__name__)
_RECORDER: Final = EventRecorder("packages")
_TEMPLATES: Final = "templates"
_WRITERS: Final = 2
# Investigations beyond this number get the text of the templates.
_MAX_WAITING: Final = 20
_POLL_SECONDS: Final = 0.2
_TEXT_TIMEOUT: Final = timedelta(minutes=30)
MAX_LISTED: Final = 100
_PROBLEM_CODES: Final = frozenset(
    {
        EventCode.EXCEPTION,
        EventCode.DELAYED,
        EventCode.CUSTOMS_HELD,
        EventCode.DELIVERY_ATTEMPTED,
        EventCode.LOST,
    }
)
_NO_SAMPLES: Final = SampleTable({})


@dataclass(frozen=True, slots=True)
class _Subject:
    """A package, its events in order, and the statistics of its groups."""

    package: Package
    events: Sequence[TrackingEvent]
    milestones: Sequence[Milestone]
    steps: Sequence[Step]
    tables: Mapping[str, SampleTable]
    edges: SampleTable
    lane_count: int
    has_history: bool
    now: datetime

    @property
    def is_open(self) -> bool:
        return self.package.state.status not in CLOSED_STATUSES

    @property
    def last_ids(self) -> tuple[str, ...]:
        return (self.events[-1].id,) if self.events else ()


@dataclass(frozen=True, slots=True)
class _Result:
    findings: Sequence[Finding]
    figures: Mapping[str, Any]
    text: Sequence[Sentence]


class InvestigationService:
    """Computes investigations and keeps them.

    Args:
        writer: rewords the text of investigations; None for the text of the templates.
    """

    def __init__(
        self, database: Database, now: Callable[[], datetime], writer: TextWriter | None = None
    ) -> None:
        self._database = database
        self._now = now
        self._writer = writer
        self._threads = ThreadPoolExecutor(_WRITERS, "investigation text")
        self._slots = BoundedSemaphore(_MAX_WAITING)

    def investigate(
        self, caller: Caller, package_id: str, kind: InvestigationKind
    ) -> Investigation:
        """Investigate a package and store the result. Raises PackageNotFound.

        If a model writes the text, the state is `running` until then, with the text of the
        templates.
        """
        now = self._now()
        compute = _COMPUTATIONS[kind]
        writer = self._writer if self._writer and self._slots.acquire(blocking=False) else None
        try:
            with self._database.write(caller.tenant_id) as session:
                subject = _load(session, caller, package_id, kind, now)
                result = compute(subject)
                found = Investigation(
                    id=new_id("inv"),
                    package_id=package_id,
                    kind=kind,
                    state=WorkState.DONE if writer is None else WorkState.RUNNING,
                    findings=tuple(result.findings),
                    figures=result.figures,
                    text=tuple(result.text),
                    text_source=_TEMPLATES,
                    requested_by=caller.user_id,
                    created_at=now,
                    completed_at=self._now() if writer is None else None,
                )
                store.add_investigation(session, caller.tenant_id, found)
                _record(session, caller, subject.package, found)
        except BaseException:
            if writer is not None:
                self._slots.release()
            raise
        if writer is not None:
            self._threads.submit(self._write_text, writer, caller.tenant_id, found)
        return found

    def wait_for_text(self, caller: Caller, found: Investigation, seconds: float) -> Investigation:
        """Return *found* when its text is written, or as it is after *seconds*."""
        end = time.monotonic() + seconds
        while found.state == WorkState.RUNNING and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
            with self._database.read(caller.tenant_id) as session:
                known = store.get_investigation(session, caller.tenant_id, found.id)
            if known is None:  # deleted with its package
                raise PackageNotFound
            found = known
        return found

    def list_investigations(self, caller: Caller, package_id: str) -> Sequence[Investigation]:
        """Return the latest investigations of a package, newest first. Raises PackageNotFound."""
        with self._database.read(caller.tenant_id) as session:
            if package_store.get_package(session, caller.tenant_id, package_id) is None:
                raise PackageNotFound
            found = store.list_investigations(session, caller.tenant_id, package_id, MAX_LISTED)
        return [self._complete_abandoned(investigation) for investigation in found]

    def close(self) -> None:
        """Start no further texts."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _complete_abandoned(self, found: Investigation) -> Investigation:
        """Return *found* as done if the process that wrote its text has ended."""
        if found.state != WorkState.RUNNING or self._now() - found.created_at < _TEXT_TIMEOUT:
            return found
        return replace(found, state=WorkState.DONE, completed_at=found.created_at)

    def _write_text(self, writer: TextWriter, tenant_id: str, found: Investigation) -> None:
        try:
            text, source = found.text, _TEMPLATES
            wording = writer.reword([sentence.statement.text for sentence in found.text])
            if wording is not None:
                text = apply_wording(found.text, wording)
                source = wording.model if text != found.text else _TEMPLATES
            with self._database.write(tenant_id) as session:
                store.complete_text(session, found.id, text, source[:100], self._now())
        except Exception:  # noqa: BLE001 - the text of the templates is stored
            _log.exception("the text of investigation %s was not stored", found.id)
        finally:
            self._slots.release()


def _record(session: Session, caller: Caller, package: Package, found: Investigation) -> None:
    _RECORDER.record_event(
        session,
        PackageInvestigated(
            package_id=package.id,
            tracking_number=package.number,
            carrier=package.carrier,
            investigation_id=found.id,
            kind=str(found.kind),
            findings=[finding.kind for finding in found.findings],
        ),
        subject=package.id,
        key=package.id,
        tenant_id=caller.tenant_id,
        time=found.created_at,
    )


def _load(
    session: Session, caller: Caller, package_id: str, kind: InvestigationKind, now: datetime
) -> _Subject:
    row = package_store.get_package(session, caller.tenant_id, package_id)
    if row is None:
        raise PackageNotFound
    package = package_store.to_package(row)
    events = sort_events(event_store.list_events(session, package_id))
    milestones = list_milestones(events)
    version = statistics_store.get_version(session, caller.tenant_id)
    return _Subject(
        package=package,
        events=events,
        milestones=milestones,
        steps=list_steps(milestones),
        tables=load_sample_tables(session, caller.tenant_id, package, milestones),
        edges=load_edges(session, caller.tenant_id)
        if kind == InvestigationKind.ROUTE
        else _NO_SAMPLES,
        lane_count=statistics_store.count_lane(session, package),
        has_history=bool(version and version.figures.get("packages")),
        now=now,
    )


def _find_anomalies(subject: _Subject) -> _Result:
    groups = history.get_step_groups(subject.package)
    findings = find_structural(subject.events, subject.package.shipped_at)
    if subject.has_history:
        findings += find_unknown_lane(subject.package.lane, subject.lane_count, subject.events)
    findings += find_slow_steps(
        subject.steps, subject.tables.get(history.STEPS, _NO_SAMPLES), groups
    )
    if subject.is_open and subject.milestones:
        last = subject.milestones[-1]
        findings += find_stalled(
            subject.events[-1],
            subject.now,
            subject.tables.get(history.WAITS, _NO_SAMPLES),
            last.name,
            groups,
        )
    faults = [each for each in findings if each.kind != "insufficient_history"]
    text = [_describe_status(subject)]
    if not faults:
        text.append(Sentence(create_statement("no_anomaly"), subject.last_ids))
    text += [_to_sentence(each) for each in findings]
    return _Result(findings, {"events": len(subject.events), "anomalies": len(faults)}, text)


def _explain_delay(subject: _Subject) -> _Result:
    """Compare each step with what is usual, and name the one that lost most time."""
    package = subject.package
    table = subject.tables.get(history.STEPS, _NO_SAMPLES)
    groups = history.get_step_groups(package)
    parts: list[dict[str, Any]] = []
    losses: list[tuple[float, Step, float]] = []
    for step in subject.steps:
        norm = get_norm(table, step.name, groups)
        part: dict[str, Any] = {
            "step": step.name,
            "hours": round(step.hours, 2),
            "event_ids": [step.start.id, step.end.id],
            "usual_hours": None,
        }
        if norm is not None:
            part |= {
                "usual_hours": round(norm.p50, 2),
                "samples": norm.samples,
                "group": norm.group,
            }
            losses.append((step.hours - norm.p50, step, norm.p50))
        parts.append(part)
    _add_probabilities(subject, parts)
    findings = _find_troubles(subject.events)
    text = [_describe_status(subject), _describe_lateness(subject)]
    worst = max(losses, key=lambda each: each[0], default=None)
    if worst is not None and worst[0] > 0:
        _, step, usual = worst
        statement = create_statement(
            "lost_time",
            start=step.start.code,
            end=step.end.code,
            taken=step.hours,
            usual=usual,
        )
        text.append(Sentence(statement, (step.start.id, step.end.id)))
        findings.insert(
            0,
            Finding(
                "lost_time",
                Severity.WARNING,
                statement,
                (step.start.id, step.end.id),
                {"value": round(step.hours, 2), "expected": round(usual, 2)},
            ),
        )
    elif subject.steps and not losses:
        longest = max(subject.steps, key=lambda step: step.hours)
        ids = (longest.start.id, longest.end.id)
        statement = create_statement(
            "longest_step",
            start=longest.start.code,
            end=longest.end.code,
            taken=longest.hours,
        )
        text.append(Sentence(statement, ids))
        findings.append(describe_insufficient(ids, create_statement("few_packages")))
    if subject.is_open and subject.milestones:
        findings += find_stalled(
            subject.events[-1],
            subject.now,
            subject.tables.get(history.WAITS, _NO_SAMPLES),
            subject.milestones[-1].name,
            groups,
        )
    known = {sentence.statement.text for sentence in text}
    text += [_to_sentence(each) for each in findings if each.statement.text not in known]
    figures = {"late_hours": _get_late_hours(subject), "steps": parts}
    return _Result(findings, figures, text)


def _add_probabilities(subject: _Subject, parts: Sequence[dict[str, Any]]) -> None:
    """Add the probability to be late before and after each step."""
    forecasts = history.to_forecast_tables(subject.tables)
    by_event: dict[str, float | None] = {}
    for position, _, event in history.list_positions(subject.package, subject.milestones):
        if event is not None:
            forecast = forecasts.predict(position)
            by_event[event.id] = forecast.late_probability if forecast else None
    for part in parts:
        start, end = part["event_ids"]
        part["late_probability_before"] = _round(by_event.get(start))
        part["late_probability_after"] = _round(by_event.get(end))


def _find_troubles(events: Sequence[TrackingEvent]) -> list[Finding]:
    return [
        Finding(
            "reported_problem",
            Severity.WARNING,
            _describe_problem(event),
            (event.id,),
            {"value": str(event.reason or event.code)},
        )
        for event in events
        if event.code in _PROBLEM_CODES
    ]


def _describe_problem(event: TrackingEvent) -> Statement:
    values: dict[str, str] = {"code": event.code, "time": format_time(event.occurred_at)}
    if event.reason is None:
        return create_statement("reported_problem", **values)
    return create_statement("reported_problem_with_reason", **values, reason=event.reason)


def _predict_arrival(subject: _Subject) -> _Result:
    text = [_describe_status(subject)]
    if not subject.is_open:
        return _Result((), {"eta": None}, text)
    forecasts = history.to_forecast_tables(subject.tables)
    predicted = history.predict(
        lambda _: forecasts, subject.package, subject.milestones, subject.now
    )
    if predicted is None:
        finding = describe_insufficient(subject.last_ids, create_statement("no_forecast"))
        return _Result((finding,), {"eta": None}, [*text, _to_sentence(finding)])
    forecast, at, event = predicted
    p10, p50, p90 = (
        format_time(at + timedelta(hours=hours))
        for hours in (forecast.p10, forecast.p50, forecast.p90)
    )
    ids = (event.id,) if event else subject.last_ids
    statement = create_statement(
        "arrival", p50=p50, p10=p10, p90=p90, samples=forecast.samples, group=forecast.group
    )
    text.append(Sentence(statement, ids))
    late = _round(forecast.late_probability)
    if late is not None:
        text.append(Sentence(create_statement("late_probability", late=late), ids))
    eta = {
        "p10": p10,
        "p50": p50,
        "p90": p90,
        "late_probability": late,
        "basis": {"samples": forecast.samples, "group": forecast.group},
    }
    return _Result((), {"eta": eta}, text)


def _choose_route(subject: _Subject) -> _Result:
    """Compare the routes from where the package is to its destination."""
    package, text = subject.package, [_describe_status(subject)]
    figures: dict[str, Any] = {"routes": []}
    if not subject.is_open:
        return _Result((), figures, text)
    places = list_places(package, subject.events)
    destination = package.destination.key if package.destination else ""
    if not places or not destination:
        finding = describe_insufficient(subject.last_ids, create_statement("unknown_place"))
        return _Result((finding,), figures, [*text, _to_sentence(finding)])
    place, at, event = places[-1]
    promised = package.promised_at
    choice = choose_routes(
        subject.edges,
        RouteRequest(
            start=place,
            end=destination,
            carrier=package.carrier,
            hours_since=max(0.0, hours_between(at, subject.now)),
            hours_left=None if promised is None else hours_between(at, promised),
        ),
    )
    if not choice.routes:
        finding = describe_insufficient(
            subject.last_ids,
            create_statement("no_route", start=place, end=destination, samples=MIN_SAMPLES),
        )
        return _Result((finding,), figures, [*text, _to_sentence(finding)])
    ids = (event.id,) if event else subject.last_ids
    figures = {
        "from": place,
        "to": destination,
        "since": format_time(at),
        "carrier": choice.carrier,
        "routes": [route_to_json(route, at) for route in choice.routes],
    }
    findings = compare_routes(choice, ids)
    text += [describe_route(choice.routes[0], at, ids)]
    text += [_to_sentence(finding) for finding in findings]
    return _Result(findings, figures, text)


def _to_sentence(finding: Finding) -> Sentence:
    return Sentence(finding.statement, finding.event_ids)


_COMPUTATIONS: Final[Mapping[InvestigationKind, Callable[[_Subject], _Result]]] = {
    InvestigationKind.ANOMALY: _find_anomalies,
    InvestigationKind.DELAY: _explain_delay,
    InvestigationKind.PREDICTION: _predict_arrival,
    InvestigationKind.ROUTE: _choose_route,
}


def _describe_status(subject: _Subject) -> Sentence:
    package = subject.package
    values = {"number": package.number, "carrier": package.carrier}
    if not subject.events:
        return Sentence(create_statement("no_events", **values))
    last = subject.events[-1]
    statement = create_statement(
        "status",
        **values,
        status=package.state.status,
        code=last.code,
        time=format_time(last.occurred_at),
    )
    return Sentence(statement, (last.id,))


def _describe_lateness(subject: _Subject) -> Sentence:
    late = _get_late_hours(subject)
    if late is None or subject.package.promised_at is None:
        return Sentence(create_statement("no_promise"), subject.last_ids)
    promised = format_time(subject.package.promised_at)
    if late <= 0:
        template = "not_late" if subject.is_open else "delivered_in_time"
        return Sentence(create_statement(template, promised=promised), subject.last_ids)
    template = "delivered_late" if subject.package.state.delivered_at else "late"
    return Sentence(create_statement(template, late=late, promised=promised), subject.last_ids)


def _get_late_hours(subject: _Subject) -> float | None:
    promised = subject.package.promised_at
    if promised is None:
        return None
    end = subject.package.state.delivered_at or subject.now
    return round(hours_between(promised, end), 2)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
