"""Choice of the route of a package, from the times that earlier packages needed.

The places that packages passed are the nodes of a graph, and the times between them the samples of
its edges. The times of the legs of a route are taken as independent of each other.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from backend.services.packages.domain.findings.durations import MIN_SAMPLES
from backend.services.packages.domain.optimization.graphs import Graph, Path, find_paths
from backend.services.packages.domain.prediction.places import (
    ALL_EDGES,
    CARRIER_EDGES,
    DELIVERY,
    EDGE_STEP,
    build_edge_key,
    split_edge_key,
)
from backend.services.packages.domain.prediction.samples import (
    QUANTILE_COUNT,
    Group,
    Mixture,
    SampleTable,
    interpolate,
)

_PATHS: Final = 4
_DRAWS: Final = 2000
_SHARES: Final = (0.1, 0.5, 0.9)
_LEG_SHARES: Final = tuple(index / (QUANTILE_COUNT - 1) for index in range(QUANTILE_COUNT))


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of a route. `end` is `delivered` for the delivery at the last place."""

    start: str
    end: str
    p50_hours: float
    p90_hours: float
    samples: int


@dataclass(frozen=True, slots=True)
class Route:
    """A route, and quantiles of the hours that it takes from its first place.

    Attributes:
        on_time: probability of delivery on time, None without a promised time.
    """

    legs: Sequence[Leg]
    p10: float
    p50: float
    p90: float
    on_time: float | None

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(leg.start for leg in self.legs)

    @property
    def samples(self) -> int:
        """Return the number of samples of the leg with the fewest."""
        return min(leg.samples for leg in self.legs)


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """Where a package is and must go.

    Attributes:
        hours_since: hours since it reached *start*.
        hours_left: hours from then until the promised time, None without one.
    """

    start: str
    end: str
    carrier: str
    hours_since: float
    hours_left: float | None


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """The possible routes, best first. *carrier* is None if they are those of all carriers."""

    routes: Sequence[Route]
    carrier: str | None


def choose_routes(edges: SampleTable, request: RouteRequest) -> RouteChoice:
    """Return the routes over edges that at least 30 packages passed.

    They are the shortest by P50 and by P90. The carrier's own edges are used, or those of all
    carriers if its own do not reach the destination. The best has the highest probability of
    delivery on time, or the lowest P50.
    """
    for level, carrier in ((CARRIER_EDGES, request.carrier), (ALL_EDGES, None)):
        mixtures = _list_edges(edges, level, carrier)
        paths: dict[Path, None] = {}
        for share in (0.5, 0.9):
            graph = _build_graph(mixtures, share)
            target = _name_delivery(request.end)
            paths |= dict.fromkeys(find_paths(graph, request.start, target, _PATHS))
        if paths:
            routes = [_evaluate(path, mixtures, request) for path in paths]
            routes.sort(key=lambda route: (-(route.on_time or 0.0), route.p50))
            return RouteChoice(routes, carrier)
    return RouteChoice((), None)


def _list_edges(
    table: SampleTable, level: str, carrier: str | None
) -> dict[tuple[str, str], Mixture]:
    edges = {}
    for _, (own_level, key), sample in table:
        if own_level != level or sample.count < MIN_SAMPLES:
            continue
        edge_carrier, start, end = split_edge_key(key)
        if carrier is not None and edge_carrier != carrier:
            continue
        groups: list[Group] = [(ALL_EDGES, build_edge_key("", start, end))]
        if carrier is not None:
            groups.insert(0, (level, key))
        mixture = table.mix(EDGE_STEP, groups)
        if mixture is not None:
            edges[start, _name_delivery(start) if end == DELIVERY else end] = mixture
    return edges


def _build_graph(edges: dict[tuple[str, str], Mixture], share: float) -> Graph:
    graph: dict[str, dict[str, float]] = {}
    for (start, end), mixture in edges.items():
        hours = max(0.0, mixture.get_quantiles((share,))[0])
        graph.setdefault(start, {})[end] = hours
    return graph


def _name_delivery(place: str) -> str:
    """Return the node that is reached when a package is delivered at *place*."""
    return f"{place}\t{DELIVERY}"


def _evaluate(path: Path, edges: dict[tuple[str, str], Mixture], request: RouteRequest) -> Route:
    mixtures = [edges[edge] for edge in itertools.pairwise(path)]
    points = [mixture.get_quantiles(_LEG_SHARES) for mixture in mixtures]
    # The same seed for each route: differences between routes are not random.
    source = random.Random(0)  # noqa: S311 - no secret depends on it
    gone = 1 - mixtures[0].get_tail(request.hours_since)
    totals = []
    for _ in range(_DRAWS):
        shares = [source.random() for _ in points]
        # The package is still at the first place, so that only longer times count there.
        shares[0] = gone + (1 - gone) * shares[0]
        hours = [interpolate(values, share) for values, share in zip(points, shares, strict=True)]
        hours[0] = max(hours[0], request.hours_since)
        totals.append(sum(hours))
    totals.sort()
    left = request.hours_left
    p10, p50, p90 = (interpolate(totals, share) for share in _SHARES)
    return Route(
        legs=[
            _build_leg(start, end, mixture)
            for start, end, mixture in zip(path, path[1:], mixtures, strict=False)
        ],
        p10=p10,
        p50=p50,
        p90=p90,
        on_time=None if left is None else sum(total <= left for total in totals) / _DRAWS,
    )


def _build_leg(start: str, end: str, mixture: Mixture) -> Leg:
    p50, p90 = mixture.get_quantiles((0.5, 0.9))
    _, sample = mixture.main
    name = DELIVERY if end == _name_delivery(start) else end
    return Leg(start, name, p50, p90, sample.count)
