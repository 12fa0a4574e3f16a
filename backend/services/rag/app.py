"""Flask app of the rag service. `python -m backend.services.rag.app` starts it for development."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from backend.ai.embedding import BuiltInEmbedder
from backend.chassis.backup_contract import collect_backup_metrics
from backend.chassis.messaging.brokers import open_broker
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import PolledCollector
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
from backend.chassis.web.wait_slots import WaitSlots
from backend.services.rag.clients.answer_model import open_answer_model
from backend.services.rag.clients.metrics import RagMetrics, queue_metrics
from backend.services.rag.domain.answers import AnswerService
from backend.services.rag.domain.collections import CollectionService
from backend.services.rag.domain.documents import DocumentService
from backend.services.rag.domain.page_views import PageViewService
from backend.services.rag.domain.stats import StatsService
from backend.services.rag.domain.uploads import UploadLimits
from backend.services.rag.extraction.page_views import PageViewer
from backend.services.rag.extraction.parser_processes import select_processes
from backend.services.rag.jobs.broker import WorkerNotifier
from backend.services.rag.jobs.indexing import IndexingThreads
from backend.services.rag.jobs.ingestion import IngestionThread
from backend.services.rag.routes.collections import collections
from backend.services.rag.routes.documents import documents
from backend.services.rag.routes.page_views import page_views
from backend.services.rag.routes.search import search
from backend.services.rag.routes.stats import stats
from backend.services.rag.settings import Settings
from backend.services.rag.wiring import RagComponents

# Without a worker's heartbeat for this time, the service processes waiting documents itself.
_WORKER_TIMEOUT_SECONDS = 30.0


def create_app(settings: Settings | None = None, embedder: BuiltInEmbedder | None = None) -> Flask:
    """Build the rag service. Tests pass *settings* and *embedder*."""
    settings = settings or Settings.from_env(load_env())
    metrics = Metrics()
    components = RagComponents.open(settings, embedder, RagMetrics(metrics.registry))
    components.embedding_models.activate_configured_model()
    database = components.database
    database.register_metrics(metrics)
    metrics.register_polled(
        PolledCollector("the queue", lambda: queue_metrics(components.ingestion.get_queue_state()))
    )

    # The time of the last backup of the whole system is recorded in this service's data folder.
    read_backup_time = partial(collect_backup_metrics, settings.common.data_dir)
    metrics.register_polled(PolledCollector("the last backup", read_backup_time))

    # The vector store is not a readiness check: without it, searches use keywords and uploads are
    # queued. All instances share it, so its outage would remove all from the load balancer.
    # The embedding model is loaded with the first text, which takes 0.1 s.
    readiness = {
        "database": database.check_connection,
        "embedding": components.embedder.check_installed,
    }
    app = create_service(
        settings.common,
        {
            **readiness,
            "vectors": components.dense_index.check_connection,
            "worker": components.ingestion.check_workers,
        },
        readiness=readiness,
        metrics=metrics,
    )
    audit = components.audit
    audit_requests(app, audit, (SQLAlchemyError,))
    broker = open_broker(settings.common.events_url)
    deliver_events(app, settings.common, database, metrics, broker)
    wake = _start_ingestion(app, settings, components)
    components.reembedder.set_wake(wake)
    provide(app, IdempotencyStore("rag", database, settings.common.secret_key.reveal()))
    provide(app, UploadLimits(settings.max_upload_bytes))
    provide(app, components)
    provide(app, components.blob_storage)
    provide(app, CollectionService(database, wake, audit))
    document_service = DocumentService(
        database,
        components.blob_storage,
        wake,
        components.encryptor,
        audit,
        max_queued_documents=settings.max_queued_documents,
    )
    provide(app, document_service)
    page_viewer = PageViewer(select_processes())
    provide(app, page_viewer)
    provide(app, PageViewService(document_service, page_viewer))
    provide(app, WaitSlots(settings.common.threads))
    provide(app, components.search)
    provide(app, components.similarities)
    provide(app, StatsService(database.across_tenants(), lambda: datetime.now(UTC)))
    provide(
        app,
        AnswerService(
            database,
            components.search,
            components.similarities,
            components.embedder,
            open_answer_model(settings.models),
        ),
    )
    for blueprint in (collections, documents, page_views, search, stats):
        app.register_blueprint(blueprint)
    add_metrics_route(app)
    add_docs_routes(app)
    return verify_routes(app)


def _start_ingestion(
    app: Flask, settings: Settings, components: RagComponents
) -> Callable[[], None]:
    """Start ingestion: in this process or, with a broker, in the workers.

    Returns:
        A function to call when documents were added.
    """
    if settings.broker_url is None:
        ingestion = IngestionThread(components.ingestion)
        provide(app, ingestion)
        ingestion.start()
        indexing = IndexingThreads(
            components.reembedder, components.sentence_embedder, components.word_counts
        )
        provide(app, indexing)
        indexing.start()
        return ingestion.wake
    notifier = WorkerNotifier(
        settings.broker_url,
        settings.max_processing_seconds,
        settings.folder,
        components.has_unfinished_work,
    )
    provide(app, notifier)
    notifier.start()
    ingestion = IngestionThread(components.ingestion, _WORKER_TIMEOUT_SECONDS)
    provide(app, ingestion)
    ingestion.start()
    return notifier.notify_workers


if __name__ == "__main__":
    run_development_server(create_app, "rag")
