"""Health of the services behind the gateway."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from backend.services.gateway.clients.service_probe import ServiceProbe
from backend.services.gateway.domain.routing.route_table import RouteTable


@dataclass(frozen=True, slots=True)
class HealthCheckResult:
    """Result for one service: healthy if at least one instance responds, with its latency."""

    healthy: bool
    latency_ms: float | None = None


class ServiceHealthChecker:
    """Checks the services of *table* by name."""

    def __init__(self, table: RouteTable, probe: ServiceProbe) -> None:
        self._origins = {route.service: route.upstreams for route in table.routes}
        self._probe = probe

    @property
    def service_names(self) -> list[str]:
        return sorted(self._origins)

    def check_all_services(self) -> Mapping[str, HealthCheckResult]:
        """Check all services concurrently."""
        names = self.service_names
        with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
            return dict(zip(names, pool.map(self.check_service, names), strict=True))

    def check_service(self, name: str) -> HealthCheckResult:
        for origin in self._origins[name]:
            try:
                latency_ms = self._probe.measure_health_latency_ms(origin)
            except OSError:
                continue
            return HealthCheckResult(True, round(latency_ms, 2))
        return HealthCheckResult(False)

    def ensure_healthy(self, name: str) -> None:
        """Raise OSError if no instance of service *name* responds."""
        if not self.check_service(name).healthy:
            raise OSError(f"{name} does not respond")
