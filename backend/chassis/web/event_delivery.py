"""Delivery of the events in a service's outbox, in background threads of the service."""

from flask import Flask

from backend.chassis.database.sessions import Database
from backend.chassis.http import UpstreamError
from backend.chassis.messaging.brokers import BrokerUnavailable, EventBroker
from backend.chassis.messaging.outbox import Outbox
from backend.chassis.messaging.publishing import EventPublisher
from backend.chassis.messaging.relay import OutboxRelay, RelayTask, register_outbox_metrics
from backend.chassis.observability.metrics import Metrics
from backend.chassis.settings import CommonSettings
from backend.chassis.web.audit_delivery import create_audit_publisher


def deliver_events(
    app: Flask,
    common: CommonSettings,
    database: Database,
    metrics: Metrics,
    broker: EventBroker | None,
    delay_seconds: float = 0.0,
) -> None:
    """Send audit events to auth and publish domain events, from the first request of *app* on.

    Threads do not survive a fork, so the relays are started in the worker process, which receives
    a readiness probe soon after its start.

    Args:
        broker: None to leave domain events in the outbox.
        delay_seconds: pause between a commit and the delivery of its domain events.
    """
    # Auth stores its audit events itself.
    audit = None if common.name == "auth" else Outbox(common.name, database, "audit")
    events = Outbox(common.name, database, "events")
    register_outbox_metrics(metrics, [events] if audit is None else [audit, events])
    if audit is not None and common.auth_urls:
        relay = OutboxRelay(audit, create_audit_publisher(common))
        task = RelayTask(audit, relay, (UpstreamError,))
        app.before_request(task.start)
    if broker is not None:
        relay = OutboxRelay(events, EventPublisher(common.name, broker))
        task = RelayTask(events, relay, (BrokerUnavailable,), delay_seconds)
        app.before_request(task.start)
