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

# Values of one lane and season resemble each other, so that a sample tells less than its size says.
_WIDENING: Final = 1.5
# The promised time is kept as the expected one while it is between these shares of the sample: a
# smaller difference between the median and the promised time is as often noise as not.
_CENTRE: Final = (0.35, 0.65)
_SHARES: Final = (0.1, _CENTRE[0], 0.5, _CENTRE[1], 0.9)
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
            if bucket:
                groups.append(("destination_slack", f"{self.destination}|{bucket}"))
            groups.append(("destination", self.destination))
        if self.carrier:
            groups.append(("carrier", self.carrier))
        return (*groups, ("all", ""))

    @property
    def groups_without_plan(self) -> tuple[Group, ...]:
        """Return the groups that do not depend on the promised time."""
        return tuple(group for group in self.groups if not group[0].endswith("_slack"))


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

    def add(self, position: Position, remaining: float, weight: float = 1.0) -> None:
        """Add a position of a delivered package that took *remaining* hours from there."""
        if position.hours_left is not None:
            deviation = remaining - position.hours_left
            self._deviations.add(position.step, position.groups, deviation, weight)
        without_plan = position.groups_without_plan
        self._durations.add(position.step, without_plan, remaining, weight)

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
        p10, low, p50, high, p90 = (
            max(offset + value, hours_since)
            for value in mixture.get_quantiles(_remove_passed(mixture, hours_since - offset))
        )
        if left is not None and hours_since < left:
            p50 = min(max(left, low), high)
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
    """Return the shares of the whole mixture that are _SHARES of the values over *passed*."""
    gone = 1 - mixture.get_tail(passed)
    size = mixture.effective_size
    return [gone + (1 - gone) * _widen(share, size) for share in _SHARES]


def _widen(share: float, size: float) -> float:
    """Return the share of a sample below which the *share* of new values is expected.

    New values exceed the range of a small sample more often than its own ones: the quantile at the
    share s of n independent values is expected to be above s + (1 - 2 s) / (n + 1) of new values
    (Hyndman and Fan, 1996, definitions 6 and 7).
    """
    widened = share - _WIDENING * (1 - 2 * share) / (size + 1)
    return min(max(widened, 0.0), 1.0)


def _get_late(mixture: Mixture, left: float, hours_since: float) -> float:
    if hours_since >= left:
        return 1.0
    not_yet = mixture.get_tail(hours_since - left)
    return mixture.get_tail(0.0) / not_yet if not_yet > 0 else 1.0
