"""App factory of the chat service. Running this module starts the development server."""

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

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
    verify_routes,
)
from backend.chassis.web.audit import audit_requests
from backend.chassis.web.event_delivery import deliver_events
from backend.chassis.web.idempotency import IdempotencyStore
from backend.services.chat.jobs.waking import WorkerWaker
from backend.services.chat.settings import Settings
from backend.services.chat.wiring import ChatComponents


def create_app(settings: Settings | None = None) -> Flask:
    """Build the chat service. Tests pass *settings*."""
    settings = settings or Settings.from_env(load_env())
    components = ChatComponents.open(settings)
    database = components.database
    metrics = Metrics()
    database.register_metrics(metrics)
    app = create_service(settings.common, {"database": database.check_connection}, metrics=metrics)
    audit_requests(app, AuditOutbox("chat", database), (SQLAlchemyError,))
    broker = open_broker(settings.common.events_url)
    deliver_events(app, settings.common, database, metrics, broker)
    provide(app, components)
    provide(app, IdempotencyStore("chat", database, settings.common.secret_key.reveal()))
    waker = WorkerWaker(settings.folder, components.create_jobs())
    waker.listen(database)
    provide(app, waker)
    # Threads do not survive a fork, so the task is started in the process that serves requests.
    app.before_request(waker.start)
    add_metrics_route(app)
    add_docs_routes(app)
    return verify_routes(app)


if __name__ == "__main__":
    run_development_server(create_app, "chat")
