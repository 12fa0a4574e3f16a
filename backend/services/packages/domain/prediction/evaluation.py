"""Figures of forecasts on past packages whose outcome is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from backend.services.packages.domain.prediction.forecasts import (
    Forecast,
    ForecastCollector,
    ForecastTables,
    Position,
)
from backend.services.packages.domain.prediction.samples import get_weight


@dataclass(frozen=True, slots=True)
class Observation:
    """A position of a delivered package, and the hours it took from there.

    Attributes:
        delivered_on: day of the delivery, counted from any fixed day; None if it is unknown.
    """

    position: Position
    remaining: float
    delivered_on: float | None = None

    @property
    def is_late(self) -> bool:
        left = self.position.hours_left
        return left is not None and self.remaining > left


@dataclass(frozen=True, slots=True)
class Split:
    """Observations from which forecasts are made, and those on which they are measured."""

    known: Sequence[Observation]
    held_out: Sequence[Observation]


def measure_forecasts(split: Split) -> dict[str, Any] | None:
    """Return the figures of `evaluate` over all steps, or None without a forecast."""
    tables = _summarize(split.known)
    forecasts = ((held_out, tables.predict(held_out.position)) for held_out in split.held_out)
    pairs = [(held_out, forecast) for held_out, forecast in forecasts if forecast is not None]
    return _measure(pairs) if pairs else None


def evaluate(splits: Sequence[Split]) -> dict[str, dict[str, Any]]:
    """Return figures by step, over the held out observations of all splits.

    Errors are in hours. `planned_…` are the figures of the planned time alone. The area under the
    curve is null if all or none are late.
    """
    by_step: dict[str, list[tuple[Observation, Forecast]]] = {}
    missing: dict[str, int] = {}
    for split in splits:
        tables = _summarize(split.known)
        for observation in split.held_out:
            step = observation.position.step
            forecast = tables.predict(observation.position)
            if forecast is None:
                missing[step] = missing.get(step, 0) + 1
            else:
                by_step.setdefault(step, []).append((observation, forecast))
    return {
        step: _measure(pairs) | {"without_forecast": missing.get(step, 0)}
        for step, pairs in by_step.items()
    }


def _summarize(known: Sequence[Observation]) -> ForecastTables:
    collector = ForecastCollector()
    newest = max((each.delivered_on for each in known if each.delivered_on is not None), default=0)
    for each in known:
        age = 0.0 if each.delivered_on is None else newest - each.delivered_on
        collector.add(each.position, each.remaining, get_weight(age))
    return collector.summarize()


def _measure(pairs: Sequence[tuple[Observation, Forecast]]) -> dict[str, Any]:
    lates = [observation.is_late for observation, _ in pairs]
    scores = [forecast.late_probability or 0.0 for _, forecast in pairs]
    errors = [abs(forecast.p50 - observation.remaining) for observation, forecast in pairs]
    planned = [
        abs((observation.position.hours_left or 0.0) - observation.remaining)
        for observation, _ in pairs
    ]
    covered = [
        forecast.p10 <= observation.remaining <= forecast.p90 for observation, forecast in pairs
    ]
    share = fmean(lates)
    figures: Mapping[str, float | None] = {
        "late_share": share,
        "late_auc": compute_auc(scores, lates),
        "brier": fmean((score - late) ** 2 for score, late in zip(scores, lates, strict=True)),
        # Without a forecast, each package gets the share of late ones.
        "planned_brier": share * (1 - share),
        "error_median": median(errors),
        "error_mean": fmean(errors),
        "planned_error_median": median(planned),
        "planned_error_mean": fmean(planned),
        "coverage_p10_p90": fmean(covered),
    }
    return {"count": len(pairs)} | {
        name: None if value is None else round(value, 4) for name, value in figures.items()
    }


def compute_auc(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Return the area under the receiver operating curve. Equal scores count half."""
    positive = sum(labels)
    negative = len(labels) - positive
    if not positive or not negative:
        return None
    order = sorted(range(len(scores)), key=scores.__getitem__)
    rank_sum, start = 0.0, 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        rank = (start + end + 1) / 2
        rank_sum += rank * sum(labels[index] for index in order[start:end])
        start = end
    return (rank_sum - positive * (positive + 1) / 2) / (positive * negative)
