"""Distribution of durations that can be added: counts by seconds, rounded to three digits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import floor


class DurationCounts:
    """Counts of durations. Each is rounded to three significant digits, an error of 0.5 %."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._counts: Counter[float] = Counter()
        if counts is not None:
            self.add_counts(counts)

    def add(self, milliseconds: int, count: int = 1) -> None:
        self._counts[float(f"{milliseconds / 1000:.3g}")] += count

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Add counts in the form of `to_json`."""
        for seconds, count in counts.items():
            self._counts[float(seconds)] += count

    def to_json(self) -> dict[str, int]:
        """Return the counts by seconds, sorted."""
        return {f"{seconds:g}": count for seconds, count in sorted(self._counts.items())}

    @property
    def total(self) -> int:
        """Number of durations."""
        return self._counts.total()

    def get_quantile(self, share: float) -> float | None:
        """Return the quantile in seconds, interpolated between neighbours. None without durations.

        Args:
            share: from 0 (the shortest duration) to 1 (the longest).
        """
        if not self._counts:
            return None
        position = share * (self.total - 1)
        index = floor(position)
        items = sorted(self._counts.items())
        low, high = _get_item(items, index), _get_item(items, min(index + 1, self.total - 1))
        return round(low + (high - low) * (position - index), 3)


def _get_item(items: Sequence[tuple[float, int]], index: int) -> float:
    """Return the duration at *index* of all durations in ascending order."""
    for seconds, count in items:
        if index < count:
            return seconds
        index -= count
    return items[-1][0]
