"""The solver process: computes the tours of one problem under resource limits, then exits.

    python -m backend.services.packages.clients.tour_solver MAX_MEMORY_BYTES TIMEOUT_SECONDS

It reads `TourProblem.to_json()` from standard input. It writes JSON lines: each second
`{"elapsed": SECONDS, "cost": METRES}`, and at the end `{"tours", "unassigned", "cost"}`.
PyVRP and numpy are imported only here, so that the service itself stays small.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from backend.chassis.parent_death_signal import die_with_parent
from backend.chassis.process_limits import set_process_limits

_EARTH_RADIUS_M: Final = 6_371_000
# Roads are longer than the great circle. 1.3 is a usual ratio for road networks.
_DETOUR: Final = 1.3
_PROGRESS_SECONDS: Final = 1.0
# PyVRP reports the largest integer while it has no tours within the limits.
_NO_COST: Final = 2**62


def run(max_memory_bytes: str, timeout_seconds: str) -> None:
    """Solve the problem in standard input under the limits."""
    set_process_limits(int(max_memory_bytes), int(timeout_seconds))
    try:
        _write_line(solve(json.load(sys.stdin)))
    except MemoryError:
        _write_line({"error": "out_of_memory"})


def solve(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tours of *problem*. All stops are visited if a solution with all is found.

    First, every stop must be visited. If the load is too large for that, or half of the time
    finds no such tours, stops may be left out.
    """
    seconds, started = float(problem["seconds"]), time.monotonic()
    if _fits(problem):
        result = _search(problem, seconds, started, may_omit=False)
        if result is not None:
            return result
    left = max(1.0, seconds - (time.monotonic() - started))
    result = _search(problem, left, started, may_omit=True)
    return result or {
        "tours": [],
        "unassigned": list(range(len(problem["stops"]))),
        "cost": 0,
    }


def _fits(problem: Mapping[str, Any]) -> bool:
    vehicles = problem["vehicles"]
    if any(kind["capacity_g"] is None for kind in vehicles):
        return True
    capacity = sum(kind["count"] * kind["capacity_g"] for kind in vehicles)
    return bool(capacity >= sum(stop["weight_g"] for stop in problem["stops"]))


def _search(
    problem: Mapping[str, Any], seconds: float, started: float, *, may_omit: bool
) -> dict[str, Any] | None:
    """Return the best tours within *seconds*, or None if none keep all limits."""
    import pyvrp

    points = [problem["depot"], *([stop["lat"], stop["lon"]] for stop in problem["stops"])]
    distances, durations = _build_matrices(points, problem["speed_kmh"])
    # To leave out a stop costs more than the longest way to it and back. Much larger costs would
    # hide the penalties by which the search finds tours within the limits.
    omission_cost = 3 * int(distances.max()) + 1000
    # Without a capacity, any load fits.
    total = sum(stop["weight_g"] for stop in problem["stops"])
    data = pyvrp.ProblemData(
        [pyvrp.Location(lon, lat) for lat, lon in points],
        [
            pyvrp.Client(
                index,
                delivery=[stop["weight_g"]],
                service_duration=stop["service_s"],
                required=not may_omit,
                prize=omission_cost if may_omit else 0,
            )
            for index, stop in enumerate(problem["stops"], 1)
        ],
        [pyvrp.Depot(0)],
        [_build_vehicles(kind, total) for kind in problem["vehicles"]],
        [distances],
        [durations],
    )
    stop = _SearchLimit(seconds, started, None if may_omit else seconds / 2)
    result = pyvrp.solve(data, stop, seed=problem["seed"], collect_stats=False)
    if not result.is_feasible():
        return None
    return _describe(problem, result.best, distances)


def _build_vehicles(vehicles: Mapping[str, Any], total_g: int) -> Any:
    import pyvrp

    limits = {}
    if vehicles["max_duration_s"] is not None:
        limits["shift_duration"] = vehicles["max_duration_s"]
    if vehicles["max_distance_m"] is not None:
        limits["max_distance"] = vehicles["max_distance_m"]
    capacity = vehicles["capacity_g"]
    return pyvrp.VehicleType(
        num_available=vehicles["count"],
        capacity=[total_g if capacity is None else capacity],
        max_reloads=0,
        **limits,
    )


class _SearchLimit:
    """Ends the search after *seconds*, and writes the progress each second.

    Without a solution, it ends the search after *give_up_seconds*.
    """

    def __init__(self, seconds: float, started: float, give_up_seconds: float | None) -> None:
        self._started = started
        self._end = time.monotonic() + seconds
        self._give_up = None if give_up_seconds is None else time.monotonic() + give_up_seconds
        self._next_report = 0.0

    def __call__(self, best_cost: float) -> bool:
        now = time.monotonic()
        is_known = best_cost < _NO_COST
        if now >= self._next_report:
            self._next_report = now + _PROGRESS_SECONDS
            elapsed = round(now - self._started, 1)
            # With omissions, the cost is more than a distance.
            is_distance = is_known and self._give_up is not None
            _write_line({"elapsed": elapsed, "cost": int(best_cost) if is_distance else None})
        if self._give_up is not None and now >= self._give_up and not is_known:
            return True
        return now >= self._end


def _build_matrices(points: Sequence[Sequence[float]], speed_kmh: float) -> tuple[Any, Any]:
    """Return distances in metres and durations in seconds between all *points*."""
    import numpy as np

    latitude, longitude = np.radians(np.array(points, dtype=float)).T
    differences = latitude[:, None] - latitude, longitude[:, None] - longitude
    chord = (
        np.sin(differences[0] / 2) ** 2
        + np.cos(latitude)[:, None] * np.cos(latitude) * np.sin(differences[1] / 2) ** 2
    )
    metres = 2 * _EARTH_RADIUS_M * np.arcsin(np.sqrt(np.clip(chord, 0, 1))) * _DETOUR
    seconds = metres / (speed_kmh / 3.6)
    return metres.round().astype(np.int64), seconds.round().astype(np.int64)


def _describe(problem: Mapping[str, Any], solution: Any, distances: Any) -> dict[str, Any]:
    tours = []
    missing = set(range(len(problem["stops"])))
    for route in solution.routes():
        stops, last = [], 0
        for activity in route.schedule():
            if not activity.is_client():
                continue
            missing.discard(activity.idx)
            stops.append(
                {
                    "stop": activity.idx,
                    "distance_m": int(distances[last, activity.idx + 1]),
                    "arrives_after_s": activity.start_time - route.start_time(),
                }
            )
            last = activity.idx + 1
        if stops:
            tours.append(
                {
                    "vehicle": route.vehicle_type(),
                    "stops": stops,
                    "distance_m": route.distance(),
                    "duration_s": route.duration(),
                    "weight_g": route.delivery()[0],
                }
            )
    cost = sum(tour["distance_m"] for tour in tours)
    return {"tours": tours, "unassigned": sorted(missing), "cost": cost}


def _write_line(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    die_with_parent(os.getppid())
    run(*sys.argv[1:])
