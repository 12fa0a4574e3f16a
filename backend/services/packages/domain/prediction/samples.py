"""Samples of durations, kept as quantiles by group and mixed from fine to coarse groups."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

QUANTILE_COUNT: Final = 41
# A group of the weight n has the share n / (n + 20); the rest goes to the next coarser group.
_PRIOR: Final = 20
# Carriers and seasons change: a value that is this much older counts half.
_HALF_LIFE_DAYS: Final = 90.0

# A level from fine to coarse, such as `lane`, and the group's value at this level.
Group = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """Durations of a group in hours: their number and 41 quantiles, from minimum to maximum.

    Attributes:
        weight: sum of the weights of the values, see `get_weight`. Each has the weight 1 if their
            age is unknown.
    """

    count: int
    quantiles: Sequence[float]
    weight: float

    @classmethod
    def from_values(cls, values: Iterable[float]) -> "Sample":
        """Summarize *values* of equal weight. Raises ValueError if there are none."""
        return cls.from_weighted_values((value, 1.0) for value in values)

    @classmethod
    def from_weighted_values(cls, values: Iterable[tuple[float, float]]) -> "Sample":
        """Summarize pairs of a value and its weight. Raises ValueError if there are none."""
        ordered = sorted(values)
        if not ordered:
            raise ValueError("a sample needs at least one value")
        numbers = [value for value, _ in ordered]
        # A value stands for the middle of its own weight.
        middles, total = [], 0.0
        for _, weight in ordered:
            middles.append(total + weight / 2)
            total += weight
        span = middles[-1] - middles[0]
        last = QUANTILE_COUNT - 1
        points = (middles[0] + span * index / last for index in range(QUANTILE_COUNT))
        quantiles = tuple(_look_up(middles, numbers, point) for point in points)
        return cls(len(ordered), quantiles, total)

    def get_tail(self, value: float) -> float:
        """Return the share of the sample that is greater than *value*, 0 to 1."""
        points = self.quantiles
        if value >= points[-1]:
            return 0.0
        if value < points[0]:
            return 1.0
        # Between two quantiles the values are taken as evenly spread.
        right = bisect_right(points, value)
        low, high = points[right - 1], points[right]
        position = right - 1 + (value - low) / (high - low)
        return 1 - position / (len(points) - 1)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Samples of nested groups with their weights, which add up to 1.

    Attributes:
        parts: weight, group and sample, from fine to coarse.
    """

    parts: Sequence[tuple[float, Group, Sample]]

    @property
    def main(self) -> tuple[Group, Sample]:
        """Return the group that weighs most, and its sample."""
        _, group, sample = max(self.parts, key=lambda part: part[0])
        return group, sample

    @property
    def effective_size(self) -> float:
        """Return the number of values of equal weight that would be as precise (Kish, 1965)."""
        return 1 / sum(weight * weight / sample.weight for weight, _, sample in self.parts)

    def get_tail(self, value: float) -> float:
        """Return the probability of a duration greater than *value* hours."""
        return min(1.0, sum(weight * sample.get_tail(value) for weight, _, sample in self.parts))

    def get_quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return the durations in hours below which the *shares* of the mixture are."""
        # Minimum and maximum weigh as much as the other points. This makes intervals wider than the
        # samples themselves, which future packages exceed more often than past ones.
        points: list[tuple[float, float]] = []
        for part_weight, _, sample in self.parts:
            weight = part_weight / len(sample.quantiles)
            points += [(point, weight) for point in sample.quantiles]
        points.sort()  # fast, because the points of each part are in order
        values = [point for point, _ in points]
        sums = list(accumulate((weight for _, weight in points), initial=0.0))
        # Each point stands for the middle of its own weight.
        middles = [before + weight / 2 for before, (_, weight) in zip(sums, points, strict=False)]
        return [_look_up(middles, values, share * sums[-1]) for share in shares]


class SampleTable:
    """Samples by step and group. Built from values, or from stored samples."""

    def __init__(self, samples: Mapping[tuple[str, Group], Sample]) -> None:
        self._samples = dict(samples)

    def __iter__(self) -> Iterator[tuple[str, Group, Sample]]:
        for (step, group), sample in self._samples.items():
            yield step, group, sample

    def __len__(self) -> int:
        return len(self._samples)

    def select_largest(self, count: int) -> "SampleTable":
        """Return the table with the *count* samples of the most values."""
        if len(self._samples) <= count:
            return self
        largest = sorted(self._samples.items(), key=lambda item: -item[1].count)
        return SampleTable(dict(largest[:count]))

    def get_sample(self, step: str, group: Group) -> Sample | None:
        return self._samples.get((step, group))

    def mix(self, step: str, groups: Sequence[Group]) -> Mixture | None:
        """Return the mixture for *groups* (fine to coarse), or None if none has a sample."""
        by_level = {
            group[0]: (group, sample)
            for group in groups
            if (sample := self._samples.get((step, group))) is not None
        }
        # A part that is the whole, such as a lane with packages of one slack only, counts once.
        found = [
            (group, sample)
            for level, (group, sample) in by_level.items()
            if not _is_whole(sample, by_level.get(level.removesuffix("_slack")))
        ]
        parts: list[tuple[float, Group, Sample]] = []
        rest = 1.0
        for index, (group, sample) in enumerate(found):
            is_last = index == len(found) - 1
            weight = rest if is_last else rest * sample.weight / (sample.weight + _PRIOR)
            parts.append((weight, group, sample))
            rest -= weight
        return Mixture(parts) if parts else None


def _is_whole(part: Sample, whole: tuple[Group, Sample] | None) -> bool:
    return whole is not None and part is not whole[1] and part.count == whole[1].count


class SampleCollector:
    """Collects values by step and group, and summarizes them."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, Group], list[tuple[float, float]]] = defaultdict(list)

    def add(self, step: str, groups: Iterable[Group], hours: float, weight: float = 1.0) -> None:
        for group in groups:
            self._values[step, group].append((hours, weight))

    def summarize(self) -> SampleTable:
        return SampleTable(
            {key: Sample.from_weighted_values(values) for key, values in self._values.items()}
        )


def get_weight(age_days: float) -> float:
    """Return the weight of a value that is *age_days* older than the newest one, at most 1."""
    return float(0.5 ** (max(0.0, age_days) / _HALF_LIFE_DAYS))


def interpolate(ordered: Sequence[float], share: float) -> float:
    """Return the quantile *share* (0 to 1) of sorted values, linear between neighbours."""
    position = share * (len(ordered) - 1)
    low = int(position)
    if low + 1 >= len(ordered):
        return ordered[-1]
    part = position - low
    return ordered[low] * (1 - part) + ordered[low + 1] * part


def _look_up(positions: Sequence[float], values: Sequence[float], wanted: float) -> float:
    right = bisect_left(positions, wanted)
    if right == 0:
        return values[0]
    if right == len(positions):
        return values[-1]
    low, high = positions[right - 1], positions[right]
    part = 0.0 if high == low else (wanted - low) / (high - low)
    return values[right - 1] * (1 - part) + values[right] * part
