"""Tours of vehicles to the destinations of packages, computed as jobs."""

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session
from backend.services.packages.clients import tour_processes
from backend.services.packages.clients.tour_processes import SolverFailed, TourSolver
from backend.services.packages.domain.packages import Caller
from backend.services.packages.errors import (
    OptimizationUnavailable,
    TooManyTours,
    TourNotFound,
    UnusablePackages,
)
from backend.services.packages.model import (
    Location,
    Tour,
    TourProblem,
    TourStop,
    Vehicles,
    WorkState,
)
from backend.services.packages.store import packages as package_store
from backend.services.packages.store import tours as store
from backend.services.packages.store.base import new_id

_log = logging.getLogger(__name__)
MAX_WAITING: Final = 10
_LEASE: Final = timedelta(seconds=30)
_POLL_SECONDS: Final = 0.2
_RETENTION: Final = timedelta(days=30)
# Tours that one transaction deletes. A row with 500 stops has less than 100 KB.
_MAX_DELETED: Final = 100
_FINISHED: Final = frozenset({WorkState.DONE, WorkState.FAILED})


@dataclass(frozen=True, slots=True)
class TourRequest:
    """Vehicles, and the packages that they deliver from the depot. See `TourProblem`."""

    depot: tuple[float, float]
    vehicles: Sequence[Vehicles]
    package_ids: Sequence[str]
    speed_kmh: float
    service_s: int
    seconds: int


class TourService:
    """Queues tours, and computes them one at a time in each process.

    Args:
        wake: called when a tour was queued.
    """

    def __init__(
        self,
        database: Database,
        solver: TourSolver,
        now: Callable[[], datetime],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._every_tenant = database.across_tenants()
        self._solver = solver
        self._now = now
        self.wake = wake
        self._holder = secrets.token_hex(8)
        self._is_stopped = False

    def create_tour(self, caller: Caller, request: TourRequest) -> Tour:
        """Queue the computation of tours.

        Raises:
            UnusablePackages: packages do not exist, or have no coordinates.
            OptimizationUnavailable: PyVRP is not installed.
            TooManyTours: the tenant has too many tours that are not computed yet.
        """
        with self._database.write(caller.tenant_id) as session:
            problem = TourProblem(
                depot=request.depot,
                vehicles=tuple(request.vehicles),
                stops=_list_stops(session, caller, request.package_ids),
                speed_kmh=request.speed_kmh,
                service_s=request.service_s,
                seconds=request.seconds,
            )
            if not tour_processes.is_installed():
                raise OptimizationUnavailable
            if store.count_waiting(session, caller.tenant_id) >= MAX_WAITING:
                raise TooManyTours(MAX_WAITING)
            tour = Tour(
                id=new_id("tour"),
                state=WorkState.QUEUED,
                problem=problem,
                result=None,
                error=None,
                requested_by=caller.user_id,
                created_at=self._now(),
                completed_at=None,
            )
            store.add_tour(session, caller.tenant_id, tour)
        self.wake()
        return tour

    def get_tour(self, caller: Caller, tour_id: str) -> Tour:
        """Return a tour. Raises TourNotFound."""
        with self._database.read(caller.tenant_id) as session:
            tour = store.get_tour(session, caller.tenant_id, tour_id)
        if tour is None:
            raise TourNotFound
        return tour

    def wait_for_tour(self, caller: Caller, tour: Tour, seconds: float) -> Tour:
        """Return *tour* when it is done or failed, or as it is after *seconds*."""
        end = time.monotonic() + seconds
        while tour.state not in _FINISHED and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
            tour = self.get_tour(caller, tour.id)
        return tour

    def compute_next(self) -> bool:
        """Compute the oldest tour that is queued or lost its process. False if there is none."""
        now = self._now()
        with self._every_tenant.write() as session:
            claimed = store.claim_tour(session, self._holder, now, now + _LEASE)
        if claimed is None:
            return False
        tenant_id, tour = claimed
        result: Mapping[str, Any] | None = None
        error: Mapping[str, Any] | None = None
        try:
            result = self._solver.solve(
                tour.problem, lambda elapsed, cost: self._report(tenant_id, tour, elapsed, cost)
            )
        except SolverFailed as failure:
            if self._is_stopped:
                with self._database.write(tenant_id) as session:
                    store.release_tour(session, tour.id, self._holder)
                return False
            _log.warning("tour %s was not computed: %s", tour.id, failure)
            error = {
                "code": "solver_failed",
                "detail": "The computation exceeded its memory or its time. Use fewer packages.",
            }
        with self._database.write(tenant_id) as session:
            store.complete_tour(session, tour.id, self._holder, self._now(), result, error)
        return True

    def delete_old(self) -> bool:
        """Delete a batch of the tours that were done or failed more than 30 days ago.

        Returns True if there may be more.
        """
        before = self._now() - _RETENTION
        with self._every_tenant.write() as session:
            return store.delete_finished(session, before, _MAX_DELETED) == _MAX_DELETED

    def stop(self) -> None:
        """End a computation. Its tour returns to the queue."""
        self._is_stopped = True
        self._solver.stop()

    def _report(self, tenant_id: str, tour: Tour, elapsed: float, cost: int | None) -> None:
        progress = {"elapsed": elapsed, "cost": cost}
        with self._database.write(tenant_id) as session:
            has_lease = store.set_progress(
                session, tour.id, self._holder, progress, self._now() + _LEASE
            )
        if not has_lease:
            raise SolverFailed("another process computes the tour")


def _list_stops(
    session: Session, caller: Caller, package_ids: Sequence[str]
) -> tuple[TourStop, ...]:
    known = package_store.list_destinations(session, caller.tenant_id, package_ids)
    stops: dict[str, TourStop] = {}
    errors: list[dict[str, str]] = []
    for index, package_id in enumerate(package_ids):
        if package_id not in known:
            detail = "The package does not exist."
        elif (stop := _build_stop(package_id, *known[package_id])) is None:
            detail = "The destination of the package has no coordinates (lat, lon)."
        else:
            stops[package_id] = stop
            continue
        errors.append({"pointer": f"#/package_ids/{index}", "detail": detail})
    if errors:
        raise UnusablePackages(errors)
    return tuple(stops.values())


def _build_stop(
    package_id: str, destination: Location | None, weight_g: int | None
) -> TourStop | None:
    if destination is None or destination.lat is None or destination.lon is None:
        return None
    return TourStop(package_id, destination.lat, destination.lon, weight_g or 0)
