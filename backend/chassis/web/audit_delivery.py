"""Delivery of audit events to auth, and audit of requests in services without tables."""

from collections.abc import Callable
from functools import partial

from flask import Flask

from backend.chassis.background import PeriodicTask
from backend.chassis.catalog import get_service
from backend.chassis.http import ServiceClient, UpstreamError
from backend.chassis.messaging.audit_events import AuditPublisher
from backend.chassis.messaging.audit_queue import AuditQueue
from backend.chassis.settings import CommonSettings
from backend.chassis.web.app_factory import provide
from backend.chassis.web.audit import audit_requests
from backend.security.service_tokens import ServiceTokens

_INTERVAL_SECONDS = 1.0
_TIMEOUT_SECONDS = 10.0


def audit_requests_without_tables(app: Flask, common: CommonSettings) -> None:
    """Record the denied requests of a service without tables. Events wait in memory for auth."""
    if not common.auth_urls:
        return
    queue = AuditQueue(common.name, create_audit_publisher(common), lambda: task.wake())
    task = _deliver_periodically(app, queue.deliver_pending_events, (UpstreamError,))
    audit_requests(app, queue)


def create_audit_publisher(common: CommonSettings) -> AuditPublisher:
    """Return a publisher that sends audit events of the service to auth."""
    tokens = ServiceTokens(common.secret_key.reveal(), get_service(common.name).full_name)
    return AuditPublisher(
        ServiceClient(
            *common.auth_urls,
            read_timeout_seconds=_TIMEOUT_SECONDS,
            get_service_token=partial(tokens.get_token, get_service("auth").full_name),
        )
    )


def _deliver_periodically(
    app: Flask, deliver: Callable[[], bool], expected_errors: tuple[type[Exception], ...]
) -> PeriodicTask:
    """Run *deliver* each second from the first request of *app* on.

    Threads do not survive a fork, so the task is started in the worker process, which receives a
    readiness probe soon after its start.
    """
    task = PeriodicTask(
        "delivery of audit events", _INTERVAL_SECONDS, deliver, expected_errors=expected_errors
    )
    provide(app, task)
    app.before_request(task.start)
    return task
