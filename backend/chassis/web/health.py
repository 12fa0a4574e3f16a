"""Health and information routes that every service has."""

import logging
import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from backend import __version__
from backend.chassis.web.openapi import responds_with
from backend.chassis.web.problems import ServiceError
from backend.security import Permission, public, require_permission

Check = Callable[[], None]
"""Raises an exception if the dependency does not work."""

_log = logging.getLogger(__name__)


class Health(BaseModel):
    """Health of the service itself."""

    status: str
    service: str
    timestamp: datetime
    version: str


class Probe(BaseModel):
    """Response to a liveness or readiness probe."""

    status: str


class DependencyHealth(BaseModel):
    """Health of one dependency and the duration of its check."""

    status: str
    latency_ms: float


class DetailedHealth(Health):
    """Health of the service and its dependencies."""

    dependencies: dict[str, DependencyHealth]


class Info(BaseModel):
    """Version and uptime of the service."""

    service: str
    version: str
    python: str
    started_at: datetime
    uptime_seconds: float


class NotReady(ServiceError):
    """A dependency does not work."""

    status = 503
    code = "not_ready"
    title = "Not ready"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


def create_health_blueprint(
    full_name: str, checks: Mapping[str, Check], readiness: Mapping[str, Check] | None = None
) -> Blueprint:
    """Return the routes below `/health/`, and `/info`.

    Args:
        full_name: name of the service.
        checks: maps the name of a dependency to a function that raises if it does not work.
        readiness: the checks of `/health/ready`; by default *checks*.
    """
    blueprint = Blueprint("service", __name__)
    _add_probes(blueprint, checks if readiness is None else readiness)
    _add_detailed_health(blueprint, full_name, checks)
    _add_info(blueprint, full_name)
    return blueprint


def _add_probes(blueprint: Blueprint, checks: Mapping[str, Check]) -> None:
    @blueprint.get("/health/live")
    @public
    @responds_with(Probe)
    def live() -> Probe:
        """Check that the process runs."""
        return Probe(status="healthy")

    @blueprint.get("/health/ready")
    @public
    @responds_with(Probe, errors=(NotReady,))
    def ready() -> Probe:
        """Check that the service can handle requests."""
        unhealthy = [
            name
            for name, dependency in _run_checks(checks).items()
            if dependency.status != "healthy"
        ]
        if unhealthy:
            raise NotReady(f"These dependencies do not work: {', '.join(unhealthy)}.")
        return Probe(status="healthy")


def _add_detailed_health(blueprint: Blueprint, full_name: str, checks: Mapping[str, Check]) -> None:
    @blueprint.get("/health/detailed")
    @require_permission(Permission.SYSTEM_READ)
    @responds_with(DetailedHealth)
    def detailed() -> DetailedHealth:
        """Get the health and latency of each dependency."""
        dependencies = _run_checks(checks)
        is_healthy = all(dependency.status == "healthy" for dependency in dependencies.values())
        return DetailedHealth(
            status="healthy" if is_healthy else "degraded",
            service=full_name,
            timestamp=datetime.now(UTC),
            version=__version__,
            dependencies=dependencies,
        )


def _add_info(blueprint: Blueprint, full_name: str) -> None:
    started_at, started = datetime.now(UTC), time.monotonic()

    @blueprint.get("/info")
    @public
    @responds_with(Info)
    def info() -> Info:
        """Get the version and uptime of the service."""
        return Info(
            service=full_name,
            version=__version__,
            python=platform.python_version(),
            started_at=started_at,
            uptime_seconds=round(time.monotonic() - started, 3),
        )


def create_health_view(full_name: str) -> Callable[[], ResponseReturnValue]:
    """Return a view for `/health` that reports on the service only, not on its dependencies."""

    @public
    @responds_with(Health)
    def health() -> Health:
        """Check that the service runs."""
        return Health(
            status="healthy",
            service=full_name,
            timestamp=datetime.now(UTC),
            version=__version__,
        )

    return health


def _run_checks(checks: Mapping[str, Check]) -> dict[str, DependencyHealth]:
    return {name: _run_check(name, check) for name, check in checks.items()}


def _run_check(name: str, check: Check) -> DependencyHealth:
    started = time.perf_counter()
    try:
        check()
        status = "healthy"
    except Exception as error:  # noqa: BLE001 - any error means that the dependency does not work
        _log.warning("health check of %s failed: %s", name, type(error).__name__)
        status = "unhealthy"
    return DependencyHealth(
        status=status, latency_ms=round((time.perf_counter() - started) * 1000, 2)
    )
