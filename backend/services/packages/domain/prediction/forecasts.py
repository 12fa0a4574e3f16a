"""Forecasts of the time of arrival from samples of earlier packages.

With a promised time, the sample of a group has the deviations from it: the remaining time that a
package needed, minus the time that was left until the promised time. Without one, it has the
remaining times. Both are kept for each step, so that a forecast uses what was observed at the
same point of the way.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backend.services.packages.domain.prediction.samples import (
    Group,
    Mixture,
    SampleCollector,
    SampleTable,
)

_SHARES: Final = (0.1, 0.5, 0.9)
_MIN_HOURS: Final = 0.5
_BUCKETS_PER_DOUBLING: Final = 2


@dataclass(frozen=True, slots=True)
class Position:
    """A point of a package's way.

    Attributes:
        step: the last milestone that was reached, such as `arrived_1`, or `start`.
        lane: origin and destination, "" if one is unknown.
        destination: "" if unknown.
        hours_left: hours until the promised time, None without one.
    """

    step: str
    lane: str
    destination: str
    carrier: str
    hours_left: float | None

    @property
    def groups(self) -> tuple[Group, ...]:
        """Return the groups that the position belongs to, from fine to coarse."""
        bucket = get_slack_bucket(self.hours_left)
        groups: list[Group] = []
        if self.lane:
            if bucket:
                groups.append(("lane_slack", f"{self.lane}|{bucket}"))
            groups.append(("lane", self.lane))
        if self.destination:
            groups.append(("destination", self.destination))
        if self.carrier:
            groups.append(("carrier", self.carrier))
        return (*groups, ("all", ""))


@dataclass(frozen=True, slots=True)
class Forecast:
    """Remaining time in hours after the position, and the probability to be late.

    Attributes:
        late_probability: None without a promised time.
        samples: size of the group that weighs most.
        group: its level and value, such as `lane code:DEFRA>code:USPDX`.
    """

    p10: float
    p50: float
    p90: float
    late_probability: float | None
    samples: int
    group: str


class ForecastCollector:
    """Collects the history from which forecasts are made."""

    def __init__(self) -> None:
        self._deviations = SampleCollector()
        self._durations = SampleCollector()

    def add(self, position: Position, remaining: float) -> None:
        """Add a position of a delivered package that took *remaining* hours from there."""
        if position.hours_left is not None:
            deviation = remaining - position.hours_left
            self._deviations.add(position.step, position.groups, deviation)
        without_plan = [group for group in position.groups if group[0] != "lane_slack"]
        self._durations.add(position.step, without_plan, remaining)

    def summarize(self) -> "ForecastTables":
        return ForecastTables(self._deviations.summarize(), self._durations.summarize())


@dataclass(frozen=True, slots=True)
class ForecastTables:
    """Samples of deviations from the promised time, and of remaining times."""

    deviations: SampleTable
    durations: SampleTable

    def predict(self, position: Position, hours_since: float = 0.0) -> Forecast | None:
        """Return the forecast for a package that reached *position* *hours_since* hours ago.

        The package is not delivered yet, so that only longer remaining times count. Returns None
        if there is no history of this step.
        """
        left = position.hours_left
        if left is not None:
            mixture = self.deviations.mix(position.step, position.groups)
            offset = left
        else:
            mixture = self.durations.mix(position.step, position.groups)
            offset = 0.0
        if mixture is None:
            return None
        p10, p50, p90 = (
            max(offset + value, hours_since)
            for value in mixture.get_quantiles(_remove_passed(mixture, hours_since - offset))
        )
        group, sample = mixture.main
        return Forecast(
            p10=p10,
            p50=p50,
            p90=p90,
            late_probability=None if left is None else _get_late(mixture, left, hours_since),
            samples=sample.count,
            group=" ".join(group).strip(),
        )


def get_slack_bucket(hours_left: float | None) -> str:
    """Return the bucket of the time until the promised time, "" if it is unknown.

    Two buckets for each doubling: delays depend on the ratio of the times more than on their
    difference.
    """
    if hours_left is None:
        return ""
    if hours_left <= 0:
        return "past"
    return str(round(math.log2(max(hours_left, _MIN_HOURS)) * _BUCKETS_PER_DOUBLING))


def _remove_passed(mixture: Mixture, passed: float) -> Sequence[float]:
    """Return the shares of the whole mixture that are P10, P50 and P90 of values over *passed*."""
    gone = 1 - mixture.get_tail(passed)
    return [gone + (1 - gone) * share for share in _SHARES]


def _get_late(mixture: Mixture, left: float, hours_since: float) -> float:
    if hours_since >= left:
        return 1.0
    not_yet = mixture.get_tail(hours_since - left)
    return mixture.get_tail(0.0) / not_yet if not_yet > 0 else 1.0
