"""Health of the gateway's Redis and of the services behind it."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from backend.services.gateway.clients.service_probe import ServiceProbe
from backend.services.gateway.domain.routing.route_table import RouteTable


@dataclass(frozen=True, slots=True)
class HealthCheckResult:
    """Result of one check. A service is healthy if at least one instance responds."""

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


class RedisHealthChecker:
    """Checks the Redis that holds the rate limits of all gateways.

    Args:
        ping: raises an exception if Redis does not respond.
    """

    def __init__(self, ping: Callable[[], object]) -> None:
        self._ping = ping
        self._was_reached = False

    def ensure_reached_once(self) -> None:
        """Ping Redis, unless it has responded since the start. Raises the exception of the ping.

        A gateway that starts with a wrong address of Redis must not become ready. A later outage
        affects all gateways alike: they count rate limits in their own memory, and removing them
        from the load balancer would turn the outage of Redis into an outage of the whole system.
        """
        if not self._was_reached:
            self._ping()
            self._was_reached = True

    def check_redis(self) -> HealthCheckResult:
        started = time.perf_counter()
        try:
            self._ping()
        except Exception:  # noqa: BLE001 - any error means that Redis does not work
            return HealthCheckResult(False)
        self._was_reached = True
        return HealthCheckResult(True, round((time.perf_counter() - started) * 1000, 2))
