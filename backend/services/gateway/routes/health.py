"""The aggregated `/health`: the gateway and every service behind it."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from backend import __version__
from backend.chassis.web.openapi import answers
from backend.security import public
from backend.services.gateway.domain.health import Services, Wellbeing


class ServiceHealth(BaseModel):
    """One service behind the gateway."""

    status: str
    latency_ms: float | None


class SystemHealth(BaseModel):
    """The gateway and all that stands behind it."""

    status: str
    service: str
    timestamp: datetime
    version: str
    services: dict[str, ServiceHealth]


def system_health(services: Services) -> Callable[[], ResponseReturnValue]:
    """The view for `/health`."""

    @public
    @answers(SystemHealth, also=(503,))
    def health() -> tuple[SystemHealth, int]:
        """Whether the gateway and the services behind it answer; 503 when none does."""
        found = services.all()
        well = sum(each.healthy for each in found.values())
        answer = SystemHealth(
            status="healthy" if well == len(found) else "degraded",
            service="gateway",
            timestamp=datetime.now(UTC),
            version=__version__,
            services={name: _shown(each) for name, each in found.items()},
        )
        return answer, 503 if found and not well else 200

    return health


def _shown(each: Wellbeing) -> ServiceHealth:
    status = "healthy" if each.healthy else "unhealthy"
    return ServiceHealth(status=status, latency_ms=each.latency_ms)
