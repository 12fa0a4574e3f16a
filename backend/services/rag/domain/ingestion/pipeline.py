"""Ingestion pipeline of one document: extract, chunk, embed, index, publish."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from time import monotonic

from backend.ai.embedding import BuiltInEmbedder
from backend.chassis.database.sessions import Database, Session
from backend.chassis.encryption import DecryptionError, Encryptor
from backend.chassis.messaging.audit_events import AuditOutbox
from backend.chassis.observability.tracing import start_as_current_span
from backend.services.rag.clients.metrics import RagMetrics
from backend.services.rag.domain.audit import record_document_deletion
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.ingestion.cancellation import CancellationToken, ClaimLost
from backend.services.rag.domain.ingestion.chunking import (
    Chunk,
    Section,
    build_index_text,
    split_into_chunks,
)
from backend.services.rag.domain.ingestion.queue import IngestionJob
from backend.services.rag.domain.search.dense_index import DenseIndex
from backend.services.rag.errors import ExtractionFailed
from backend.services.rag.extraction.document_types import get_type_by_media_type
from backend.services.rag.extraction.extractor import ExtractedText, Extractor
from backend.services.rag.model import Viewer
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import collection_changes
from backend.services.rag.store import documents as document_store
from backend.services.rag.store import ingestion_queue as store
from backend.services.rag.store.chunks import ChunkRow, build_chunk_id
from backend.services.rag.store.documents import DocumentRow, PageRow
from backend.services.rag.store.keyword_index import postings as posting_store
from backend.services.rag.store.keyword_index.postings import Postings, build_postings

# Chunks per transaction of the vector index: few enough to report progress often, and to lose
# little work when the process is killed.
EMBEDDING_BATCH_SIZE = 64
_PROGRESS_INTERVAL_SECONDS = 0.3


class IngestionPipeline:
    """Processes one document at a time. Stages completed by an interrupted job are skipped."""

    def __init__(
        self,
        database: Database,
        blob_storage: BlobStorage,
        extractor: Extractor,
        embedder: BuiltInEmbedder,
        dense_index: DenseIndex,
        encryptor: Encryptor,
        audit: AuditOutbox,
        metrics: RagMetrics | None = None,
    ) -> None:
        self._database = database
        self._blob_storage = blob_storage
        self._extractor = extractor
        self._embedder = embedder
        self._dense_index = dense_index
        self._encryptor = encryptor
        self._audit = audit
        self._metrics = metrics or RagMetrics()

    def process_document(
        self, job: IngestionJob, deadline: float, cancellation: CancellationToken
    ) -> bool:
        """Process the document of *job* until it is ready or *deadline* has passed.

        Args:
            deadline: time of the monotonic clock after which no further batch is started.

        Returns:
            True if the document is ready, False if chunks are left to index.

        Raises:
            ExtractionFailed: the file has no usable text.
            ClaimLost: another process or request took over the document.
            ShutdownRequested: the process is shutting down.
        """
        progress = _ProgressRecorder(self._database, job, cancellation)
        if job.indexed_chunks is None:
            self._delete_unfinished_generation(job)
            title = (
                self._rechunk_stored_text(job)
                if job.visible_generation
                else self._extract_and_chunk(job, progress)
            )
        else:
            title = job.title
        texts = self._build_index_texts(job, title)
        for start in range(job.indexed_chunks or 0, len(texts), EMBEDDING_BATCH_SIZE):
            batch = texts[start : start + EMBEDDING_BATCH_SIZE]
            cancellation.raise_if_cancelled()
            end = start + len(batch)
            ids = [
                build_chunk_id(job.document_id, job.generation, ordinal)
                for ordinal in range(start, end)
            ]
            with start_as_current_span("embed", attributes={"rag.passages": len(batch)}):
                self._dense_index.add_chunks(
                    job.collection_id, job.document_id, job.generation, ids, batch, first=start
                )
            if end < len(texts):
                progress.record_indexed_chunks(end, len(texts))
                if monotonic() > deadline:
                    return False
        progress.report("indexing", len(texts), len(texts))
        with start_as_current_span("index", attributes={"rag.passages": len(texts)}):
            postings = build_postings(job.document_id, job.generation, texts)
            self._publish_generation(job, len(texts), postings)
        return True

    def cancel_extraction(self, job: IngestionJob) -> None:
        """Stop the extraction of *job* if it is running."""
        self._extractor.cancel_extraction(self._blob_storage.get_path(job.blob))

    def stop_extractions(self) -> None:
        """Stop all extractions and reject new ones."""
        self._extractor.stop()

    def _extract_and_chunk(self, job: IngestionJob, progress: "_ProgressRecorder") -> str:
        """Extract the file and store its pages and chunks. Returns the document's title."""
        with (
            self._metrics.time_stage("extracting"),
            start_as_current_span(
                "extract", attributes={"rag.document.type": job.content_type}
            ) as span,
        ):
            extracted = self._extractor.extract_text(
                self._blob_storage.get_path(job.blob),
                get_type_by_media_type(job.content_type),
                lambda done, total: progress.report("extracting", done, total),
                self._decrypt_password(job),
            )
            span.set_attributes({"rag.pages": len(extracted.pages)})
        progress.report("chunking", 0, 0)
        title = job.title if job.title_given else extracted.title or job.title
        chunks = self._build_chunks(
            job, extracted.pages, extracted.headings, is_paged=extracted.has_pages
        )
        with self._database.write(job.tenant_id) as session:
            row = _get_claimed_row(session, job)
            row.title = title
            row.sealed_password = None
            row.pages = len(extracted.pages) if extracted.has_pages else None
            session.add_all(_build_page_rows(job, extracted))
            _add_chunks(session, row, chunks)
        return title

    def _decrypt_password(self, job: IngestionJob) -> str | None:
        if not job.sealed_password:
            return None
        try:
            return self._encryptor.decrypt_text(job.sealed_password)
        except DecryptionError:
            # The secret key was changed since the upload. Extraction then fails with an error
            # that requests the password again.
            return None

    def _rechunk_stored_text(self, job: IngestionJob) -> str:
        """Chunk the stored text of the visible generation. The file is not extracted again."""
        with self._database.read(job.tenant_id) as session:
            rows = document_store.list_pages(session, job.document_id, job.visible_generation)
            pages = [row.text for row in rows]
            headings = [heading for row in rows for heading in row.headings or ()]
        chunks = self._build_chunks(job, pages, headings, is_paged=job.pages is not None)
        with self._database.write(job.tenant_id) as session:
            row = _get_claimed_row(session, job)
            document_store.copy_pages(
                session, job.document_id, job.visible_generation, job.generation
            )
            _add_chunks(session, row, chunks)
        return job.title

    def _build_chunks(
        self,
        job: IngestionJob,
        pages: Sequence[str],
        headings: Sequence[tuple[int, str]],
        *,
        is_paged: bool,
    ) -> list[ChunkRow]:
        text = "".join(pages)
        with (
            self._metrics.time_stage("chunking"),
            start_as_current_span("chunk", attributes={"rag.characters": len(text)}),
        ):
            chunks = split_into_chunks(
                text,
                self._embedder.tokenizer.find_token_spans,
                [Section(start, title) for start, title in headings],
            )
        if not chunks:
            raise ExtractionFailed("no_text", "The file contains no text.")
        page_starts = compute_page_starts(pages) if is_paged else None
        return [
            _build_chunk_row(job, ordinal, chunk, text, page_starts)
            for ordinal, chunk in enumerate(chunks)
        ]

    def _build_index_texts(self, job: IngestionJob, title: str) -> list[str]:
        """Return the texts of the chunks as they are embedded and indexed."""
        find_token_spans = self._embedder.tokenizer.find_token_spans
        with self._database.read(job.tenant_id) as session:
            rows = chunk_store.list_generation_chunks(session, job.document_id, job.generation)
            return [
                build_index_text(title, row.section, row.text, find_token_spans) for row in rows
            ]

    def _publish_generation(self, job: IngestionJob, chunk_count: int, postings: Postings) -> None:
        """Make the new generation visible and delete what it replaces."""
        with self._database.write(job.tenant_id) as session:
            row = _get_claimed_row(session, job)
            row.status = row.stage = "ready"
            row.claim = row.indexed = None
            row.attempts = 0
            row.done = row.total = row.chunks = chunk_count
            row.generation = job.generation
            session.flush()
            posting_store.save_postings(session, postings)
            posting_store.delete_old_postings(session, job.document_id, job.generation)
            collection_changes.record_change(session, job.collection_id, job.document_id)
            chunk_store.delete_old_chunks(session, job.document_id, job.generation)
            document_store.delete_old_pages(session, job.document_id, job.generation)
            if job.visible_generation:
                document_store.schedule_old_vector_cleanup(session, row)
            for replaced in document_store.list_replaced_documents(session, row):
                uploader = Viewer(row.tenant_id, row.owner_id)
                record_document_deletion(
                    self._audit, session, uploader, replaced, replaced_by=row.id
                )
                document_store.delete_document(session, replaced)

    def _delete_unfinished_generation(self, job: IngestionJob) -> None:
        """Delete everything an interrupted job stored except the visible generation."""
        with self._database.write(job.tenant_id) as session:
            chunk_store.delete_old_chunks(session, job.document_id, job.visible_generation)
            document_store.delete_old_pages(session, job.document_id, job.visible_generation)
        self._dense_index.delete_document_vectors(
            job.collection_id, job.document_id, keep_generation=job.visible_generation
        )


class _ProgressRecorder:
    """Records the progress of a job in its document row, and stops a cancelled job."""

    def __init__(
        self, database: Database, job: IngestionJob, cancellation: CancellationToken
    ) -> None:
        self._database = database
        self._job = job
        self._cancellation = cancellation
        self._reported_at = monotonic()

    def report(self, stage: str, done: int, total: int) -> None:
        """Record the progress within *stage* at most every _PROGRESS_INTERVAL_SECONDS."""
        self._cancellation.raise_if_cancelled()
        if monotonic() - self._reported_at < _PROGRESS_INTERVAL_SECONDS:
            return
        self._reported_at = monotonic()
        with self._database.write(self._job.tenant_id) as session:
            row = _get_claimed_row(session, self._job)
            row.stage, row.done, row.total = stage, done, total

    def record_indexed_chunks(self, done: int, total: int) -> None:
        """Record the chunks in the vector index. A later job resumes after them."""
        with self._database.write(self._job.tenant_id) as session:
            row = _get_claimed_row(session, self._job)
            row.done, row.total, row.indexed = done, total, done
            # The job makes progress, so earlier interruptions were not caused by the document.
            row.attempts = 1


def compute_page_starts(pages: Sequence[str]) -> list[int]:
    """Return the offset of each page in the joined text."""
    return [0, *accumulate(len(page) for page in pages[:-1])] if pages else []


def _add_chunks(session: Session, row: DocumentRow, chunks: Sequence[ChunkRow]) -> None:
    row.stage, row.done, row.total, row.indexed = "embedding", 0, len(chunks), 0
    session.add_all(chunks)


def _build_page_rows(job: IngestionJob, extracted: ExtractedText) -> list[PageRow]:
    starts = compute_page_starts(extracted.pages)
    headings: list[list[tuple[int, str]]] = [[] for _ in starts]
    for heading in extracted.headings:
        headings[bisect_right(starts, heading[0]) - 1].append(heading)
    return [
        PageRow(
            document_id=job.document_id,
            generation=job.generation,
            number=index + 1,
            start=starts[index],
            text=extracted.pages[index],
            headings=headings[index],
        )
        for index in range(len(starts))
    ]


def _build_chunk_row(
    job: IngestionJob, ordinal: int, chunk: Chunk, text: str, page_starts: Sequence[int] | None
) -> ChunkRow:
    return ChunkRow(
        id=build_chunk_id(job.document_id, job.generation, ordinal),
        document_id=job.document_id,
        generation=job.generation,
        ordinal=ordinal,
        page=bisect_right(page_starts, chunk.start) if page_starts else None,
        start=chunk.start,
        end=chunk.end,
        section=chunk.section,
        text=text[chunk.start : chunk.end],
    )


def _get_claimed_row(session: Session, job: IngestionJob) -> DocumentRow:
    row = store.get_claimed_document(session, job.claim)
    if row is None:
        raise ClaimLost
    return row
