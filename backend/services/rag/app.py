"""Wiring: settings in, the library's Flask app out. `python -m backend.services.rag.app`."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask

from backend.ai.embedding import Embedder
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import AskedNumbers
from backend.chassis.settings import load_env
from backend.chassis.web.app_factory import (
    create_service,
    open_metrics,
    provide,
    run,
    seal,
    self_description,
)
from backend.chassis.web.idempotency import Idempotency
from backend.services.rag.clients.measures import Measures, queue_numbers
from backend.services.rag.clients.writer import open_writer
from backend.services.rag.domain.answers import Answers
from backend.services.rag.domain.collections import Collections
from backend.services.rag.domain.documents import Documents, Watchers
from backend.services.rag.domain.stats import Stats
from backend.services.rag.domain.uploads import UploadLimits
from backend.services.rag.jobs.broker import Bell
from backend.services.rag.jobs.ingestion import IngestionThread
from backend.services.rag.jobs.reembedding import ReembeddingThread
from backend.services.rag.parts import Parts
from backend.services.rag.routes.collections import collections
from backend.services.rag.routes.documents import documents
from backend.services.rag.routes.search import search
from backend.services.rag.routes.stats import stats
from backend.services.rag.settings import Settings

# Half of the threads that the service is given by default.
_MOST_WATCHERS = 16
# So long a worker may let documents wait before the service takes it for absent.
_PATIENCE_SECONDS = 30.0


def create_app(settings: Settings | None = None, embedder: Embedder | None = None) -> Flask:
    settings = settings or Settings.from_env(load_env())
    metrics = Metrics()
    parts = Parts.open(settings, embedder, Measures(metrics.registry))
    parts.models.settle()
    database = parts.database
    database.show(metrics)
    metrics.ask(AskedNumbers("the queue", lambda: queue_numbers(parts.ingestion.queue_state())))
    finder = parts.search

    app = create_service(
        settings.common,
        {
            "database": database.check,
            "vectors": parts.dense.check,
            "embedding": parts.embedder.check,
        },
        metrics=metrics,
    )
    wake = _have_read(app, settings, parts)
    provide(app, Idempotency("rag", database, settings.common.secret_key.reveal()))
    provide(app, UploadLimits(settings.max_upload_bytes))
    provide(app, parts)
    provide(app, parts.blobs)
    provide(app, Collections(database, wake))
    provide(
        app,
        Documents(database, parts.blobs, wake, parts.seal, most_waiting=settings.max_waiting),
    )
    provide(app, Watchers(_MOST_WATCHERS))
    provide(app, finder)
    provide(app, Stats(database.across_tenants(), lambda: datetime.now(UTC)))
    provide(app, Answers(database, finder, parts.embedder, open_writer(settings.models)))
    for routes in (collections, documents, search, stats):
        app.register_blueprint(routes)
    open_metrics(app)
    self_description(app)
    return seal(app)


def _have_read(app: Flask, settings: Settings, parts: Parts) -> Callable[[], None]:
    """Have documents read by the workers, or here where there is no broker; how to wake them."""
    if settings.broker_url is None:
        reading = IngestionThread(parts.ingestion)
        provide(app, reading)
        reading.start()
        embedding = ReembeddingThread(parts.reembedding)
        provide(app, embedding)
        embedding.start()
        return reading.wake
    bell = Bell(settings.broker_url, settings.longest_turn_seconds)
    provide(app, bell)
    bell.start()
    reading = IngestionThread(parts.ingestion, _PATIENCE_SECONDS)
    provide(app, reading)
    reading.start()
    return bell.ring


if __name__ == "__main__":
    run(create_app, "rag")
