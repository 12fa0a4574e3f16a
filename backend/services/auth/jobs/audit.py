"""Background task that deletes expired audit records, once an hour."""

from datetime import timedelta

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.background import PeriodicTask
from backend.services.auth.domain.audit import AuditLog

_INTERVAL_SECONDS = 3600.0


def start_cleanup_on_request(app: Flask, audit_log: AuditLog, retention: timedelta) -> None:
    """Delete records older than *retention*, from the first request of *app* on.

    Threads do not survive a fork, so it is started in the worker process, not in `create_app`.
    """
    task = PeriodicTask(
        "cleanup of the audit log",
        _INTERVAL_SECONDS,
        lambda: audit_log.delete_expired_records(retention),
        expected_errors=(SQLAlchemyError,),
    )
    app.before_request(task.start)
