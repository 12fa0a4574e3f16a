"""Queries on the values for drift detection. The caller owns the transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Table, case, delete, func, insert, select, update
from sqlalchemy.orm import Session

from backend.services.agent.store.tables import (
    DriftFinding,
    Feedback,
    HourlyValueRow,
    RunMeasure,
)

_MEASURES: Final[Table] = RunMeasure.metadata.tables[RunMeasure.__tablename__]
# Built once: the statement is executed at the end of every run.
_ADD_MEASURE: Final = insert(_MEASURES)


class Measure(NamedTuple):
    """Measures of one run, see RunMeasure."""

    finished_at: datetime
    failed: bool
    took_ms: int
    tokens: int
    searched: bool
    refused: bool
    best_score: float | None


def add_measure(session: Session, values: Mapping[str, Any]) -> None:
    """Store the columns *values* of the measures of a run."""
    session.execute(_ADD_MEASURE, values)


def take_measures(session: Session, before: datetime, limit: int) -> Sequence[Measure]:
    """Delete and return up to *limit* measures of runs that finished before *before*."""
    ids = (
        select(_MEASURES.c.id)
        .where(_MEASURES.c.finished_at < before)
        .order_by(_MEASURES.c.finished_at)
        .limit(limit)
    )
    columns = [_MEASURES.c[name] for name in Measure._fields]
    statement = delete(_MEASURES).where(_MEASURES.c.id.in_(ids)).returning(*columns)
    return [Measure(*row) for row in session.execute(statement)]


def count_feedback(session: Session, start: datetime, end: datetime) -> tuple[int, int]:
    """Return the numbers of feedback entries and of thumbs down between *start* and *end*."""
    down = func.sum(case((Feedback.thumb == "down", 1), else_=0))
    total, down_count = session.execute(
        select(func.count(), down).where(Feedback.updated_at >= start, Feedback.updated_at < end)
    ).one()
    return total, int(down_count or 0)


def find_value(session: Session, series: str, hour: datetime) -> HourlyValueRow | None:
    return session.get(HourlyValueRow, (series, hour))


def list_values(session: Session, series: str, since: datetime) -> Sequence[HourlyValueRow]:
    """Return the values of *series* from *since* on, in order of time."""
    return session.scalars(
        select(HourlyValueRow)
        .where(HourlyValueRow.series == series, HourlyValueRow.hour >= since)
        .order_by(HourlyValueRow.hour)
    ).all()


def list_series_to_assess(session: Session, since: datetime) -> Sequence[str]:
    """Return the names of series with values from *since* on that are not assessed."""
    return session.scalars(
        select(HourlyValueRow.series)
        .where(HourlyValueRow.hour >= since, HourlyValueRow.assessment.is_(None))
        .distinct()
        .order_by(HourlyValueRow.series)
    ).all()


def store_assessment(
    session: Session, series: str, hour: datetime, assessment: Mapping[str, Any]
) -> None:
    session.execute(
        update(HourlyValueRow)
        .where(HourlyValueRow.series == series, HourlyValueRow.hour == hour)
        .values(assessment=dict(assessment))
    )


def list_latest_assessments(session: Session) -> Mapping[str, Mapping[str, Any]]:
    """Return the latest assessment of each series."""
    latest = (
        select(HourlyValueRow.series, func.max(HourlyValueRow.hour).label("hour"))
        .where(HourlyValueRow.assessment.is_not(None))
        .group_by(HourlyValueRow.series)
        .subquery()
    )
    rows = session.execute(
        select(HourlyValueRow.series, HourlyValueRow.assessment).join(
            latest,
            (latest.c.series == HourlyValueRow.series) & (latest.c.hour == HourlyValueRow.hour),
        )
    )
    return {series: assessment for series, assessment in rows if assessment is not None}


def list_findings(session: Session, limit: int) -> Sequence[DriftFinding]:
    """Return the latest findings, newest first."""
    return session.scalars(
        select(DriftFinding)
        .order_by(DriftFinding.found_at.desc(), DriftFinding.series, DriftFinding.kind)
        .limit(limit)
    ).all()


def has_finding(
    session: Session,
    series: str,
    since: datetime,
    *,
    kind: str | None = None,
    notified: bool | None = None,
) -> bool:
    """Return whether *series* has a finding since *since*, of this kind and notification state."""
    query = select(DriftFinding.id).where(
        DriftFinding.series == series, DriftFinding.found_at > since
    )
    if kind is not None:
        query = query.where(DriftFinding.kind == kind)
    if notified is not None:
        query = query.where(DriftFinding.notified == notified)
    return session.scalar(query.limit(1)) is not None


def delete_old_rows(session: Session, values_before: datetime, findings_before: datetime) -> None:
    """Delete hourly values and findings before these times."""
    session.execute(delete(HourlyValueRow).where(HourlyValueRow.hour < values_before))
    session.execute(delete(DriftFinding).where(DriftFinding.found_at < findings_before))
