"""Aggregates the measures of runs by hour and compares each hour with its baseline."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from prometheus_client.core import GaugeMetricFamily, Metric

from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.chassis.messaging.outbox import EventRecorder
from backend.services.agent.domain.drift.baselines import (
    HISTORY,
    MIN_HISTORY,
    Assessment,
    Trend,
    assess_hour,
    assess_trend,
    count_missing_hours,
)
from backend.services.agent.domain.drift.measures import add_up_measures, get_hour
from backend.services.agent.domain.drift.series import SERIES, HourlyValue, Series
from backend.services.agent.events import DriftDetected, DriftKind
from backend.services.agent.store import drift as store
from backend.services.agent.store.tables import DriftFinding, HourlyValueRow

_log = logging.getLogger(__name__)
_EVENTS: Final = EventRecorder("agent")
_LOCK: Final = "agent drift"
_HOUR: Final = timedelta(hours=1)
# Runs that finish at the end of an hour are stored a moment later.
_GRACE: Final = timedelta(minutes=2)
_BATCH_SIZE: Final = 5_000
# Hours of an outage of this service are not assessed afterwards.
_MAX_ASSESSED_AGE: Final = timedelta(hours=24)
_FEEDBACK_HOURS: Final = 3
_NOTIFICATION_INTERVAL: Final = timedelta(days=1)
# One week longer than the history that a comparison needs.
_VALUE_RETENTION: Final = HISTORY + timedelta(weeks=1)
_FINDING_RETENTION: Final = timedelta(days=90)
# An older assessment is not current.
_MAX_CURRENT_AGE: Final = timedelta(hours=6)
_MAX_FINDINGS: Final = 100
_REPORTED_TIME: Final = timedelta(hours=48)
_THUMBS_DOWN: Final = "thumbs_down_rate"


@dataclass(frozen=True, slots=True)
class Finding:
    """A stored finding; `kind` is `jump` or `trend`. `change` is relative, None for no base."""

    id: str
    series: str
    kind: DriftKind
    hour: datetime
    found_at: datetime
    notified: bool
    value: float
    expected: float
    change: float | None
    basis: str
    requests: int | None


@dataclass(frozen=True, slots=True)
class SeriesState:
    """A series with its latest assessment, or None if it has no values yet.

    Attributes:
        missing_hours: hours with requests that are missing until the first baseline; None if the
            latest hour was compared with one.
        hours: the assessed hours of the last two days, oldest first.
    """

    series: Series
    assessment: Assessment | None
    missing_hours: int | None
    hours: Sequence[Assessment]


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The state of all series, and the latest findings."""

    series: Sequence[SeriesState]
    findings: Sequence[Finding]


class DriftMonitor:
    """Detects drift in the answers to all tenants. *database* must bypass row-level security."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def run(self) -> bool:
        """Add finished hours to the hourly values and assess them.

        Several processes can call this: a lock in the database lets one after the other work.
        Returns True if there may be more to do.
        """
        now = self._now()
        end = get_hour(now - _GRACE)
        with self._database.write() as session:
            acquire_transaction_lock(session, _LOCK)
            measures = store.take_measures(session, end, _BATCH_SIZE)
            for (series, _), value in add_up_measures(measures).items():
                _add_value(session, series, value)
        if len(measures) == _BATCH_SIZE:
            return True
        with self._database.write() as session:
            acquire_transaction_lock(session, _LOCK)
            _add_feedback(session, end)
            for name in store.list_series_to_assess(session, end - _MAX_ASSESSED_AGE):
                self._assess_series(session, name, end)
            store.delete_old_rows(session, now - _VALUE_RETENTION, now - _FINDING_RETENTION)
        return False

    def get_report(self) -> DriftReport:
        """Return the state of each series and the latest findings."""
        end = get_hour(self._now())
        with self._database.read() as session:
            latest = _list_latest_assessments(session)
            findings = [_to_finding(row) for row in store.list_findings(session, _MAX_FINDINGS)]
            states = [
                _to_state(
                    series,
                    latest[series.name],
                    store.list_values(session, series.name, end - MIN_HISTORY),
                    end,
                )
                for series in SERIES
            ]
        return DriftReport(states, findings)

    def read_metrics(self) -> Iterator[Metric]:
        """Yield the gauges of the latest assessments; those over six hours old are no drift."""
        active = GaugeMetricFamily(
            "agent_drift_active",
            "1 if the values of the last hours differ from the learned baseline.",
            labels=["series"],
        )
        score = GaugeMetricFamily(
            "agent_drift_score",
            "Difference from the learned baseline in robust standard deviations, with its sign.",
            labels=["series"],
        )
        now = self._now()
        with self._database.read() as session:
            latest = _list_latest_assessments(session)
        for name, assessment in latest.items():
            if assessment is None or assessment.hour < now - _MAX_CURRENT_AGE:
                active.add_metric([name], 0.0)
                continue
            active.add_metric([name], float(assessment.status == "drift"))
            if assessment.score is not None:
                score.add_metric([name], assessment.score)
        yield active
        yield score

    def _assess_series(self, session: Session, name: str, end: datetime) -> None:
        series = next((series for series in SERIES if series.name == name), None)
        if series is None:  # stored by another version of the service
            return
        rows = store.list_values(session, name, end - _MAX_ASSESSED_AGE - HISTORY)
        history = [_to_value(row) for row in rows]
        previous: Assessment | None = None
        for number, row in enumerate(rows):
            if row.assessment is not None or row.hour < end - _MAX_ASSESSED_AGE:
                previous = _parse_assessment(row.assessment)
                continue
            past = history[: number + 1]
            previous = assess_hour(series, past, row.hour, previous)
            store.store_assessment(session, name, row.hour, _assessment_to_json(previous))
            if previous.status == "drift":
                self._add_finding(session, series, "jump", row.hour, previous)
            trend = assess_trend(series, past, row.hour)
            if trend is not None and trend.is_finding:
                self._add_finding(session, series, "trend", row.hour, trend)

    def _add_finding(
        self,
        session: Session,
        series: Series,
        kind: DriftKind,
        hour: datetime,
        comparison: Assessment | Trend,
    ) -> None:
        """Store a finding, and publish an event unless the series had one in the last day.

        A trend lasts for weeks and is stored once a day.
        """
        now = self._now()
        since = now - _NOTIFICATION_INTERVAL
        if kind == "trend" and store.has_finding(session, series.name, since, kind=kind):
            return
        is_notified = not store.has_finding(session, series.name, since, notified=True)
        fields = _comparison_to_json(comparison)
        row = DriftFinding(
            id=f"drift_{uuid4().hex[:24]}",
            series=series.name,
            kind=kind,
            hour=hour,
            found_at=now,
            notified=is_notified,
            comparison=fields,
        )
        session.add(row)
        session.flush()
        if not is_notified:
            return
        _log.warning(
            "drift of %s: %.4g %s instead of %.4g",
            *(series.name, fields["value"], series.unit, fields["expected"]),
            extra={"fields": {"series": series.name, "kind": kind, "hour": hour.isoformat()}},
        )
        _EVENTS.record_event(
            session,
            DriftDetected(
                finding_id=row.id,
                series=series.name,
                unit=series.unit,
                kind=kind,
                hour=hour,
                **fields,
            ),
            subject=row.id,
            key=series.name,
            tenant_id="",
            time=now,
        )


def _list_latest_assessments(session: Session) -> Mapping[str, Assessment | None]:
    """Return the latest assessment of each series, None for a series without values."""
    stored = store.list_latest_assessments(session)
    return {series.name: _parse_assessment(stored.get(series.name)) for series in SERIES}


def _to_state(
    series: Series, latest: Assessment | None, rows: Sequence[HourlyValueRow], end: datetime
) -> SeriesState:
    has_baseline = latest is not None and latest.expected is not None
    assessments = [
        _parse_assessment(row.assessment) for row in rows if row.hour >= end - _REPORTED_TIME
    ]
    return SeriesState(
        series,
        latest,
        None if has_baseline else count_missing_hours([_to_value(row) for row in rows], end),
        [assessment for assessment in assessments if assessment is not None],
    )


def _add_value(session: Session, series: str, value: HourlyValue) -> None:
    row = store.find_value(session, series, value.hour)
    if row is None:
        session.add(
            HourlyValueRow(
                series=series,
                hour=value.hour,
                requests=value.requests,
                total=value.total,
                squares=value.squares,
            )
        )
        return
    row.requests += value.requests
    row.total += value.total
    row.squares += value.squares


def _add_feedback(session: Session, end: datetime) -> None:
    """Add the feedback of the last hours before *end* that have no value yet."""
    for number in range(1, _FEEDBACK_HOURS + 1):
        hour = end - number * _HOUR
        if store.find_value(session, _THUMBS_DOWN, hour) is not None:
            continue
        total, down = store.count_feedback(session, hour, hour + _HOUR)
        if total:
            _add_value(session, _THUMBS_DOWN, HourlyValue(hour, total, down, down))


def _to_value(row: HourlyValueRow) -> HourlyValue:
    return HourlyValue(row.hour, row.requests, row.total, row.squares)


def _assessment_to_json(assessment: Assessment) -> dict[str, Any]:
    times = {"hour": assessment.hour, "since": assessment.since}
    return asdict(assessment) | {
        name: None if time is None else time.isoformat() for name, time in times.items()
    }


def _parse_assessment(fields: Mapping[str, Any] | None) -> Assessment | None:
    if fields is None:
        return None
    # Assessments of earlier versions have no `since`.
    times = {name: fields[name] for name in ("hour", "since") if fields.get(name) is not None}
    return Assessment(
        **{**fields, **{name: datetime.fromisoformat(text) for name, text in times.items()}}
    )


def _comparison_to_json(comparison: Assessment | Trend) -> dict[str, Any]:
    """Return the fields that both kinds of findings have."""
    if isinstance(comparison, Trend):
        basis, requests = "four_weeks_before", None
    else:
        basis, requests = comparison.basis or "", comparison.requests
    return {
        "value": comparison.value,
        "expected": comparison.expected,
        "change": comparison.change,
        "basis": basis,
        "requests": requests,
    }


def _to_finding(row: DriftFinding) -> Finding:
    kind: DriftKind = "trend" if row.kind == "trend" else "jump"
    return Finding(row.id, row.series, kind, row.hour, row.found_at, row.notified, **row.comparison)
