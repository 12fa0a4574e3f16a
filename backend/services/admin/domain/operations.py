"""Health of all other services and of their dependencies."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from backend.chassis.web.health import DependencyHealth, DetailedHealth
from backend.services.admin.clients.service_health import HealthClient


class ServiceState(BaseModel):
    """State of one service. `version` is null if it does not respond."""

    status: Literal["healthy", "degraded", "unavailable"]
    version: str | None
    dependencies: Mapping[str, DependencyHealth]


class OperationsReport(BaseModel):
    """State of the system: `healthy` if all services and dependencies are."""

    status: Literal["healthy", "degraded"]
    timestamp: datetime
    services: Mapping[str, ServiceState]


class OperationsService:
    """Requests the health of all services concurrently."""

    def __init__(self, client: HealthClient, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now

    def get_report(self, caller_headers: Mapping[str, str]) -> OperationsReport:
        """Return the state of each service.

        Args:
            caller_headers: headers that authenticate the caller; each service checks them.
        """
        names = sorted(self._client.services)

        def request(name: str) -> DetailedHealth | None:
            return self._client.request_health(name, caller_headers)

        with ThreadPoolExecutor(len(names), "operations") as executor:
            states = dict(zip(names, map(_to_state, executor.map(request, names)), strict=True))
        is_healthy = all(state.status == "healthy" for state in states.values())
        return OperationsReport(
            status="healthy" if is_healthy else "degraded", timestamp=self._now(), services=states
        )


def _to_state(health: DetailedHealth | None) -> ServiceState:
    if health is None:
        return ServiceState(status="unavailable", version=None, dependencies={})
    return ServiceState(
        status="healthy" if health.status == "healthy" else "degraded",
        version=health.version,
        dependencies=health.dependencies,
    )
