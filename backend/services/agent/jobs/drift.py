"""Background task that looks for drift, every five minutes."""

from typing import Final

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.background import PeriodicTask
from backend.services.agent.domain.drift.monitor import DriftMonitor

_INTERVAL_SECONDS: Final = 300.0


def start_drift_monitor_on_request(app: Flask, monitor: DriftMonitor) -> None:
    """Run *monitor* regularly, from five minutes after the first request of *app* on.

    Threads do not survive a fork, so it is started in the worker process, not in `create_app`.
    """
    task = PeriodicTask(
        "drift detection",
        _INTERVAL_SECONDS,
        monitor.run,
        runs_at_start=False,
        stops_at_exit=True,
        expected_errors=(SQLAlchemyError,),
    )
    app.before_request(task.start)
