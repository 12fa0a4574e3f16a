"""App factory of the packages service. Running this module starts the development server."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.background import PeriodicTask
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.messaging.brokers import open_broker
from backend.chassis.observability.metrics import Metrics
from backend.chassis.settings import load_env
from backend.chassis.web.app_factory import (
    add_docs_routes,
    add_metrics_route,
    create_service,
    provide,
    run_development_server,
    use,
    verify_routes,
)
from backend.chassis.web.audit import audit_requests
from backend.chassis.web.event_delivery import deliver_events
from backend.chassis.web.idempotency import IdempotencyStore
from backend.chassis.web.wait_slots import WaitSlots
from backend.services.packages.clients.metrics import PackageMetrics
from backend.services.packages.routes.epcis import bp as epcis
from backend.services.packages.routes.investigations import investigations
from backend.services.packages.routes.packages import packages
from backend.services.packages.routes.positions import positions
from backend.services.packages.routes.stats import stats
from backend.services.packages.routes.tours import tours
from backend.services.packages.routes.transfers import transfers
from backend.services.packages.routes.webhooks import webhooks
from backend.services.packages.settings import Settings
from backend.services.packages.wiring import PackageComponents

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_OVERDUE_SECONDS: Final = 60.0
_STATISTICS_SECONDS: Final = 900.0
_WEBHOOK_SECONDS: Final = 10.0
_TOUR_SECONDS: Final = 30.0
_PREFIX: Final = "/packages"
_COMMON_PATHS: Final = ("/health", "/info", "/openapi.json", "/docs", "/metrics")


def create_app(
    settings: Settings | None = None,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Flask:
    """Build the packages service. Tests pass *settings* and the clock."""
    settings = settings or Settings.from_env(load_env())
    metrics = Metrics()
    components = PackageComponents.open(settings, now, PackageMetrics(metrics.registry))
    database = components.database
    database.register_metrics(metrics)
    app = create_service(settings.common, {"database": database.check_connection}, metrics=metrics)
    audit_requests(app, AuditOutbox("packages", database), (SQLAlchemyError,))
    broker = open_broker(settings.common.events_url)
    deliver_events(app, settings.common, database, metrics, broker)
    provide(app, components)
    for component in (
        components.packages,
        components.events,
        components.webhooks,
        components.stats,
        components.positions,
        components.investigations,
        components.tours,
    ):
        provide(app, component)
    provide(app, WaitSlots(settings.common.threads))
    provide(app, IdempotencyStore("packages", database, settings.common.secret_key.reveal()))
    provide(app, BackgroundTasks(components))
    # Threads do not survive a fork, so they are started in the process that serves requests.
    app.before_request(lambda: use(BackgroundTasks).start())
    for blueprint in (
        packages,
        stats,
        positions,
        transfers,
        epcis,
        webhooks,
        investigations,
        tours,
    ):
        app.register_blueprint(blueprint)
    add_metrics_route(app)
    add_docs_routes(app)
    app.wsgi_app = _CommonRoutes(app.wsgi_app)  # type: ignore[method-assign, assignment]
    return verify_routes(app)


class BackgroundTasks:
    """Threads that mark overdue packages, process webhooks, compute statistics and tours.

    The one that computes statistics also deletes old tours.
    """

    def __init__(self, components: PackageComponents) -> None:
        tours = PeriodicTask(
            "tours",
            _TOUR_SECONDS,
            components.tours.compute_next,
            on_stop=components.tours.stop,
            expected_errors=(SQLAlchemyError,),
        )
        components.tours.wake = tours.wake
        self._tasks = (
            PeriodicTask(
                "overdue packages",
                _OVERDUE_SECONDS,
                components.upkeep.mark_overdue,
                expected_errors=(SQLAlchemyError,),
            ),
            PeriodicTask(
                "waiting webhooks",
                _WEBHOOK_SECONDS,
                components.webhooks.process_waiting,
                expected_errors=(SQLAlchemyError,),
            ),
            PeriodicTask(
                "lane statistics and old tours",
                _STATISTICS_SECONDS,
                components.maintain_tables,
                runs_at_start=False,
                expected_errors=(SQLAlchemyError,),
            ),
            tours,
        )

    def start(self) -> None:
        for task in self._tasks:
            task.start()

    def stop(self) -> None:
        for task in self._tasks:
            task.stop()


class _CommonRoutes:
    """Serves the common routes, such as `/health`, also below `/packages`.

    The gateway does not remove this service's prefix.
    """

    def __init__(self, app: WsgiApp) -> None:
        self._app = app

    def __call__(
        self, variables: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = variables.get("PATH_INFO", "")
        if path.startswith(_PREFIX):
            rest = path[len(_PREFIX) :]
            if any(rest == common or rest.startswith(f"{common}/") for common in _COMMON_PATHS):
                variables["PATH_INFO"] = rest
        return self._app(variables, start_response)


if __name__ == "__main__":
    run_development_server(create_app, "packages")
