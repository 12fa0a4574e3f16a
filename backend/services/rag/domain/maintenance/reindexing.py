"""Reindex many documents from their stored text."""

import time
from collections.abc import Callable
from time import monotonic

from backend.chassis.database.sessions import Database
from backend.services.rag.domain.embeddings.reembedding import Reembedder
from backend.services.rag.domain.ingestion.runner import IngestionRunner
from backend.services.rag.errors import CollectionNotFound
from backend.services.rag.store import collections as collection_store
from backend.services.rag.store import documents as document_store
from backend.services.rag.store import ingestion_queue

_REPORT_INTERVAL_SECONDS = 2.0
_POLL_SECONDS = 0.2
_MAX_STALL_SECONDS = 10.0

# Called with the processed and the total number of documents.
ReportProgress = Callable[[int, int], None]


def queue_documents(database: Database, collection: str | None) -> int:
    """Queue documents for reindexing: all, or those of the collections with this name or id.

    Searches find their current chunks until the new ones are ready.

    Returns:
        The number of queued documents.

    Raises:
        CollectionNotFound: there is no such collection.
    """
    with database.write() as session:
        collection_ids = None
        if collection is not None:
            collection_ids = [
                row.id
                for row in collection_store.list_collections_by_name_or_id(session, collection)
            ]
            if not collection_ids:
                raise CollectionNotFound
        rows = document_store.list_indexed_documents(session, collection_ids)
        for row in rows:
            ingestion_queue.requeue_document(row)
        return len(rows)


def process_queue(
    database: Database,
    ingestion: IngestionRunner,
    reembedder: Reembedder,
    report_progress: ReportProgress,
) -> None:
    """Process and embed queued documents, together with running workers, until none is left.

    Documents that must wait longer than ten seconds, for example after a failure, are left to the
    service.
    """
    total = remaining = _count_unprocessed(database)
    changed_at = reported_at = monotonic()
    while True:
        has_worked = ingestion.process_next_document()
        has_worked |= reembedder.run_time_slice()
        previous, remaining = remaining, _count_unprocessed(database)
        if has_worked or remaining != previous:
            changed_at = monotonic()
        if monotonic() - reported_at > _REPORT_INTERVAL_SECONDS:
            reported_at = monotonic()
            report_progress(max(0, total - remaining), max(total, remaining))
        has_stalled = monotonic() - changed_at > _MAX_STALL_SECONDS
        if not has_worked and (not remaining or has_stalled):
            report_progress(max(0, total - remaining), max(total, remaining))
            return
        if not has_worked:
            time.sleep(_POLL_SECONDS)


def _count_unprocessed(database: Database) -> int:
    with database.read() as session:
        return document_store.count_unprocessed(session)
