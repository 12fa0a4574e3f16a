"""Wiring of the worker that reads documents: `python -m backend.services.rag.worker`."""

import logging
import os
import signal
import sys
import time
import warnings

from redis.exceptions import RedisError

from backend.chassis.observability.logs import log_as_json
from backend.chassis.observability.tracing import open_tracing
from backend.chassis.settings import SettingsError, load_env
from backend.services.rag.jobs.broker import carries_messages
from backend.services.rag.settings import Settings

_NAME = "rag-worker"
_log = logging.getLogger(__name__)
# Reading takes what of the processors nobody else wants.
_NICENESS = 10
_PAUSE_SECONDS = 1.0


def main() -> None:
    os.nice(_NICENESS)
    _log_like_the_services()
    try:
        settings = Settings.from_env(load_env())
    except SettingsError as error:
        sys.exit(f"{_NAME}: {error}")
    from backend.chassis.observability.metrics import Metrics
    from backend.chassis.observability.metrics_server import open_page
    from backend.chassis.observability.polled_metrics import Dependencies
    from backend.chassis.observability.process_metrics import Build
    from backend.services.rag.clients.measures import Measures

    metrics = Metrics()
    metrics.tell(Build(_NAME))
    open_page(settings.common.host, settings.worker_port, metrics)
    if settings.broker_url is None:
        _log.warning("There is no broker; the rag service reads documents itself.")
        signal.pause()
        return
    from backend.ai.embedding import Embedder
    from backend.services.rag.jobs.broker import open_broker
    from backend.services.rag.jobs.worker import poll, work
    from backend.services.rag.parts import Parts

    # When the libraries are there whose work it watches.
    open_tracing(settings.common, _NAME)
    embedder = Embedder(settings.common.data_dir, threads=settings.worker_threads)
    parts = Parts.open(settings, embedder, Measures(metrics.registry))
    parts.database.show(metrics)
    metrics.ask(Dependencies({"database": parts.database.check, "vectors": parts.dense.check}))
    parts.models.settle()
    # Here, because threads that import a library at the same time get in each other's way.
    for check in (parts.embedder.check, parts.dense.check):
        try:
            check()
        except Exception as fault:  # noqa: BLE001 - it may be there when it is needed
            _log.warning("not there yet: %s", fault)
    if not _carries_messages(settings.broker_url):
        _log.info("The broker is a cluster, of which Celery knows nothing: looking at the tables.")
        poll(parts.ingestion, parts.reembedding, settings.worker_threads)
        return
    app = open_broker(settings.broker_url, settings.longest_turn_seconds)
    work(app, parts.ingestion, parts.reembedding, settings.worker_threads)


def _carries_messages(url: str) -> bool:
    while True:
        try:
            return carries_messages(url)
        except RedisError as fault:
            _log.warning("the broker does not answer yet: %s", fault)
            time.sleep(_PAUSE_SECONDS)


def _log_like_the_services() -> None:
    log_as_json(_NAME)
    # A line for each document is written by who reads it.
    for name in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Celery's advice against root concerns messages that are programs; ours are names.
    warnings.filterwarnings("ignore", message=".*superuser privileges", category=UserWarning)


if __name__ == "__main__":
    main()
