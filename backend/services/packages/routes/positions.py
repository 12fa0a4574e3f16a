"""Last known positions of packages."""

from collections.abc import Sequence

from flask import Blueprint
from pydantic import AwareDatetime, BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import Permission, require_permission
from backend.services.packages.domain.positions import Position, PositionService
from backend.services.packages.model import Location
from backend.services.packages.routes.packages import get_caller
from backend.services.packages.routes.schemas import LocationResponse

positions = Blueprint("positions", __name__)


class PositionResponse(BaseModel):
    """The place of the last event of an open package, and its origin and destination."""

    id: str
    tracking_number: str
    carrier: str
    status: str
    late: bool
    code: str
    occurred_at: AwareDatetime
    place: LocationResponse
    lat: float
    lon: float
    origin: LocationResponse | None
    destination: LocationResponse | None


class PositionsResponse(BaseModel):
    """Positions of the 2000 newest open packages.

    `without_position` is the number of those whose last event has no coordinates. `complete` is
    false if there are more open packages.
    """

    items: Sequence[PositionResponse]
    without_position: int
    complete: bool


@positions.get("/packages/positions")
@require_permission(Permission.PACKAGES_READ)
@responds_with(PositionsResponse)
def list_positions() -> PositionsResponse:
    """List the last known positions of open packages, for a map.

    Changes are published to the topic `map` of the realtime service.
    """
    found = use(PositionService).list_positions(get_caller())
    return PositionsResponse(
        items=[_to_response(position) for position in found.items],
        without_position=found.without_position,
        complete=found.is_complete,
    )


def _to_response(position: Position) -> PositionResponse:
    package = position.package
    return PositionResponse(
        id=package.id,
        tracking_number=package.number,
        carrier=package.carrier,
        status=str(package.state.status),
        late=package.is_late,
        code=position.code,
        occurred_at=position.occurred_at,
        place=_to_place(position.place),
        lat=position.lat,
        lon=position.lon,
        origin=_to_place(package.origin) if package.origin else None,
        destination=_to_place(package.destination) if package.destination else None,
    )


def _to_place(place: Location) -> LocationResponse:
    return LocationResponse.model_validate(place.to_json())
