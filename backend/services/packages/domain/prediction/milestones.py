"""Milestones of a package's way, and the steps between them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backend.services.packages.model import EventCode, TrackingEvent

START: Final = "start"
_MAX_COUNT: Final = 4

# Codes that show progress, in the order of a usual way.
PROGRESS_CODES: Final = (
    EventCode.PICKED_UP,
    EventCode.ACCEPTED,
    EventCode.DEPARTED,
    EventCode.ARRIVED,
    EventCode.CUSTOMS_HELD,
    EventCode.CUSTOMS_RELEASED,
    EventCode.OUT_FOR_DELIVERY,
    EventCode.DELIVERY_ATTEMPTED,
    EventCode.AVAILABLE_FOR_PICKUP,
    EventCode.DELIVERED,
)
_REPEATED: Final = frozenset({EventCode.DEPARTED, EventCode.ARRIVED, EventCode.DELIVERY_ATTEMPTED})


@dataclass(frozen=True, slots=True)
class Milestone:
    """A milestone that was reached. *name* is its code, with a number if it can come repeatedly."""

    name: str
    event: TrackingEvent


@dataclass(frozen=True, slots=True)
class Step:
    """The way from one milestone to the next. *name* is `departed_1>arrived_1`, for example."""

    name: str
    start: TrackingEvent
    end: TrackingEvent

    @property
    def hours(self) -> float:
        return hours_between(self.start.occurred_at, self.end.occurred_at)


def list_milestones(events: Sequence[TrackingEvent]) -> list[Milestone]:
    """Return the milestones of *events*, which are in order. The last is the delivery, if any."""
    milestones: list[Milestone] = []
    counts: dict[EventCode, int] = {}
    for event in events:
        if event.code not in PROGRESS_CODES:
            continue
        name = str(event.code)
        if event.code in _REPEATED:
            counts[event.code] = counts.get(event.code, 0) + 1
            name = f"{name}_{min(counts[event.code], _MAX_COUNT)}"
        milestones.append(Milestone(name, event))
        if event.code == EventCode.DELIVERED:
            break
    return milestones


def list_steps(milestones: Sequence[Milestone]) -> list[Step]:
    """Return the steps between *milestones*."""
    return [
        Step(f"{before.name}>{after.name}", before.event, after.event)
        for before, after in itertools.pairwise(milestones)
    ]


def hours_between(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() / 3600
