"""Queue of ingestion jobs: claims, heartbeats and retries."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from backend.chassis.database.sessions import Database
from backend.services.rag.clients.metrics import QueueState
from backend.services.rag.domain.document_events import record_document_failed
from backend.services.rag.store import ingestion_queue as store
from backend.services.rag.store.base import utc_now
from backend.services.rag.store.documents import DocumentRow

# Attempts that may end without a result, for example because the process is killed.
MAX_INTERRUPTIONS = 5
# A worker sends a heartbeat every few seconds while it processes a document.
_STALLED_AFTER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class IngestionJob:
    """A claim to process one document, and to build the generation after the visible one.

    Attributes:
        indexed_chunks: chunks already indexed by an interrupted attempt, or None if its text was
            not stored.
        is_first: whether no job has processed the document before, so that nothing of it is stored.
    """

    claim: str
    document_id: str
    tenant_id: str
    collection_id: str
    generation: int
    content_type: str
    blob: str
    pages: int | None
    title: str
    title_given: bool
    sealed_password: str | None
    indexed_chunks: int | None
    attempts: int
    request_id: str | None
    traceparent: str | None
    is_first: bool = False

    @property
    def needs_extraction(self) -> bool:
        """True if the text of the file is not stored yet."""
        return self.indexed_chunks is None and not self.visible_generation

    @property
    def visible_generation(self) -> int:
        """The generation whose chunks searches return; 0 if there is none yet."""
        return self.generation - 1


class WorkersStalled(Exception):
    """Documents are due, but no worker has sent a heartbeat for a minute."""


class IngestionQueue:
    """Queued documents of all tenants. Any number of processes can work on it."""

    def __init__(self, database: Database) -> None:
        """*database* sees all tenants' rows."""
        self._database = database

    def claim_next_job(self) -> IngestionJob | None:
        """Claim the next due document. Returns None if there is none."""
        if not self.has_due_document():  # a read is cheaper than a transaction that can write
            return None
        with self._database.write() as session:
            claimed = store.claim_document(session, utc_now())
            if claimed is None:
                return None
            row = claimed.row
            if row.indexed is None:
                row.stage = "extracting" if row.generation == 0 else "chunking"
                row.done = row.total = 0
            return replace(_to_job(row), is_first=claimed.is_first)

    def find_due_job(self) -> IngestionJob | None:
        """Return a job that is due, without claiming it. Another process may claim it first."""
        with self._database.read() as session:
            row = store.get_due_document(session, utc_now())
            return None if row is None else _to_job(row)

    def has_due_document(self) -> bool:
        with self._database.read() as session:
            return store.has_due_document(session, utc_now())

    def has_due_or_claimed_document(self) -> bool:
        """Return True if a document is processed now or can be."""
        with self._database.read() as session:
            return store.has_due_or_claimed_document(session, utc_now())

    def has_unfinished_work(self) -> bool:
        """Return True if a document waits or is processed, or if deleted data is to be removed."""
        with self._database.read() as session:
            return store.has_unfinished_work(session)

    def get_last_heartbeat(self) -> datetime | None:
        """Return the time of the most recent heartbeat of any process."""
        with self._database.read() as session:
            return store.get_last_heartbeat(session)

    def get_queue_state(self) -> QueueState:
        """Return document counts by status and the age of the oldest waiting document."""
        with self._database.read() as session:
            return QueueState(
                documents_by_status=store.count_by_status(session),
                oldest_waiting_at=store.get_oldest_upload_time(session),
                last_heartbeat=store.get_last_heartbeat(session),
                now=utc_now(),
            )

    def check_workers(self) -> None:
        """Raise WorkersStalled if documents wait, and no process has worked for a minute."""
        if not self.has_due_document():
            return
        state = self.get_queue_state()
        activity = [time for time in (state.oldest_waiting_at, state.last_heartbeat) if time]
        if activity and state.now - max(activity) > _STALLED_AFTER:
            raise WorkersStalled("Documents wait, and no worker processes them.")

    def record_heartbeat(self, claims: Sequence[str]) -> set[str]:
        """Renew *claims*. Returns those that are still valid."""
        with self._database.write() as session:
            return store.record_heartbeat(session, claims, utc_now())

    def recover_expired_claims(self) -> None:
        """Requeue documents whose process sends no heartbeats. After too many tries, fail them.

        Processing resumes after the last indexed batch.
        """
        now = utc_now()
        with self._database.read() as session:
            if not store.list_expired_claims(session, now):
                return
        with self._database.write() as session:
            for row in store.list_expired_claims(session, now):
                if row.attempts >= MAX_INTERRUPTIONS:
                    store.mark_failed(
                        row,
                        "gave_up",
                        f"Processing was interrupted {row.attempts} times. Reindex the document "
                        "to try again.",
                    )
                    record_document_failed(session, row, now)
                else:
                    store.release_claim(row, not_before=_get_retry_time(row.attempts - 1))

    def return_job(self, job: IngestionJob) -> None:
        """Release the claim without counting an attempt. Processing resumes at the next turn."""
        with self._database.write(job.tenant_id) as session:
            row = store.get_claimed_document(session, job.claim)
            if row is not None:
                row.attempts -= 1
                store.release_claim(row)

    def retry_job_later(self, job: IngestionJob) -> None:
        """Release the claim and retry after a delay that doubles with each attempt."""
        with self._database.write(job.tenant_id) as session:
            row = store.get_claimed_document(session, job.claim)
            if row is not None:
                store.release_claim(row, not_before=_get_retry_time(row.attempts))

    def fail_job(self, job: IngestionJob, code: str, detail: str) -> None:
        """Mark the document as failed."""
        with self._database.write(job.tenant_id) as session:
            row = store.get_claimed_document(session, job.claim)
            if row is not None:
                store.mark_failed(row, code, detail)
                record_document_failed(session, row, utc_now())


def _get_retry_time(attempts: int) -> datetime | None:
    if attempts < 1:
        return None
    return utc_now() + timedelta(seconds=min(2.0 ** (attempts - 1), store.MAX_RETRY_DELAY_SECONDS))


def _to_job(row: DocumentRow) -> IngestionJob:
    return IngestionJob(
        claim=str(row.claim),
        document_id=row.id,
        tenant_id=row.tenant_id,
        collection_id=row.collection_id,
        generation=row.generation + 1,
        content_type=row.content_type,
        blob=row.blob,
        pages=row.pages,
        title=row.title,
        title_given=row.title_given,
        sealed_password=row.sealed_password,
        indexed_chunks=row.indexed,
        attempts=row.attempts,
        request_id=row.request_id,
        traceparent=row.traceparent,
    )
