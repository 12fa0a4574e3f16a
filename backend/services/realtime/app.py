"""App factory of the realtime service. Running this module starts the development server."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask

from backend.chassis.background import PeriodicTask
from backend.chassis.database.sessions import open_database
from backend.chassis.observability.metrics import Metrics
from backend.chassis.settings import load_env
from backend.chassis.web.app_factory import (
    add_docs_routes,
    add_metrics_route,
    create_service,
    provide,
    verify_routes,
)
from backend.chassis.web.asyncio_server.development import run_development_server
from backend.chassis.web.asyncio_server.worker import ServerConfig
from backend.services.realtime.clients.memory_broker import MemoryBroker
from backend.services.realtime.clients.valkey_broker import ValkeyBroker
from backend.services.realtime.domain.loop_calls import LoopCalls
from backend.services.realtime.domain.notifications import NotificationService
from backend.services.realtime.edge.server import RealtimeConfig
from backend.services.realtime.edge.worker import create_server
from backend.services.realtime.jobs.events import EventHandlers, create_consumer
from backend.services.realtime.model import Broker
from backend.services.realtime.routes.notifications import bp as notifications
from backend.services.realtime.routes.topics import bp as topics
from backend.services.realtime.settings import Settings

_DELETION_INTERVAL_SECONDS = 3600.0


def create_app(
    settings: Settings | None = None,
    *,
    broker: Broker | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Flask:
    """Build the realtime service.

    Args:
        settings: None to read them from the environment.
        broker: None for the Redis-compatible server, or for this process without one.
        now: the clock.
    """
    settings = settings or Settings.from_env(load_env())
    database = open_database(settings.database_url, "realtime")
    database.migrate("realtime")
    metrics = Metrics()
    database.register_metrics(metrics)
    app = create_service(settings.common, {"database": database.check_connection}, metrics=metrics)
    calls = LoopCalls(broker or _create_broker(settings.common.redis_url))
    notification_service = NotificationService(database, calls, now)
    provide(app, RealtimeConfig(settings.sockets, settings.connections, settings.drain_seconds))
    provide(app, ServerConfig(settings.drain_seconds))
    provide(app, calls)
    handlers = EventHandlers(notification_service, calls)
    consumer = create_consumer(database, settings.common.events_url, handlers)
    consumer.register_metrics(metrics)
    provide(app, consumer)
    provide(app, notification_service)
    provide(
        app,
        PeriodicTask(
            "expired notifications",
            _DELETION_INTERVAL_SECONDS,
            notification_service.delete_expired,
            runs_at_start=False,
        ),
    )
    app.register_blueprint(topics)
    app.register_blueprint(notifications)
    add_metrics_route(app)
    add_docs_routes(app)
    return verify_routes(app)


def _create_broker(redis_url: str | None) -> Broker:
    return ValkeyBroker(redis_url) if redis_url else MemoryBroker()


if __name__ == "__main__":
    run_development_server(create_app, create_server, "realtime")
