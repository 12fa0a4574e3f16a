"""Positions, steps and waits of a package, taken from its events for statistics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from backend.services.packages.domain.prediction.evaluation import Observation
from backend.services.packages.domain.prediction.forecasts import (
    Forecast,
    ForecastCollector,
    ForecastTables,
    Position,
)
from backend.services.packages.domain.prediction.milestones import (
    START,
    Milestone,
    hours_between,
    list_milestones,
    list_steps,
)
from backend.services.packages.domain.prediction.places import (
    ALL_EDGES,
    CARRIER_EDGES,
    EDGE_STEP,
    EDGES,
    build_edge_key,
    list_edges,
)
from backend.services.packages.domain.prediction.samples import (
    Group,
    SampleCollector,
    SampleTable,
    get_weight,
)
from backend.services.packages.model import EventCode, Package, TrackingEvent

DEVIATIONS: Final = "remaining"
DURATIONS: Final = "duration"
STEPS: Final = "step"
WAITS: Final = "wait"
_MAX_KEY: Final = 560
_NO_SAMPLES: Final = SampleTable({})
# A choice of a route loads all edges.
_MAX_EDGES: Final = 10_000
_HOURS_PER_DAY: Final = 24
_SECONDS_PER_DAY: Final = 24 * 3600


class HistoryCollector:
    """Collects the histories of delivered packages.

    Args:
        newest: time of the newest delivery. Older ones weigh less in forecasts.
    """

    def __init__(self, newest: datetime) -> None:
        self._newest = newest
        self._forecasts = ForecastCollector()
        self._steps = SampleCollector()
        self._waits = SampleCollector()
        self._edges = SampleCollector()

    def add(self, package: Package, events: Sequence[TrackingEvent]) -> None:
        """Add a delivered package with its *events* in order."""
        milestones = list_milestones(events)
        if not milestones or milestones[-1].event.code != EventCode.DELIVERED:
            return
        delivered_at = milestones[-1].event.occurred_at
        weight = get_weight(hours_between(delivered_at, self._newest) / _HOURS_PER_DAY)
        groups = get_step_groups(package)
        for milestone in milestones[:-1]:
            at = milestone.event.occurred_at
            position = get_position(package, milestone.name, at)
            self._forecasts.add(position, hours_between(at, delivered_at), weight)
        started = get_start(package, milestones)
        position = get_position(package, START, started)
        self._forecasts.add(position, hours_between(started, delivered_at), weight)
        for step in list_steps(milestones):
            self._steps.add(step.name, groups, step.hours)
            self._waits.add(step.name.partition(">")[0], groups, step.hours)
        for start, end, hours in list_edges(package, events):
            edge_groups = (
                (CARRIER_EDGES, build_edge_key(package.carrier, start, end)),
                (ALL_EDGES, build_edge_key("", start, end)),
            )
            self._edges.add(EDGE_STEP, edge_groups, hours)

    def summarize(self) -> Mapping[str, SampleTable]:
        """Return the samples by kind."""
        forecasts = self._forecasts.summarize()
        return {
            DEVIATIONS: forecasts.deviations,
            DURATIONS: forecasts.durations,
            STEPS: self._steps.summarize(),
            WAITS: self._waits.summarize(),
            EDGES: self._edges.summarize().select_largest(_MAX_EDGES),
        }


def get_position(package: Package, step: str, at: datetime) -> Position:
    """Return the position of *package* that reached *step* at this time."""
    left = None if package.promised_at is None else hours_between(at, package.promised_at)
    destination = package.destination.key if package.destination else ""
    return Position(
        step, (package.lane or "")[:_MAX_KEY], destination[:_MAX_KEY], package.carrier, left
    )


def get_step_groups(package: Package) -> Sequence[Group]:
    """Return the groups in which the durations of the package's steps are compared."""
    return get_position(package, START, package.created_at).groups_without_plan


def get_start(package: Package, milestones: Sequence[Milestone]) -> datetime:
    """Return when the package's way began: when it was shipped, or at its first milestone."""
    if package.shipped_at is not None:
        return package.shipped_at
    return milestones[0].event.occurred_at if milestones else package.created_at


def list_positions(
    package: Package, milestones: Sequence[Milestone]
) -> list[tuple[Position, datetime, TrackingEvent | None]]:
    """Return the positions of *package* so far, with their times and events."""
    return list(_iterate_positions(package, milestones))[::-1]


def _iterate_positions(
    package: Package, milestones: Sequence[Milestone]
) -> Iterator[tuple[Position, datetime, TrackingEvent | None]]:
    """Yield the positions of *package*, the latest first."""
    for milestone in reversed(milestones):
        at = milestone.event.occurred_at
        yield get_position(package, milestone.name, at), at, milestone.event
    start = get_start(package, milestones)
    yield get_position(package, START, start), start, None


def list_observations(package: Package, events: Sequence[TrackingEvent]) -> list[Observation]:
    """Return the positions of a delivered package with the time that it took from there.

    Args:
        events: in order. Without a delivery at the end, the result is empty.
    """
    milestones = list_milestones(events)
    if not milestones or milestones[-1].event.code != EventCode.DELIVERED:
        return []
    delivered_at = milestones[-1].event.occurred_at
    day = delivered_at.timestamp() / _SECONDS_PER_DAY
    return [
        Observation(position, hours_between(at, delivered_at), day)
        for position, at, _ in list_positions(package, milestones[:-1])
    ]


def predict(
    get_tables: Callable[[Position], ForecastTables],
    package: Package,
    milestones: Sequence[Milestone],
    now: datetime,
) -> tuple[Forecast, datetime, TrackingEvent | None] | None:
    """Return the forecast from the latest position with history, its time and its event.

    Args:
        get_tables: returns tables with the samples of the position's groups.
    """
    for position, at, event in _iterate_positions(package, milestones):
        hours_since = max(0.0, hours_between(at, now))
        forecast = get_tables(position).predict(position, hours_since)
        if forecast is not None:
            return forecast, at, event
    return None


def to_forecast_tables(tables: Mapping[str, SampleTable]) -> ForecastTables:
    return ForecastTables(tables.get(DEVIATIONS, _NO_SAMPLES), tables.get(DURATIONS, _NO_SAMPLES))
