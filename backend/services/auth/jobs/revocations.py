"""Background task that publishes missing revocations, twice a second."""

from flask import Flask
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.background import PeriodicTask
from backend.services.auth.domain.revocations import RevocationPublisher

_INTERVAL_SECONDS = 0.5


def start_publisher_on_request(app: Flask, publisher: RevocationPublisher) -> None:
    """Start the publisher at the first request of *app*.

    Threads do not survive a fork, so it is started in the worker process, not in `create_app`.
    """
    task = PeriodicTask(
        "revocation publisher",
        _INTERVAL_SECONDS,
        publisher.publish_missing,
        expected_errors=(RedisError, SQLAlchemyError),
    )
    app.before_request(task.start)
