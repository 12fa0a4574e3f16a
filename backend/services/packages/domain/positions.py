"""Last known positions of open packages, for a map."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backend.chassis.database.sessions import Database
from backend.services.packages.domain.packages import Caller
from backend.services.packages.model import CLOSED_STATUSES, Location, Package, Status
from backend.services.packages.store import packages as store

MAX_POSITIONS: Final = 2_000
_OPEN: Final = tuple(status for status in Status if status not in CLOSED_STATUSES)


@dataclass(frozen=True, slots=True)
class Position:
    """The place of the last event of an open package, with coordinates."""

    package: Package
    code: str
    occurred_at: datetime
    place: Location
    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class PositionList:
    """Positions of the open packages that were created last, at most 2,000.

    Attributes:
        without_position: number of these packages whose last event has no coordinates.
        is_complete: False if there are more open packages than were read.
    """

    items: Sequence[Position]
    without_position: int
    is_complete: bool


class PositionService:
    """Lists positions when they are requested."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_positions(self, caller: Caller) -> PositionList:
        """Return the positions of the open packages that were created last."""
        with self._database.read(caller.tenant_id) as session:
            ids = store.list_newest_ids(session, caller.tenant_id, _OPEN, MAX_POSITIONS + 1)
            rows = store.list_by_ids(session, caller.tenant_id, ids[:MAX_POSITIONS])
            packages = [store.to_package(row) for row in rows]
        found = [
            position for package in packages if (position := _to_position(package)) is not None
        ]
        return PositionList(
            items=found,
            without_position=len(packages) - len(found),
            is_complete=len(ids) <= MAX_POSITIONS,
        )


def _to_position(package: Package) -> Position | None:
    event = package.state.last_event
    place = event.location if event else None
    if event is None or place is None or place.lat is None or place.lon is None:
        return None
    return Position(package, str(event.code), event.occurred_at, place, place.lat, place.lon)
