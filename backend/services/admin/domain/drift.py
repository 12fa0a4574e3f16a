"""Drift of answers, as the agent service detects it."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from backend.chassis.http import ServiceClient, UpstreamError
from backend.services.admin.errors import DriftUnavailable

_log = logging.getLogger(__name__)


class DriftHour(BaseModel):
    """The value of an assessed hour, and the one that was expected; null while it was learned."""

    model_config = ConfigDict(extra="ignore")

    hour: datetime
    value: float
    expected: float | None


class DriftSeries(BaseModel):
    """The latest assessed hour of a series, and the value that was expected.

    `window_hours` is over 1 if the hour had too few requests: the hours before it are included
    then. `basis` names the hours that `expected` was learned from. `score` is the difference in
    robust standard deviations, `change` is relative to `expected`. A `deviation` becomes `drift`
    if the next hour deviates in the same direction.

    `since` is the first of the hours in a row that deviate. `severity` is `info` for one such hour,
    `warning` for drift, and `critical` for drift with a score over 8. `missing_hours` is the number
    of hours with requests that are missing until the first value is expected; null after that.
    `hours` has the assessed hours of the last two days, oldest first.
    """

    model_config = ConfigDict(extra="ignore")

    name: str
    unit: str
    status: Literal["no_data", "learning", "too_few_requests", "normal", "deviation", "drift"]
    hour: datetime | None
    window_hours: int | None
    requests: int | None
    value: float | None
    expected: float | None
    basis: str | None
    score: float | None
    change: float | None
    since: datetime | None
    severity: Literal["info", "warning", "critical"] | None
    missing_hours: int | None
    hours: Sequence[DriftHour]


class DriftFinding(BaseModel):
    """A difference from the baseline: a `jump` from the usual values, or a `trend` over weeks."""

    model_config = ConfigDict(extra="ignore")

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
    """All observed series of answers, and the latest findings, newest first."""

    model_config = ConfigDict(extra="ignore")

    series: Sequence[DriftSeries]
    findings: Sequence[DriftFinding]


class DriftService:
    """Requests the drift from the agent service with the caller's credentials."""

    def __init__(self, agent: ServiceClient) -> None:
        self._agent = agent

    def get_drift(self, caller_headers: Mapping[str, str]) -> DriftResponse:
        """Return the observed series and findings.

        Raises:
            DriftUnavailable: the agent service does not respond as expected.
        """
        try:
            return DriftResponse.model_validate(self._agent.get("/drift", caller_headers))
        except (UpstreamError, ValidationError) as error:
            _log.warning("no drift from the agent: %s", error)
            raise DriftUnavailable from error
