"""Tours of vehicles to the destinations of packages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from flask import Blueprint, Response
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with, responds_with_stream
from backend.chassis.web.wait_slots import WaitSlots
from backend.security import (
    Input,
    Permission,
    require_permission,
    validate_input,
    validate_query,
)
from backend.security.validation import JsonInteger, VisibleText
from backend.services.packages.domain.optimization.tours import TourRequest, TourService
from backend.services.packages.errors import (
    OptimizationUnavailable,
    TooManyTours,
    TourNotFound,
    UnusablePackages,
)
from backend.services.packages.model import Tour, TourProblem, Vehicles, WorkState
from backend.services.packages.routes.packages import get_caller
from backend.services.packages.routes.schemas import WaitQuery

tours = Blueprint("tours", __name__)
MAX_STOPS = 500
_MAX_COUNT = 500
_GRAMS = 100_000_000
_METRES = 10_000_000


class DepotInput(Input):
    """The place where all tours begin and end."""

    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    name: Annotated[str, Field(max_length=200), VisibleText] | None = None


class VehiclesInput(Input):
    """Vehicles of one kind. Limits that are missing do not apply."""

    name: Annotated[str, Field(max_length=64), VisibleText] = "vehicle"
    count: Annotated[int, Field(ge=1, le=_MAX_COUNT), JsonInteger] = 1
    capacity_g: Annotated[int, Field(ge=1, le=_GRAMS), JsonInteger] | None = None
    max_distance_km: Annotated[float, Field(gt=0, le=_METRES / 1000)] | None = None
    max_hours: Annotated[float, Field(gt=0, le=1000)] | None = None

    def to_vehicles(self) -> Vehicles:
        distance, hours = self.max_distance_km, self.max_hours
        return Vehicles(
            name=self.name,
            count=self.count,
            capacity_g=self.capacity_g,
            max_distance_m=None if distance is None else round(distance * 1000),
            max_duration_s=None if hours is None else round(hours * 3600),
        )


class TourInput(Input):
    """Vehicles, and the packages that they deliver.

    `vehicles` is a list of kinds, or the number of equal vehicles without limits. The destinations
    of the packages need `lat` and `lon`. `seconds` is the time of the search.
    """

    depot: DepotInput
    vehicles: (
        Annotated[int, Field(ge=1, le=_MAX_COUNT), JsonInteger]
        | Annotated[list[VehiclesInput], Field(min_length=1, max_length=20)]
    )
    package_ids: Annotated[
        list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=MAX_STOPS)
    ]
    speed_kmh: Annotated[float, Field(ge=1, le=200)] = 50.0
    stop_minutes: Annotated[float, Field(ge=0, le=240)] = 5.0
    seconds: Annotated[int, Field(ge=1, le=120), JsonInteger] = 30

    def to_request(self) -> TourRequest:
        kinds = self.vehicles
        if isinstance(kinds, int):
            kinds = [VehiclesInput(count=kinds)]
        return TourRequest(
            depot=(self.depot.lat, self.depot.lon),
            vehicles=[kind.to_vehicles() for kind in kinds],
            package_ids=self.package_ids,
            speed_kmh=self.speed_kmh,
            service_s=round(self.stop_minutes * 60),
            seconds=self.seconds,
        )


class StopResponse(BaseModel):
    """A stop, with the distance from the one before and the time after the start in the depot."""

    package_id: str
    lat: float
    lon: float
    distance_m: int
    arrives_after_s: int


class PlaceResponse(BaseModel):
    lat: float
    lon: float


class VehicleTourResponse(BaseModel):
    """The tour of one vehicle, from the depot and back."""

    vehicle: str
    stops: Sequence[StopResponse]
    distance_m: int
    duration_s: int
    weight_g: int


class TourProgressResponse(BaseModel):
    """Progress of the search: `distance_m` is that of the best tours so far, null without any."""

    elapsed_s: float
    seconds: int
    distance_m: int | None


class TourErrorResponse(BaseModel):
    code: str
    detail: str


class TourResponse(BaseModel):
    """Tours; `state` is queued, running, done or failed.

    `tours`, `unassigned` and `distance_m` are set when it is done. `unassigned` are packages that
    the vehicles cannot take within their limits.
    """

    id: str
    state: str
    depot: PlaceResponse
    progress: TourProgressResponse | None
    tours: Sequence[VehicleTourResponse] | None
    unassigned: Sequence[str] | None
    distance_m: int | None
    error: TourErrorResponse | None
    requested_by: str
    created_at: datetime
    completed_at: datetime | None


@tours.post("/agents/optimize/tour")
@require_permission(Permission.PACKAGES_READ)
@validate_query(WaitQuery)
@validate_input(TourInput)
@responds_with_stream(
    statuses=(200, 202),
    model=TourResponse,
    errors=(OptimizationUnavailable, TooManyTours, UnusablePackages),
)
@request_example(
    {
        "depot": {"lat": 50.11, "lon": 8.68},
        "vehicles": [{"name": "van", "count": 2, "capacity_g": 800000}],
        "package_ids": ["pkg_0198c2a4d1e03f5a9c7b21d84e60"],
        "seconds": 2,
    },
    wait="10",
)
def optimize_tour(query: WaitQuery, body: TourInput) -> Response:
    """Compute tours that deliver packages with the shortest total distance.

    The response is 202 if they are not computed within `wait` seconds, by default 10; then read
    them with `GET /agents/tours/{id}`. Distances are 1.3 times the great circle.
    """
    service, caller = use(TourService), get_caller()
    tour = service.create_tour(caller, body.to_request())
    with use(WaitSlots).limit_wait(query.wait) as seconds:
        tour = service.wait_for_tour(caller, tour, seconds)
    is_finished = tour.state in (WorkState.DONE, WorkState.FAILED)
    response = Response(
        to_response(tour).model_dump_json(),
        200 if is_finished else 202,
        content_type="application/json",
    )
    if not is_finished:
        response.headers["Location"] = f"/api/v1/agents/tours/{tour.id}"
    return response


@tours.get("/agents/tours/<tour_id>")
@require_permission(Permission.PACKAGES_READ)
@responds_with(TourResponse, errors=(TourNotFound,))
def get_tour(tour_id: str) -> TourResponse:
    """Get tours, or the progress of their computation."""
    return to_response(use(TourService).get_tour(get_caller(), tour_id))


def to_response(tour: Tour) -> TourResponse:
    result: Any = tour.result or {}
    problem = tour.problem
    is_done = tour.state == WorkState.DONE
    progress = None
    if tour.state == WorkState.RUNNING:
        progress = TourProgressResponse(
            elapsed_s=result.get("elapsed", 0),
            seconds=problem.seconds,
            distance_m=result.get("cost"),
        )
    ids = [stop.package_id for stop in problem.stops]
    return TourResponse(
        id=tour.id,
        state=str(tour.state),
        depot=PlaceResponse(lat=problem.depot[0], lon=problem.depot[1]),
        progress=progress,
        tours=[_to_vehicle_tour(found, problem) for found in result["tours"]] if is_done else None,
        unassigned=[ids[index] for index in result["unassigned"]] if is_done else None,
        distance_m=result["cost"] if is_done else None,
        error=None if tour.error is None else TourErrorResponse(**tour.error),
        requested_by=tour.requested_by,
        created_at=tour.created_at,
        completed_at=tour.completed_at,
    )


def _to_vehicle_tour(value: Any, problem: TourProblem) -> VehicleTourResponse:
    stops = []
    for found in value["stops"]:
        stop = problem.stops[found["stop"]]
        stops.append(
            StopResponse(
                package_id=stop.package_id,
                lat=stop.lat,
                lon=stop.lon,
                distance_m=found["distance_m"],
                arrives_after_s=found["arrives_after_s"],
            )
        )
    return VehicleTourResponse(
        vehicle=problem.vehicles[value["vehicle"]].name,
        stops=stops,
        distance_m=value["distance_m"],
        duration_s=value["duration_s"],
        weight_g=value["weight_g"],
    )
