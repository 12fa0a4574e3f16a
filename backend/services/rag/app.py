"""Wiring: settings in, the library's Flask app out. `python -m backend.services.rag.app`."""

from functools import partial

from flask import Flask

from backend.chassis.database import open_database
from backend.chassis.embedding import Embedder
from backend.chassis.idempotency import Idempotency
from backend.chassis.service import (
    create_service,
    open_metrics,
    provide,
    run,
    seal,
    self_description,
)
from backend.chassis.settings import load_env
from backend.services.rag.clients.extraction import Extractor, Limits
from backend.services.rag.domain.answers import Answers
from backend.services.rag.domain.collections import Collections
from backend.services.rag.domain.documents import Documents, Watchers
from backend.services.rag.domain.ingestion import LONGEST_BESIDES_EXTRACTION, Ingestion
from backend.services.rag.domain.reading import Reading, indexed_passages
from backend.services.rag.domain.search import Search
from backend.services.rag.domain.uploads import Blobs, UploadLimits
from backend.services.rag.jobs.ingestion import IngestionThread
from backend.services.rag.routes.collections import collections
from backend.services.rag.routes.documents import documents
from backend.services.rag.routes.search import search
from backend.services.rag.settings import Settings
from backend.services.rag.store.keywords import KeywordIndexes
from backend.services.rag.store.vectors.opening import open_vectors

# Half of the threads that the service is given by default.
_MOST_WATCHERS = 8


def create_app(settings: Settings | None = None, embedder: Embedder | None = None) -> Flask:
    settings = settings or Settings.from_env(load_env())
    database = open_database(settings.database_url, "rag")
    database.migrate("rag")
    everything = database.across_tenants()
    embedder = embedder or Embedder(settings.common.data_dir)
    vectors = open_vectors(settings.vectors)
    keywords = KeywordIndexes(
        partial(indexed_passages, everything, embedder), settings.keyword_passages
    )
    blobs = Blobs(settings.folder / "blobs")
    finder = Search(database, embedder, vectors, keywords)
    reader = Reading(everything, blobs, _extractor(settings), embedder, vectors, keywords)
    reading = IngestionThread(
        Ingestion(
            everything,
            blobs,
            reader,
            vectors,
            keywords,
            longest_seconds=settings.extraction_seconds + LONGEST_BESIDES_EXTRACTION,
        )
    )

    app = create_service(
        settings.common,
        {"database": database.check, "vectors": vectors.check, "embedding": embedder.check},
    )
    provide(app, Idempotency("rag", database, settings.common.secret_key.reveal()))
    provide(app, UploadLimits(settings.max_upload_bytes))
    provide(app, blobs)
    provide(app, reading)
    provide(app, Collections(database, reading.wake))
    provide(app, Documents(database, blobs, reading.wake, most_waiting=settings.max_waiting))
    provide(app, Watchers(_MOST_WATCHERS))
    provide(app, finder)
    provide(app, Answers(database, finder, embedder))
    for routes in (collections, documents, search):
        app.register_blueprint(routes)
    open_metrics(app)
    self_description(app)
    reading.start()
    return seal(app)


def _extractor(settings: Settings) -> Extractor:
    return Extractor(
        Limits(
            seconds=settings.extraction_seconds,
            memory_bytes=settings.extraction_memory_bytes,
            characters=settings.max_text_characters,
        )
    )


if __name__ == "__main__":
    run(create_app, "rag")
