"""Series that are observed for drift, and their hourly values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

SeriesName = Literal[
    "latency",
    "error_rate",
    "tokens",
    "refusal_rate",
    "empty_search_rate",
    "retrieval_score",
    "thumbs_down_rate",
]
Direction = Literal["increase", "decrease", "both"]


@dataclass(frozen=True, slots=True)
class Series:
    """A series of hourly means.

    Attributes:
        unit: unit of its values; `share` for values between 0 and 1.
        direction: changes in the other direction are no findings.
        min_change: smaller absolute changes are no findings, in *unit*.
    """

    name: SeriesName
    unit: Literal["seconds", "share", "tokens", "score"]
    direction: Direction
    min_change: float

    @property
    def is_rate(self) -> bool:
        return self.unit == "share"

    def is_finding_direction(self, change: float) -> bool:
        """Return whether a *change* of this sign can be a finding."""
        if self.direction == "both":
            return change != 0
        return change > 0 if self.direction == "increase" else change < 0


SERIES: Final[Sequence[Series]] = (
    Series("latency", "seconds", "increase", 0.2),
    Series("error_rate", "share", "increase", 0.03),
    Series("tokens", "tokens", "both", 50.0),
    Series("refusal_rate", "share", "increase", 0.05),
    Series("empty_search_rate", "share", "increase", 0.05),
    Series("retrieval_score", "score", "decrease", 0.02),
    Series("thumbs_down_rate", "share", "increase", 0.05),
)


@dataclass(frozen=True, slots=True)
class HourlyValue:
    """Values of one series in one hour: their number, their sum and the sum of their squares."""

    hour: datetime
    requests: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        return self.total / self.requests

    def __add__(self, other: object) -> "HourlyValue":
        """Return the values of both hours together, with the later hour."""
        if not isinstance(other, HourlyValue):
            return NotImplemented
        return HourlyValue(
            max(self.hour, other.hour),
            self.requests + other.requests,
            self.total + other.total,
            self.squares + other.squares,
        )

    @property
    def variance(self) -> float | None:
        """Variance of the values within the hour; None for a single value."""
        if self.requests < 2:
            return None
        return max(0.0, self.squares - self.total * self.mean) / (self.requests - 1)
