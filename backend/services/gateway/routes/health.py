"""The aggregated `/health` of the gateway, its Redis and all services behind it."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from backend import __version__
from backend.chassis.web.openapi import responds_with
from backend.security import public
from backend.services.gateway.domain.health import (
    HealthCheckResult,
    RedisHealthChecker,
    ServiceHealthChecker,
)


class ServiceHealth(BaseModel):
    """Health of one service, or of Redis."""

    status: str
    latency_ms: float | None


class SystemHealth(BaseModel):
    """Health of the gateway and of all services."""

    status: str
    service: str
    timestamp: datetime
    version: str
    services: dict[str, ServiceHealth]
    dependencies: dict[str, ServiceHealth]


def create_health_view(
    checker: ServiceHealthChecker, redis_checker: RedisHealthChecker | None
) -> Callable[[], ResponseReturnValue]:
    """Return the view for `/health`. Without Redis, *redis_checker* is None."""

    @public
    @responds_with(SystemHealth, other_statuses=(503,))
    def health() -> tuple[SystemHealth, int]:
        """Get the health of all services and of Redis.

        The status is 503 if no service responds. Without Redis, the gateway counts rate limits in
        its own memory and the health is `degraded`.
        """
        results = checker.check_all_services()
        dependencies = {} if redis_checker is None else {"redis": redis_checker.check_redis()}
        healthy_count = sum(result.healthy for result in results.values())
        is_healthy = all(result.healthy for result in (*results.values(), *dependencies.values()))
        response = SystemHealth(
            status="healthy" if is_healthy else "degraded",
            service="gateway",
            timestamp=datetime.now(UTC),
            version=__version__,
            services={name: _to_schema(result) for name, result in results.items()},
            dependencies={name: _to_schema(result) for name, result in dependencies.items()},
        )
        return response, 503 if results and not healthy_count else 200

    return health


def _to_schema(result: HealthCheckResult) -> ServiceHealth:
    status = "healthy" if result.healthy else "unhealthy"
    return ServiceHealth(status=status, latency_ms=result.latency_ms)
