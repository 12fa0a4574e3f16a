"""The aggregated `/health` of the gateway and all services behind it."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from backend import __version__
from backend.chassis.web.openapi import responds_with
from backend.security import public
from backend.services.gateway.domain.health import HealthCheckResult, ServiceHealthChecker


class ServiceHealth(BaseModel):
    """Health of one service."""

    status: str
    latency_ms: float | None


class SystemHealth(BaseModel):
    """Health of the gateway and of all services."""

    status: str
    service: str
    timestamp: datetime
    version: str
    services: dict[str, ServiceHealth]


def create_health_view(checker: ServiceHealthChecker) -> Callable[[], ResponseReturnValue]:
    """Return the view for `/health`."""

    @public
    @responds_with(SystemHealth, other_statuses=(503,))
    def health() -> tuple[SystemHealth, int]:
        """Get the health of all services.

        The status is 503 if none of them responds.
        """
        results = checker.check_all_services()
        healthy_count = sum(result.healthy for result in results.values())
        response = SystemHealth(
            status="healthy" if healthy_count == len(results) else "degraded",
            service="gateway",
            timestamp=datetime.now(UTC),
            version=__version__,
            services={name: _to_schema(result) for name, result in results.items()},
        )
        return response, 503 if results and not healthy_count else 200

    return health


def _to_schema(result: HealthCheckResult) -> ServiceHealth:
    status = "healthy" if result.healthy else "unhealthy"
    return ServiceHealth(status=status, latency_ms=result.latency_ms)
