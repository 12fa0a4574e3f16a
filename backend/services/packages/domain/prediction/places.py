"""The places that a package passed, and the times between them: samples of a graph's edges."""

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from backend.services.packages.model import EventCode, Package, TrackingEvent

EDGES: Final = "edge"
# Both groups of an edge: that of the carrier, and that of all carriers.
CARRIER_EDGES: Final = "carrier_edge"
ALL_EDGES: Final = "edge"
EDGE_STEP: Final = "edge"
DELIVERY: Final = "delivered"
# Places contain no control characters.
_SEPARATOR: Final = "\t"
_MAX_PLACE: Final = 255


class PlaceArrival(NamedTuple):
    """The time at which a package reached a place, and the event that shows it, if any."""

    place: str
    at: datetime
    event: TrackingEvent | None


def list_places(package: Package, events: Sequence[TrackingEvent]) -> list[PlaceArrival]:
    """Return the places of *package* in order, from its origin. *events* are in order."""
    places: list[PlaceArrival] = []
    if package.origin is not None and package.origin.key and (events or package.shipped_at):
        start = package.shipped_at or events[0].occurred_at
        places.append(PlaceArrival(package.origin.key[:_MAX_PLACE], start, None))
    for event in events:
        place = event.location.key[:_MAX_PLACE] if event.location else ""
        if place and (not places or places[-1].place != place):
            places.append(PlaceArrival(place, event.occurred_at, event))
        elif place and places[-1].event is None:
            places[-1] = places[-1]._replace(event=event)
    return places


def list_edges(package: Package, events: Sequence[TrackingEvent]) -> list[tuple[str, str, float]]:
    """Return start, end and hours of each leg between places of a delivered package.

    The last is from its destination to DELIVERY.
    """
    delivered = next((event for event in events if event.code == EventCode.DELIVERED), None)
    if delivered is None:
        return []
    passed = events[: events.index(delivered) + 1]
    places = list_places(package, passed)
    destination = package.destination.key[:_MAX_PLACE] if package.destination else ""
    if destination and (not places or places[-1].place != destination):
        places.append(PlaceArrival(destination, delivered.occurred_at, delivered))
    if places:
        places.append(PlaceArrival(DELIVERY, delivered.occurred_at, delivered))
    edges = []
    for before, after in itertools.pairwise(places):
        hours = (after.at - before.at).total_seconds() / 3600
        if hours >= 0:
            edges.append((before.place, after.place, hours))
    return edges


def build_edge_key(carrier: str, start: str, end: str) -> str:
    """Return the key of the group of an edge, with "" for all carriers."""
    return _SEPARATOR.join((carrier, start, end))


def split_edge_key(key: str) -> tuple[str, str, str]:
    """Return carrier, start and end of a key of `build_edge_key`."""
    carrier, start, end = key.split(_SEPARATOR)
    return carrier, start, end
