"""How a service says that it lives: probes, its dependencies, what it is."""

import logging
import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from flask import Blueprint
from flask.typing import ResponseReturnValue
from pydantic import BaseModel

from backend import __version__
from backend.chassis.web.openapi import answers
from backend.chassis.web.problems import ServiceError
from backend.security import Permission, public, require_permission

Check = Callable[[], None]

_log = logging.getLogger(__name__)


class Health(BaseModel):
    """The service runs."""

    status: str
    service: str
    timestamp: datetime
    version: str


class Probe(BaseModel):
    """What an orchestrator asks."""

    status: str


class DependencyHealth(BaseModel):
    """One thing that the service needs, and how long it took to answer."""

    status: str
    latency_ms: float


class DetailedHealth(Health):
    """The service and all that it needs."""

    dependencies: dict[str, DependencyHealth]


class Info(BaseModel):
    """Which build runs, and since when."""

    service: str
    version: str
    python: str
    started_at: datetime
    uptime_seconds: float


class NotReady(ServiceError):
    status = 503
    code = "not_ready"
    title = "Not ready"

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


def health_routes(full_name: str, checks: Mapping[str, Check]) -> Blueprint:
    """The routes that every service answers; *checks* raise for what does not answer."""
    bp = Blueprint("service", __name__)
    started_at, started = datetime.now(UTC), time.monotonic()

    @bp.get("/health/live")
    @public
    @answers(Probe)
    def live() -> Probe:
        """Whether the process runs."""
        return Probe(status="healthy")

    @bp.get("/health/ready")
    @public
    @answers(Probe, errors=(NotReady,))
    def ready() -> Probe:
        """Whether everything that the service needs answers."""
        unwell = [name for name, each in _ask(checks).items() if each.status != "healthy"]
        if unwell:
            raise NotReady(f"These do not answer: {', '.join(unwell)}.")
        return Probe(status="healthy")

    @bp.get("/health/detailed")
    @require_permission(Permission.SYSTEM_READ)
    @answers(DetailedHealth)
    def detailed() -> DetailedHealth:
        """Each dependency, and how long it took to answer."""
        dependencies = _ask(checks)
        healthy = all(each.status == "healthy" for each in dependencies.values())
        return DetailedHealth(
            status="healthy" if healthy else "degraded",
            service=full_name,
            timestamp=datetime.now(UTC),
            version=__version__,
            dependencies=dependencies,
        )

    @bp.get("/info")
    @public
    @answers(Info)
    def info() -> Info:
        """Which build runs, and since when."""
        return Info(
            service=full_name,
            version=__version__,
            python=platform.python_version(),
            started_at=started_at,
            uptime_seconds=round(time.monotonic() - started, 3),
        )

    return bp


def plain_health(full_name: str) -> Callable[[], ResponseReturnValue]:
    """The `/health` of a service that answers for itself only."""

    @public
    @answers(Health)
    def health() -> Health:
        """Whether the service runs."""
        return Health(
            status="healthy",
            service=full_name,
            timestamp=datetime.now(UTC),
            version=__version__,
        )

    return health


def _ask(checks: Mapping[str, Check]) -> dict[str, DependencyHealth]:
    return {name: _answer_of(name, check) for name, check in checks.items()}


def _answer_of(name: str, check: Check) -> DependencyHealth:
    started = time.perf_counter()
    try:
        check()
        status = "healthy"
    except Exception as error:  # noqa: BLE001 - whatever it is, the dependency is not well
        _log.warning("%s is not well: %s", name, type(error).__name__)
        status = "unhealthy"
    return DependencyHealth(
        status=status, latency_ms=round((time.perf_counter() - started) * 1000, 2)
    )
