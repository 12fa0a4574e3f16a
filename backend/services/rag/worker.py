"""Worker process that ingests documents: `python -m backend.services.rag.worker [--on-demand]`.

With --on-demand, it ends when there is no work. The supervisor starts it again when the service on
the same host wakes it.
"""

import logging
import os
import signal
import sys
import time
import warnings
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from backend.chassis.observability.logs import configure_logging
from backend.chassis.observability.tracing import configure_tracing
from backend.chassis.service_description import ON_DEMAND_OPTION
from backend.chassis.settings import CommonSettings, SettingsError, load_env
from backend.services.rag.jobs.broker import supports_messages
from backend.services.rag.settings import Settings

if TYPE_CHECKING:
    from backend.chassis.observability.metrics import Metrics
    from backend.chassis.wake_pipe import WakePipe

_NAME = "rag-worker"
_log = logging.getLogger(__name__)
# With this niceness, ingestion uses only processor time that other processes do not need.
_NICENESS = 10
_RETRY_SECONDS = 1.0


def main() -> None:
    os.nice(_NICENESS)
    try:
        env = load_env()
        settings = Settings.from_env(env)
    except SettingsError as error:
        sys.exit(f"{_NAME}: {error}")
    _configure_logging(settings.common)
    from backend.chassis.worker_process import run_worker_process

    run_worker_process(
        _NAME,
        env,
        settings.common,
        settings.worker_port,
        settings.folder,
        partial(_run_worker, settings),
        on_demand=ON_DEMAND_OPTION in sys.argv and settings.broker_url is not None,
    )


def _run_worker(
    settings: Settings,
    metrics: "Metrics",
    pipe: "WakePipe | None",
) -> None:
    """Process documents until a signal ends the process, or with *pipe* until it is idle."""
    if settings.broker_url is None:
        _log.warning("No broker is configured; the rag service ingests documents itself.")
        signal.pause()
        return
    from backend.ai.embedding import BuiltInEmbedder, MultilingualEmbedder
    from backend.chassis.observability.polled_metrics import DependencyCollector
    from backend.services.rag.clients.metrics import RagMetrics
    from backend.services.rag.jobs.broker import open_celery_app
    from backend.services.rag.jobs.indexing import IndexingThreads
    from backend.services.rag.jobs.worker import run_celery_worker, run_polling_worker
    from backend.services.rag.wiring import RagComponents

    # Called after the imports above: tracing instruments only libraries that are already loaded.
    configure_tracing(settings.common, _NAME)
    embedder = BuiltInEmbedder(threads=settings.worker_threads)
    multilingual = MultilingualEmbedder(threads=settings.worker_threads)
    components = RagComponents.open(
        settings, embedder, RagMetrics(metrics.registry), multilingual_embedder=multilingual
    )
    # Parsers and models are loaded in the background, while the rest of the worker starts.
    components.ingestion.prepare_next_document()
    components.database.register_metrics(metrics)
    metrics.register_polled(
        DependencyCollector(
            {
                "database": components.database.check_connection,
                "vectors": components.dense_index.check_connection,
            }
        )
    )
    components.embedding_models.activate_configured_model()
    # Load libraries before threads start: concurrent imports of one library can fail. The embedding
    # model itself is loaded with the first document.
    try:
        components.dense_index.check_connection()
    except Exception as error:  # noqa: BLE001 - it can be available when it is needed
        _log.warning("dependency is not available yet: %s", error)
    indexing = IndexingThreads(
        components.reembedder, components.sentence_embedder, components.word_counts
    )
    threads = settings.worker_threads
    if pipe is not None:
        run_polling_worker(components.ingestion, indexing, threads, pipe)
        return
    if not _wait_for_broker(settings.broker_url):
        _log.info("Celery does not support Redis Cluster; polling the tables instead.")
        run_polling_worker(components.ingestion, indexing, threads)
        return
    app = open_celery_app(settings.broker_url, settings.max_processing_seconds)
    run_celery_worker(app, components.ingestion, indexing, threads)


def _wait_for_broker(url: str) -> bool:
    """Wait until the broker responds. Returns False if Celery does not support it."""
    while True:
        try:
            return supports_messages(url)
        except RedisError as error:
            _log.warning("the broker does not respond yet: %s", error)
            time.sleep(_RETRY_SECONDS)


def _configure_logging(common: CommonSettings) -> None:
    configure_logging(_NAME, common.log_level, common.log_format)
    # Ingestion logs one line per document itself.
    for name in ("celery.app.trace", "celery.worker.strategy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Celery warns about running as root because pickled messages can execute code. These
    # messages contain only a task name.
    warnings.filterwarnings("ignore", message=".*superuser privileges", category=UserWarning)


if __name__ == "__main__":
    main()
