"""Route for drift: differences of recent answers from learned baselines, for administrators."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Self

from flask import Blueprint
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, require_permission
from backend.services.agent.domain.drift.monitor import DriftMonitor, DriftReport, SeriesState

bp = Blueprint("drift", __name__)


class DriftHourResponse(BaseModel):
    """The value of an assessed hour, and the one that was expected; null while it was learned."""

    hour: datetime
    value: float
    expected: float | None


class DriftSeriesResponse(BaseModel):
    """The latest assessed hour of a series, and the value that was expected.

    `window_hours` is over 1 if the hour had too few requests: the hours before it are included
    then. `basis` names the hours that `expected` was learned from. `score` is the difference in
    robust standard deviations, `change` is relative to `expected`. Before the first requests the
    status is `no_data`, and all values are null.

    `since` is the first of the hours in a row that deviate. `severity` is `info` for one such hour,
    `warning` for drift, and `critical` for drift with a score over 8. `missing_hours` is the number
    of hours with requests that are missing until the first value is expected; null after that.
    `hours` has the assessed hours of the last two days, oldest first.
    """

    name: str
    unit: str
    status: Literal["no_data", "learning", "too_few_requests", "normal", "deviation", "drift"]
    hour: datetime | None = None
    window_hours: int | None = None
    requests: int | None = None
    value: float | None = None
    expected: float | None = None
    basis: Literal["hour_of_week", "hour_of_day", "all_hours"] | None = None
    score: float | None = None
    change: float | None = None
    since: datetime | None = None
    severity: Literal["info", "warning", "critical"] | None = None
    missing_hours: int | None = None
    hours: Sequence[DriftHourResponse] = ()

    @classmethod
    def from_state(cls, state: SeriesState) -> Self:
        own_fields: dict[str, Any] = {
            "name": state.series.name,
            "unit": state.series.unit,
            "missing_hours": state.missing_hours,
            "hours": [
                DriftHourResponse.model_validate(hour, from_attributes=True) for hour in state.hours
            ],
        }
        assessment = state.assessment
        if assessment is None:
            return cls(status="no_data", **own_fields)
        assessed_fields = {
            field: getattr(assessment, field) for field in cls.model_fields.keys() - own_fields
        }
        return cls(**own_fields, **assessed_fields)


class DriftFindingResponse(BaseModel):
    """A difference from the baseline: a `jump` from the usual values, or a `trend` over weeks.

    `notified` is true if the event `agent.drift-detected` was published for it, which happens at
    most once a day for each series.
    """

    id: str
    series: str
    kind: Literal["jump", "trend"]
    hour: datetime
    found_at: datetime
    notified: bool
    value: float
    expected: float
    change: float | None
    basis: str
    requests: int | None


class DriftResponse(BaseModel):
    """All observed series, and the latest findings, newest first."""

    series: Sequence[DriftSeriesResponse]
    findings: Sequence[DriftFindingResponse]

    @classmethod
    def from_report(cls, report: DriftReport) -> Self:
        return cls(
            series=[DriftSeriesResponse.from_state(state) for state in report.series],
            findings=[
                DriftFindingResponse.model_validate(finding, from_attributes=True)
                for finding in report.findings
            ],
        )


@bp.get("/drift")
@require_permission(Permission.SYSTEM_READ)
@responds_with(DriftResponse)
def get_drift() -> DriftResponse:
    """Get the differences of recent answers from what is usual at their hour of the week."""
    return DriftResponse.from_report(use(DriftMonitor).get_report())
