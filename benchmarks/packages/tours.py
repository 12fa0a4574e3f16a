"""Cost of the tours that the service finds, compared with long searches."""

import random
import time

from backend.services.packages.clients.tour_processes import TourSolver
from backend.services.packages.model import TourProblem, TourStop, Vehicles

_STOPS_PER_VEHICLE = 12


def compare(stops: int, seconds: int, long_seconds: int, runs: int) -> None:
    """Print the cost after *seconds*, and the best of *runs* searches of *long_seconds*."""
    cost, took = _solve(build_problem(stops, seconds, seed=0))
    print(f"{stops} stops, {seconds} s: {cost / 1000:.1f} km, all stops visited, {took:.1f} s wall")
    costs = []
    for seed in range(1, runs + 1):
        long_cost, _ = _solve(build_problem(stops, long_seconds, seed=seed))
        costs.append(long_cost)
        print(f"  {long_seconds} s, seed {seed}: {long_cost / 1000:.1f} km", flush=True)
    print(f"  above the best of {runs}: {cost / min(costs) - 1:+.2%} (at most +5 %)")


def build_problem(stops: int, seconds: int, seed: int) -> TourProblem:
    """Return a problem with half of the stops in towns, and the others anywhere within 60 km."""
    source = random.Random(stops)  # noqa: S311 - the same problem in each run
    towns = [_choose_point(source, 0.4) for _ in range(max(3, stops // 20))]
    points = [
        _choose_point(source, 0.5)
        if source.random() < 0.5
        else tuple(value + source.gauss(0, 0.03) for value in source.choice(towns))
        for _ in range(stops)
    ]
    weights = [source.randint(200, 20_000) for _ in points]
    capacity = round(sum(weights) / stops * _STOPS_PER_VEHICLE)
    vehicles = Vehicles("van", stops // _STOPS_PER_VEHICLE + 2, capacity_g=capacity)
    return TourProblem(
        depot=_choose_point(source, 0.3),
        vehicles=(vehicles,),
        stops=tuple(
            TourStop(f"pkg_{index}", point[0], point[1], weight)
            for index, (point, weight) in enumerate(zip(points, weights, strict=True))
        ),
        seconds=seconds,
        seed=seed,
    )


def _choose_point(source: random.Random, spread: float) -> tuple[float, float]:
    return 50 + source.uniform(-spread, spread), 9 + source.uniform(-spread, spread) * 1.5


def _solve(problem: TourProblem) -> tuple[int, float]:
    started = time.monotonic()
    result = TourSolver().solve(problem, lambda *_: None)
    if result["unassigned"]:
        raise SystemExit(f"{len(result['unassigned'])} stops were not visited.")
    return int(result["cost"]), time.monotonic() - started
