"""Tours of vehicles through HTTP: requests, results, limits, and lost processes."""

import random
from datetime import timedelta
from importlib.util import find_spec

import pytest
from flask import Flask

from backend.chassis.web.app_factory import get_component
from backend.chassis.web.wait_slots import WaitSlots
from backend.services.packages.clients import tour_processes
from backend.services.packages.clients.tour_processes import SolverFailed, TourSolver
from backend.services.packages.domain.optimization.tours import TourService
from backend.services.packages.model import TourProblem, TourStop, Vehicles
from backend.services.packages.wiring import PackageComponents
from tests.services.packages.conftest import Api

DEPOT = {"lat": 50.1, "lon": 8.6}
PATH = "/agents/optimize/tour"
needs_solver = pytest.mark.skipif(
    find_spec("pyvrp") is None, reason="the extra optimization is not installed"
)


class FixedSolver(TourSolver):
    """Returns one tour with all stops in their order, or fails with *error*."""

    def __init__(self, error: str | None = None) -> None:
        super().__init__()
        self.error = error
        self.problems: list[TourProblem] = []

    def solve(self, problem, report):
        self.problems.append(problem)
        report(0.5, 1234)
        if self.error:
            raise SolverFailed(self.error)
        stops = [
            {"stop": index, "distance_m": 1000, "arrives_after_s": 60 * index}
            for index in range(len(problem.stops))
        ]
        tour = {"vehicle": 0, "stops": stops, "distance_m": 5, "duration_s": 6, "weight_g": 7}
        return {"tours": [tour], "unassigned": [], "cost": 5}


@pytest.fixture
def solver(app: Flask, monkeypatch) -> FixedSolver:
    """A solver that answers at once, so that the extra is not needed."""
    monkeypatch.setattr(tour_processes, "is_installed", lambda: True)
    solver = FixedSolver()
    monkeypatch.setattr(get_component(app, TourService), "_solver", solver)
    return solver


def create_stops(api, count: int) -> list[str]:
    return [
        api.create(
            f"STOP{index:06}",
            carrier="own",
            weight_g=100 * (index + 1),
            destination={"lat": 50 + index / 100, "lon": 8 + index / 100},
        )["id"]
        for index in range(count)
    ]


def test_tour_lists_the_packages_in_the_order_of_the_stops(api, solver):
    ids = create_stops(api, 3)
    body = {"depot": DEPOT, "vehicles": [{"name": "van", "count": 2}], "package_ids": ids}
    response = api.post(PATH, json=body)
    assert response.status_code == 200
    tour = response.json
    assert tour["state"] == "done"
    assert [stop["package_id"] for stop in tour["tours"][0]["stops"]] == ids
    assert tour["tours"][0]["vehicle"] == "van"
    assert tour["depot"] == {"lat": DEPOT["lat"], "lon": DEPOT["lon"]}
    assert [stop["lat"] for stop in tour["tours"][0]["stops"]] == [50.0, 50.01, 50.02]
    assert tour["distance_m"] == 5
    assert solver.problems[0].stops[2].weight_g == 300
    assert api.get(f"/agents/tours/{tour['id']}").json == tour


def test_tour_without_wait_is_accepted_and_read_later(api, solver):
    body = {"depot": DEPOT, "vehicles": 1, "package_ids": create_stops(api, 1)}
    response = api.post(f"{PATH}?wait=0", json=body)
    assert response.status_code == 202
    assert response.headers["Location"] == f"/api/v1/agents/tours/{response.json['id']}"
    assert response.json["tours"] is None


def test_tour_is_accepted_at_once_if_all_slots_for_waiting_requests_are_used(app, api, solver):
    body = {"depot": DEPOT, "vehicles": 1, "package_ids": create_stops(api, 1)}
    slots = get_component(app, WaitSlots)
    while slots.acquire_slot():
        pass
    assert api.post(f"{PATH}?wait=100", json=body).status_code == 202


def test_repeated_packages_are_visited_once(api, solver):
    ids = create_stops(api, 1) * 2
    tour = api.post(PATH, json={"depot": DEPOT, "vehicles": 1, "package_ids": ids}).json
    assert len(tour["tours"][0]["stops"]) == 1


def test_unknown_packages_and_missing_coordinates_are_named(api, sign_in, solver):
    foreign = sign_in("ten_other").create("FOREIGN001", carrier="own")["id"]
    known = api.create("NOPLACE001", carrier="own", destination={"code": "DEFRA"})["id"]
    ids = [*create_stops(api, 1), foreign, known, "pkg_unknown"]
    response = api.post(PATH, json={"depot": DEPOT, "vehicles": 1, "package_ids": ids})
    assert response.status_code == 422
    errors = response.json["errors"]
    assert [each["pointer"] for each in errors] == [f"#/package_ids/{each}" for each in (1, 2, 3)]
    assert errors[0]["detail"] == errors[2]["detail"]
    assert "coordinates" in errors[1]["detail"]


@pytest.mark.parametrize(
    "changes",
    [
        {"vehicles": 0},
        {"vehicles": []},
        {"vehicles": [{"capacity_g": 0}]},
        {"package_ids": []},
        {"depot": {"lat": 91, "lon": 0}},
        {"seconds": 121},
        {"unknown": 1},
    ],
)
def test_invalid_request_is_rejected(api, solver, changes):
    body = {"depot": DEPOT, "vehicles": 1, "package_ids": ["pkg_x"]} | changes
    assert api.post(PATH, json=body).status_code == 422


def test_without_the_extra_the_answer_names_the_command(api, monkeypatch):
    monkeypatch.setattr(tour_processes, "is_installed", lambda: False)
    body = {"depot": DEPOT, "vehicles": 1, "package_ids": create_stops(api, 1)}
    response = api.post(PATH, json=body)
    assert response.status_code == 501
    assert response.json["code"] == "optimization_unavailable"
    assert "install --extra optimization" in response.json["detail"]


def test_tour_of_another_tenant_is_not_found(api, sign_in, solver):
    body = {"depot": DEPOT, "vehicles": 1, "package_ids": create_stops(api, 1)}
    tour = api.post(PATH, json=body).json
    assert sign_in("ten_other").get(f"/agents/tours/{tour['id']}").status_code == 404


def test_tour_needs_the_permission(sign_in):
    caller = sign_in(permissions=())
    assert caller.post(PATH, json={}).status_code == 403
    assert caller.get("/agents/tours/tour_x").status_code == 403


def test_computation_beyond_its_limits_is_a_failed_tour(api, solver):
    solver.error = "out_of_memory"
    body = {"depot": DEPOT, "vehicles": 1, "package_ids": create_stops(api, 1)}
    tour = api.post(PATH, json=body).json
    assert tour["state"] == "failed"
    assert tour["error"]["code"] == "solver_failed"


@pytest.fixture
def own_tours(app: Flask, api, clock, solver) -> TourService:
    """A service of another process, on the same tables, while that of the app is stopped."""
    api.create("WAITING001", carrier="own")
    from backend.services.packages.app import BackgroundTasks

    get_component(app, BackgroundTasks).stop()
    return TourService(get_component(app, PackageComponents).database, solver, clock)


def test_tour_of_a_process_that_ended_is_computed_after_its_lease(api, clock, solver, own_tours):
    body = {"depot": DEPOT, "vehicles": 1, "package_ids": create_stops(api, 1)}
    tour = api.post(f"{PATH}?wait=0", json=body).json

    class Killed(BaseException):
        pass

    def kill(problem, report):
        report(1.0, 777)
        raise Killed

    lost = FixedSolver()
    lost.solve = kill
    own_tours._solver = lost
    with pytest.raises(Killed):
        own_tours.compute_next()
    running = api.get(f"/agents/tours/{tour['id']}").json
    assert running["state"] == "running"
    assert running["progress"] == {"elapsed_s": 1.0, "seconds": 30, "distance_m": 777}

    own_tours._solver = solver
    assert not own_tours.compute_next()
    clock.time += timedelta(minutes=1)
    assert own_tours.compute_next()
    assert api.get(f"/agents/tours/{tour['id']}").json["state"] == "done"


def test_tenant_can_queue_ten_tours(api, own_tours):
    body = {"depot": DEPOT, "vehicles": 1, "package_ids": create_stops(api, 1)}
    statuses = [api.post(f"{PATH}?wait=0", json=body).status_code for _ in range(11)]
    assert statuses == [202] * 10 + [429]


def build_problem(vehicles: Vehicles, seconds: int = 1, count: int = 30) -> TourProblem:
    source = random.Random(3)  # noqa: S311 - the same stops in each run
    stops = [
        TourStop(f"pkg_{index}", 50 + source.random(), 8 + source.random(), 1000)
        for index in range(count)
    ]
    return TourProblem((50.5, 8.5), (vehicles,), tuple(stops), seconds=seconds)


def test_tours_are_deleted_in_batches_thirty_days_after_they_ended(
    app, api, sign_in, clock, solver, own_tours, monkeypatch
):
    monkeypatch.setattr("backend.services.packages.domain.optimization.tours._MAX_DELETED", 2)
    colleague = sign_in("ten_other")
    bodies = [
        (caller, {"depot": DEPOT, "vehicles": 1, "package_ids": create_stops(caller, 1)})
        for caller in (api, colleague)
    ]

    def create_tour(index: int = 0) -> tuple[Api, str]:
        caller, body = bodies[index]
        return caller, caller.post(f"{PATH}?wait=0", json=body).json["id"]

    def list_found(tours) -> list[bool]:
        paths = [(caller, f"/agents/tours/{tour_id}") for caller, tour_id in tours]
        return [caller.get(path).status_code == 200 for caller, path in paths]

    old = [create_tour(), create_tour(1), create_tour()]
    while own_tours.compute_next():
        solver.error = "out_of_memory"  # the others fail
    clock.time += timedelta(days=2)
    recent = create_tour()
    assert own_tours.compute_next()
    unfinished = create_tour()

    maintain_tables = get_component(app, PackageComponents).maintain_tables
    clock.time += timedelta(days=27)
    while maintain_tables():
        pass
    assert list_found([*old, recent, unfinished]) == [True] * 5
    clock.time += timedelta(days=2)
    assert own_tours.delete_old()
    assert sorted(list_found(old)) == [False, False, True]
    while maintain_tables():
        pass
    assert list_found([*old, recent, unfinished]) == [False] * 3 + [True] * 2


@needs_solver
@pytest.mark.slow
def test_solver_visits_every_stop_once_within_the_capacity():
    reports = []
    problem = build_problem(Vehicles("van", 4, capacity_g=10_000))
    result = TourSolver().solve(problem, lambda *progress: reports.append(progress))
    visited = sorted(stop["stop"] for tour in result["tours"] for stop in tour["stops"])
    assert visited == list(range(30))
    assert all(tour["weight_g"] <= 10_000 for tour in result["tours"])
    assert result["cost"] == sum(tour["distance_m"] for tour in result["tours"])
    assert reports


@needs_solver
@pytest.mark.slow
@pytest.mark.parametrize(
    "vehicles",
    [
        Vehicles("van", 1, capacity_g=10_000),
        Vehicles("van", 2, max_duration_s=3 * 3600),
        Vehicles("van", 2, max_distance_m=100_000),
    ],
    ids=["capacity", "duration", "distance"],
)
def test_solver_names_the_stops_that_the_vehicles_cannot_reach(vehicles):
    result = TourSolver().solve(build_problem(vehicles, seconds=2), lambda *_: None)
    visited = {stop["stop"] for tour in result["tours"] for stop in tour["stops"]}
    assert visited
    assert result["unassigned"]
    assert visited | set(result["unassigned"]) == set(range(30))
    for tour in result["tours"]:
        assert tour["weight_g"] <= (vehicles.capacity_g or 30_000)
        assert tour["duration_s"] <= (vehicles.max_duration_s or 10**9)
        assert tour["distance_m"] <= (vehicles.max_distance_m or 10**9)


@needs_solver
@pytest.mark.slow
def test_solver_beyond_its_memory_fails(monkeypatch):
    monkeypatch.setattr(tour_processes, "_MAX_MEMORY_BYTES", 100 * 1024**2)
    with pytest.raises(SolverFailed):
        TourSolver().solve(build_problem(Vehicles("van", 4)), lambda *_: None)
