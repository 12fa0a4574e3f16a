"""Runs ingestion jobs: deletes removed data, processes the next document, handles failures."""

import logging
import threading
from datetime import datetime
from time import monotonic, time

from backend.chassis.database.sessions import Database
from backend.chassis.encryption import DamagedValue
from backend.chassis.observability.tracing import (
    AttributeValue,
    SpanKind,
    attach_span_context,
    parse_traceparent,
    start_as_current_span,
)
from backend.security.request_ids import request_id_scope
from backend.services.rag.clients.metrics import QueueState, RagMetrics
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.ingestion.batched_writes import (
    delete_hidden_collection,
    delete_old_generations,
)
from backend.services.rag.domain.ingestion.cancellation import (
    CancellationToken,
    ClaimLost,
    ShutdownRequested,
)
from backend.services.rag.domain.ingestion.heartbeat import send_heartbeats
from backend.services.rag.domain.ingestion.pipeline import IngestionPipeline
from backend.services.rag.domain.ingestion.queue import IngestionJob, IngestionQueue
from backend.services.rag.domain.search.dense_index import DenseIndex
from backend.services.rag.errors import ExtractionFailed
from backend.services.rag.store import documents as document_store
from backend.services.rag.store import ingestion_queue as store
from backend.services.rag.store.base import utc_now
from backend.services.rag.store.transient_errors import is_transient

_log = logging.getLogger(__name__)
# A document that takes longer is returned to the queue, so that others are processed too.
TIME_SLICE_SECONDS = 20.0
# With the delays between the attempts, a document fails after about 45 minutes.
MAX_TRANSIENT_FAILURES = 12
MAX_FAILURES = 3
_REMOVALS_PER_STEP = 100
# A file younger than this that no document references can belong to a running request.
_MIN_ORPHAN_AGE_SECONDS = 3600


class IngestionRunner:
    """Processes queued documents. Any number of threads and processes can do so concurrently."""

    def __init__(
        self,
        database: Database,
        blob_storage: BlobStorage,
        pipeline: IngestionPipeline,
        dense_index: DenseIndex,
        *,
        max_processing_seconds: float,
        metrics: RagMetrics | None = None,
    ) -> None:
        """*database* sees all tenants' rows.

        Args:
            max_processing_seconds: a time slice that takes longer is considered stuck.
        """
        self._database = database
        self._blob_storage = blob_storage
        self._pipeline = pipeline
        self._dense_index = dense_index
        self._max_processing_seconds = max_processing_seconds
        self._queue = IngestionQueue(database)
        self._metrics = metrics or RagMetrics()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stop processing. Another process, or the next start, resumes unfinished documents."""
        self._stopping.set()
        self._pipeline.stop_processes()

    def recover_expired_claims(self) -> None:
        """Requeue documents whose process sends no heartbeats."""
        self._queue.recover_expired_claims()

    def delete_orphaned_blobs(self) -> None:
        """Delete files that a killed process wrote and no document references."""
        with self._database.read() as session:
            referenced = document_store.list_blobs(session)
        self._blob_storage.delete_orphans(referenced, older_than=time() - _MIN_ORPHAN_AGE_SECONDS)

    def has_due_document(self) -> bool:
        return self._queue.has_due_document()

    def has_due_or_claimed_document(self) -> bool:
        """Return True if a document is processed now or can be, in this process or another."""
        return self._queue.has_due_or_claimed_document()

    def has_unfinished_work(self) -> bool:
        """Return True if a document is not ready, or if deleted data waits for its removal."""
        return self._queue.has_unfinished_work()

    def get_last_heartbeat(self) -> datetime | None:
        """Return the time of the most recent heartbeat of any process."""
        return self._queue.get_last_heartbeat()

    def check_workers(self) -> None:
        """Raise WorkersStalled if documents wait, and no process has worked for a minute."""
        self._queue.check_workers()

    def get_queue_state(self) -> QueueState:
        """Return counts by status and ages of all tenants' documents."""
        return self._queue.get_queue_state()

    def prepare_next_document(self) -> None:
        """Begin to load what the next document needs, if one is due. Does not wait for it."""
        job = self._queue.find_due_job()
        if job is not None:
            self._pipeline.prepare(job)

    def process_next_document(self) -> bool:
        """Delete the data of deleted documents, then process one document or a part of a long one.

        Returns:
            False if there was nothing to do.
        """
        # Keep files and vectors while a backup is taken: it can contain documents that were
        # deleted a moment ago.
        with self._blob_storage.try_start_deletion() as is_allowed:
            has_deleted = is_allowed and self._delete_removed_data()
        job = None if self._stopping.is_set() else self._queue.claim_next_job()
        if job is None:
            return has_deleted
        with (
            request_id_scope(job.request_id),
            attach_span_context(parse_traceparent(job.traceparent or "")),
            start_as_current_span(
                "process rag.reading", SpanKind.CONSUMER, _get_span_attributes(job)
            ),
        ):
            self._run_time_slice(job)
        return True

    def _run_time_slice(self, job: IngestionJob) -> None:
        started_at = monotonic()
        cancellation = CancellationToken(self._stopping)

        def cancel() -> None:
            cancellation.cancel()
            self._pipeline.cancel_processes(job)

        try:
            with send_heartbeats(
                self._queue, job.claim, self._max_processing_seconds, on_lost=cancel
            ):
                is_ready = self._pipeline.process_document(
                    job, started_at + TIME_SLICE_SECONDS, cancellation
                )
        except ExtractionFailed as error:
            self._handle_extraction_failure(job, error, cancellation)
        except DamagedValue:
            detail = "The stored file or text is damaged and cannot be decrypted. Upload it again."
            failure = ExtractionFailed("data_damaged", detail)
            self._handle_extraction_failure(job, failure, cancellation)
        except ClaimLost:
            _log.info("claim on document %s was lost during processing", job.document_id)
        except ShutdownRequested:
            self._queue.return_job(job)
        except Exception as error:  # noqa: BLE001 - one document must not stop the queue
            self._handle_failure(job, error)
        else:
            if is_ready:
                self._metrics.count_document("ready")
                seconds = monotonic() - started_at
                _log.info("document %s is ready after %.2f s", job.document_id, seconds)
            else:
                self._queue.return_job(job)

    def _handle_extraction_failure(
        self, job: IngestionJob, error: ExtractionFailed, cancellation: CancellationToken
    ) -> None:
        """Mark the document as failed, unless extraction failed because it was cancelled."""
        try:
            cancellation.raise_if_cancelled()
        except ClaimLost:
            _log.info("claim on document %s was lost during extraction", job.document_id)
        except ShutdownRequested:
            self._queue.return_job(job)
        else:
            _log.info("document %s failed: %s", job.document_id, error.code)
            self._fail_job(job, error.code, str(error))

    def _handle_failure(self, job: IngestionJob, error: Exception) -> None:
        if is_transient(error):
            _log.warning(
                "document %s is retried later: %s: %s", job.document_id, type(error).__name__, error
            )
            if job.attempts < MAX_TRANSIENT_FAILURES:
                self._retry_job_later(job, "unavailable")
            else:
                self._fail_job(
                    job,
                    "unavailable",
                    "The vector store or the embedding model was unavailable for too long. "
                    "Reindex the document when it is available again.",
                )
            return
        _log.error("processing document %s failed", job.document_id, exc_info=error)
        if job.attempts < MAX_FAILURES:
            self._retry_job_later(job, "internal_error")
        else:
            self._fail_job(
                job, "internal_error", "An internal error occurred while processing the document."
            )

    def _retry_job_later(self, job: IngestionJob, error_type: str) -> None:
        self._metrics.count_document("put_off", error_type)
        self._queue.retry_job_later(job)

    def _fail_job(self, job: IngestionJob, code: str, detail: str) -> None:
        self._metrics.count_document("failed", code)
        self._queue.fail_job(job, code, detail)

    def _delete_removed_data(self) -> bool:
        """Delete vectors and files that are due for removal. Returns False if there were none."""
        with self._database.read() as session:
            removals = [
                (row.id, row.collection_id, row.document_id, row.but_generation, row.blob)
                for row in store.list_due_removals(session, utc_now(), _REMOVALS_PER_STEP)
            ]
        if not removals:
            return False
        for _, collection_id, document_id, generation, blob in removals:
            if document_id is None:
                delete_hidden_collection(self._database, collection_id)
                self._dense_index.drop_collection(collection_id)
            elif generation is not None:
                self._delete_old_generations(collection_id, document_id, generation)
            else:
                self._dense_index.delete_document_vectors(collection_id, document_id)
            if blob is not None:
                self._blob_storage.delete_blob(blob)
        with self._database.write() as session:
            store.delete_removals(session, [removal[0] for removal in removals])
        return True

    def _delete_old_generations(
        self, collection_id: str, document_id: str, generation: int
    ) -> None:
        delete_old_generations(self._database, None, document_id, generation, keep_newer=True)
        self._dense_index.delete_document_vectors(
            collection_id, document_id, keep_generation=generation
        )
        with self._database.write() as session:
            # The deletion can have removed vectors of a newer job that started meanwhile.
            row = store.get_reprocessed_document(session, document_id, generation)
            if row is not None:
                store.requeue_document(row)


def _get_span_attributes(job: IngestionJob) -> dict[str, AttributeValue]:
    """Return OpenTelemetry messaging attributes.

    The table is the queue. A Celery message only announces that a document is waiting.
    """
    return {
        "messaging.system": "celery",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "rag.reading",
        "messaging.message.id": job.document_id,
        "rag.document.id": job.document_id,
        "rag.reading.attempt": job.attempts,
    }
