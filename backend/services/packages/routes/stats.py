"""Statistics of packages."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from flask import Blueprint
from pydantic import BaseModel, Field

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Input, Permission, require_permission, validate_query
from backend.services.packages.domain.stats import StatsService
from backend.services.packages.routes.packages import get_caller

stats = Blueprint("stats", __name__)


class StatsQuery(Input):
    days: Annotated[int, Field(ge=1, le=366)] = 30


class LaneCount(BaseModel):
    """Packages of a lane. Origin and destination are keys of places, such as `code:DEFRA`."""

    origin: str
    destination: str
    packages: int
    late: int


class CarrierCount(BaseModel):
    """Packages of a carrier."""

    carrier: str
    packages: int
    late: int


class PredictionFigures(BaseModel):
    """Errors of the predicted arrivals, measured on the latest deliveries.

    `error_hours` is the median difference between the predicted and the actual arrival, and
    `planned_error_hours` that of the promised time. `coverage` is the share of arrivals between
    P10 and P90; 0.8 is expected.
    """

    predictions: int
    error_hours: float
    planned_error_hours: float
    coverage: float | None


class DayResponse(BaseModel):
    """Deliveries of a day (UTC). `promised` have a promised time, `on_time` kept it."""

    date: str
    delivered: int
    promised: int
    on_time: int
    transit_p50_hours: float | None
    transit_p90_hours: float | None


class StatsResponse(BaseModel):
    """Counts of all packages, and figures of the deliveries of the last days.

    `on_time_rate` is the share of deliveries with a promised time; null without any. `prediction`
    is null until the nightly statistics have enough deliveries.
    """

    total: int
    late: int
    by_status: Mapping[str, int]
    by_carrier: Mapping[str, int]
    carriers: Sequence[CarrierCount]
    lanes: Sequence[LaneCount]
    on_time_rate: float | None
    days: Sequence[DayResponse]
    prediction: PredictionFigures | None


@stats.get("/packages/stats")
@require_permission(Permission.PACKAGES_READ)
@validate_query(StatsQuery)
@responds_with(StatsResponse)
def get_stats(query: StatsQuery) -> StatsResponse:
    """Get statistics of the tenant's packages."""
    found = use(StatsService).get_stats(get_caller(), query.days)
    return StatsResponse(
        total=found.total,
        late=found.late,
        by_status=found.by_status,
        by_carrier={carrier.key[0]: carrier.packages for carrier in found.carriers},
        carriers=[
            CarrierCount(carrier=carrier.key[0], packages=carrier.packages, late=carrier.late)
            for carrier in found.carriers
        ],
        lanes=[
            LaneCount(
                origin=lane.key[0],
                destination=lane.key[1],
                packages=lane.packages,
                late=lane.late,
            )
            for lane in found.lanes
        ],
        on_time_rate=found.on_time_rate,
        days=[
            DayResponse(
                date=day.day,
                delivered=day.delivered,
                promised=day.promised,
                on_time=day.on_time,
                transit_p50_hours=day.transit_p50_hours,
                transit_p90_hours=day.transit_p90_hours,
            )
            for day in found.days
        ],
        prediction=(
            None if found.prediction is None else PredictionFigures.model_validate(found.prediction)
        ),
    )
