"""Ingestion pipeline of one document: extract, chunk, embed, index, publish."""

import logging
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import accumulate
from pathlib import Path
from time import monotonic
from typing import Any

from backend.ai.embedding import BuiltInEmbedder, EmbeddingModelUnavailable
from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.chassis.encryption import DecryptionError, Encryptor
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.observability.tracing import start_as_current_span
from backend.services.rag.clients.metrics import RagMetrics
from backend.services.rag.domain.attachments import (
    AttachmentReceiver,
    ReceivedAttachment,
    delete_with_attachments,
    store_attachments,
)
from backend.services.rag.domain.blob_storage import BlobStorage
from backend.services.rag.domain.document_events import record_document_ready
from backend.services.rag.domain.embeddings.model_registry import (
    MODELS_LOCK,
    EmbeddingModelRegistry,
    StoredModel,
)
from backend.services.rag.domain.ingestion.batched_writes import (
    batch_by_size,
    delete_old_generations,
    write_batches,
)
from backend.services.rag.domain.ingestion.cancellation import CancellationToken, ClaimLost
from backend.services.rag.domain.ingestion.chunker import Chunker
from backend.services.rag.domain.ingestion.chunking import Chunk, Section, build_index_text
from backend.services.rag.domain.ingestion.document_language import detect_document_language
from backend.services.rag.domain.ingestion.queue import IngestionJob
from backend.services.rag.domain.search.dense_index import DenseIndex
from backend.services.rag.domain.uploads import FileReceiver
from backend.services.rag.errors import ExtractionFailed, VectorSearchUnavailable
from backend.services.rag.extraction.document_types import get_type_by_media_type
from backend.services.rag.extraction.extractor import ExtractedText, Extractor
from backend.services.rag.model import Viewer
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import collection_changes
from backend.services.rag.store import documents as document_store
from backend.services.rag.store import ingestion_queue as store
from backend.services.rag.store.base import utc_now
from backend.services.rag.store.chunks import build_chunk_id
from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.keyword_index import postings as posting_store
from backend.services.rag.store.keyword_index.postings import build_postings

_log = logging.getLogger(__name__)
# Chunks that are embedded and indexed at once: few enough to report progress often, and to lose
# little work if the process is killed.
EMBEDDING_BATCH_SIZE = 64
_PROGRESS_INTERVAL_SECONDS = 0.3
_MAX_LISTED_PAGES = 20


class IngestionPipeline:
    """Processes one document at a time. Stages completed by an interrupted job are skipped."""

    def __init__(
        self,
        database: Database,
        blob_storage: BlobStorage,
        extractor: Extractor,
        chunker: Chunker,
        embedder: BuiltInEmbedder,
        models: EmbeddingModelRegistry,
        dense_index: DenseIndex,
        encryptor: Encryptor,
        audit: AuditOutbox,
        metrics: RagMetrics | None = None,
    ) -> None:
        self._database = database
        self._blob_storage = blob_storage
        self._extractor = extractor
        self._chunker = chunker
        self._embedder = embedder
        self._models = models
        self._dense_index = dense_index
        self._encryptor = encryptor
        self._audit = audit
        self._metrics = metrics or RagMetrics()
        # By blob, the paths that the running extractions read.
        self._extracted_files: dict[str, Path] = {}

    def prepare(self, job: IngestionJob) -> None:
        """Begin to load the parser and the models that *job* needs, and to open the vector store.

        This happens in parallel, while the job is claimed and its file is extracted.
        """
        if job.needs_extraction:
            self._extractor.prepare(get_type_by_media_type(job.content_type))
        for name, prepare in (
            ("model-loading", partial(self._models.load_models_to_index, job.tenant_id)),
            ("vector-store", self._dense_index.connect),
        ):
            threading.Thread(target=_ignore_errors, args=(prepare,), name=name, daemon=True).start()

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
        self.prepare(job)
        progress = _ProgressRecorder(self._database, job, cancellation)
        if job.indexed_chunks is None:
            if not job.is_first:
                self._delete_unfinished_generation(job)
            title = (
                self._extract_and_chunk(job, progress)
                if job.needs_extraction
                else self._rechunk_stored_text(job)
            )
        else:
            title = job.title
        total = self._count_chunks(job)
        for start in range(job.indexed_chunks or 0, total, EMBEDDING_BATCH_SIZE):
            cancellation.raise_if_cancelled()
            ids, texts = self._load_index_texts(job, title, start)
            end = start + len(ids)
            with start_as_current_span("embed", attributes={"rag.passages": len(ids)}):
                self._dense_index.add_chunks(job, ids, texts, first=start)
            if end < total:
                progress.record_indexed_chunks(end, total)
                if monotonic() > deadline:
                    return False
        progress.report("indexing", total, total)
        with start_as_current_span("index", attributes={"rag.passages": total}):
            texts_in_order = (
                text
                for start in range(0, total, EMBEDDING_BATCH_SIZE)
                for text in self._load_index_texts(job, title, start)[1]
            )
            postings = build_postings(job.document_id, job.generation, texts_in_order)
            with self._database.write(job.tenant_id) as session:
                _get_claimed_row(session, job)
                posting_store.save_postings(session, postings)
            while True:
                model = self._embed_missing_chunks(job, title, total, cancellation)
                if self._publish_generation(job, total, model):
                    return True

    def _embed_missing_chunks(
        self, job: IngestionJob, title: str, total: int, cancellation: CancellationToken
    ) -> StoredModel:
        """Embed the chunks that the serving model lacks because it was switched. Return the model.

        If it is unavailable, another model has embedded the chunks, and a background thread embeds
        them later.
        """
        self._models.refresh()
        model = self._models.get_serving_model(job.tenant_id)
        first = self._dense_index.count_embedded_chunks(model, job)
        try:
            for start in range(first, total, EMBEDDING_BATCH_SIZE):
                cancellation.raise_if_cancelled()
                ids, texts = self._load_index_texts(job, title, start)
                self._dense_index.add_chunks_for_model(model, job, ids, texts, first=start)
        except (VectorSearchUnavailable, EmbeddingModelUnavailable) as error:
            _log.warning("chunks are embedded with %s later: %s", model.name, error)
        return model

    def cancel_processes(self, job: IngestionJob) -> None:
        """Stop the extraction and the chunking of *job* if they are running."""
        file = self._extracted_files.get(job.blob)
        if file is not None:
            self._extractor.cancel_extraction(file)
        self._chunker.cancel(job.document_id)

    def stop_processes(self) -> None:
        """Stop all extractions and chunking, and reject new ones."""
        self._extractor.stop()
        self._chunker.stop()

    def _extract_and_chunk(self, job: IngestionJob, progress: "_ProgressRecorder") -> str:
        """Extract the file and store its pages and chunks. Returns the document's title."""
        with ExitStack() as stack:
            file = stack.enter_context(self._open_original(job))
            # Attachments are decoded, so all of them are smaller than the file.
            receiver = stack.enter_context(
                self._blob_storage.receive_files(file.stat().st_size, job.tenant_id)
            )
            attachments = AttachmentReceiver(receiver)
            with (
                self._metrics.time_stage("extracting"),
                start_as_current_span(
                    "extract", attributes={"rag.document.type": job.content_type}
                ) as span,
            ):
                extracted = self._extractor.extract_text(
                    file,
                    get_type_by_media_type(job.content_type),
                    lambda done, total: progress.report("extracting", done, total),
                    self._decrypt_password(job),
                    attachments,
                )
                span.set_attributes({"rag.pages": len(extracted.pages)})
            return self._store_extracted(job, extracted, attachments.finish(), receiver, progress)

    @contextmanager
    def _open_original(self, job: IngestionJob) -> Iterator[Path]:
        """Yield the path of the file's content, which is in memory if the file is encrypted."""
        with self._blob_storage.get_file(job.blob).open_clear_path() as file:
            self._extracted_files[job.blob] = file
            try:
                yield file
            finally:
                del self._extracted_files[job.blob]

    def _store_extracted(
        self,
        job: IngestionJob,
        extracted: ExtractedText,
        attachments: Sequence[ReceivedAttachment],
        receiver: FileReceiver,
        progress: "_ProgressRecorder",
    ) -> str:
        warnings = list_warnings(extracted)
        if warnings and not any(page.strip() for page in extracted.pages):
            raise ExtractionFailed(*warnings[0])
        progress.report("chunking", 0, 0)
        title = job.title if job.title_given else extracted.title or job.title
        language = self._choose_model(job, extracted.pages)
        chunks = self._split_text(job, extracted.pages, extracted.headings, language)
        self._store_pages(job, extracted)
        self._store_chunks(job, chunks, extracted.pages, is_paged=extracted.has_pages)
        with self._database.write(job.tenant_id) as session:
            row = _get_claimed_row(session, job)
            row.title = title
            row.language = language
            row.sealed_password = None
            row.warnings = warnings
            row.pages = len(extracted.pages) if extracted.has_pages else None
            _finish_chunking(row, len(chunks))
            for blob in store_attachments(session, self._audit, row, attachments):
                # Keep files before the commit: a file without a document is deleted later, but a
                # document without its file is lost.
                receiver.keep_file(blob)
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
            lengths = [(row.number, len(row.text)) for row in rows]
        language = self._choose_model(job, pages)
        chunks = self._split_text(job, pages, headings, language)

        def copy_pages(session: Session, batch: Sequence[tuple[int, int]]) -> None:
            _get_claimed_row(session, job)
            document_store.copy_pages(
                session,
                job.document_id,
                job.visible_generation,
                job.generation,
                (batch[0][0], batch[-1][0]),
            )

        page_batches = batch_by_size(lengths, lambda page: page[1])
        write_batches(self._database, job.tenant_id, page_batches, copy_pages)
        self._store_chunks(job, chunks, pages, is_paged=job.pages is not None)
        with self._database.write(job.tenant_id) as session:
            row = _get_claimed_row(session, job)
            row.language = language
            _finish_chunking(row, len(chunks))
        return job.title

    def _choose_model(self, job: IngestionJob, pages: Sequence[str]) -> str:
        """Return the language of the document, after selecting the model that it needs."""
        language = detect_document_language(pages)
        if language not in ("", "en"):
            self._models.select_multilingual(job.tenant_id)
        return language

    def _split_text(
        self,
        job: IngestionJob,
        pages: Sequence[str],
        headings: Sequence[tuple[int, str]],
        language: str,
    ) -> list[Chunk]:
        text = "".join(pages)
        with (
            self._metrics.time_stage("chunking"),
            start_as_current_span("chunk", attributes={"rag.characters": len(text)}),
        ):
            sections = [Section(start, title) for start, title in headings]
            chunks = self._chunker.split(job.document_id, text, sections, language)
        if not chunks:
            raise ExtractionFailed("no_text", "The file contains no text.")
        return chunks

    def _store_pages(self, job: IngestionJob, extracted: ExtractedText) -> None:
        def add_pages(session: Session, batch: Sequence[dict[str, Any]]) -> None:
            _get_claimed_row(session, job)
            document_store.add_pages(session, batch)

        batches = batch_by_size(_build_page_rows(job, extracted), lambda row: len(row["text"]))
        write_batches(self._database, job.tenant_id, batches, add_pages)

    def _store_chunks(
        self, job: IngestionJob, chunks: Sequence[Chunk], pages: Sequence[str], *, is_paged: bool
    ) -> None:
        """Store the chunks of a generation that is not visible yet, in short transactions.

        If the job is interrupted before the last transaction, the next job deletes these chunks.
        """
        text = "".join(pages)
        page_starts = compute_page_starts(pages) if is_paged else None

        def add_chunks(session: Session, batch: Sequence[dict[str, Any]]) -> None:
            _get_claimed_row(session, job)
            chunk_store.add_chunks(session, batch)

        rows = (
            _build_chunk_row(job, ordinal, chunk, text, page_starts)
            for ordinal, chunk in enumerate(chunks)
        )
        batches = batch_by_size(rows, lambda row: len(row["text"]))
        write_batches(self._database, job.tenant_id, batches, add_chunks)

    def _count_chunks(self, job: IngestionJob) -> int:
        with self._database.read(job.tenant_id) as session:
            return chunk_store.count_chunks(session, job.document_id, job.generation)

    def _load_index_texts(
        self, job: IngestionJob, title: str, start: int
    ) -> tuple[list[str], list[str]]:
        """Return ids and index texts of a batch of chunks from the ordinal *start* on."""
        find_token_spans = self._embedder.tokenizer.find_token_spans
        with self._database.read(job.tenant_id) as session:
            rows = chunk_store.list_chunks(
                session, job.document_id, job.generation, start - 1, EMBEDDING_BATCH_SIZE
            )
            texts = [
                build_index_text(title, row.section, row.text, find_token_spans, row.table_header)
                for row in rows
            ]
            return [row.id for row in rows], texts

    def _publish_generation(self, job: IngestionJob, chunk_count: int, model: StoredModel) -> bool:
        """Make the new generation visible, then delete the data that it replaces.

        Args:
            model: the model that has embedded all chunks.

        Returns:
            False if another model serves meanwhile. The generation is not visible then.
        """
        with self._database.write(job.tenant_id) as session:
            # Models are switched under this lock, after a check that no visible chunks are missing.
            acquire_transaction_lock(session, MODELS_LOCK)
            row = _get_claimed_row(session, job)
            if self._models.read_serving_model_id(session, job.tenant_id) != model.id:
                return False
            row.status = row.stage = "ready"
            row.claim = row.indexed = None
            row.attempts = 0
            row.done = row.total = row.chunks = chunk_count
            row.generation = job.generation
            session.flush()
            record_document_ready(session, row, utc_now())
            collection_changes.record_change(session, job.collection_id, job.document_id)
            if job.visible_generation:
                # This cleanup also deletes the old text, if this process ends before deleting it.
                document_store.schedule_old_vector_cleanup(session, row)
            for replaced in document_store.list_replaced_documents(session, row):
                uploader = Viewer(row.tenant_id, row.owner_id)
                delete_with_attachments(
                    session, self._audit, uploader, replaced, replaced_by=row.id
                )
        if job.visible_generation:
            delete_old_generations(
                self._database, job.tenant_id, job.document_id, job.generation, keep_newer=True
            )
        return True

    def _delete_unfinished_generation(self, job: IngestionJob) -> None:
        """Delete the data of all generations except the visible one, left by an interrupted job.

        Raises:
            ClaimLost: another process has the document, and may be storing chunks of it.
        """
        delete_old_generations(
            self._database,
            job.tenant_id,
            job.document_id,
            job.visible_generation,
            keep_newer=False,
            check=lambda session: _get_claimed_row(session, job),
        )
        with self._database.read(job.tenant_id) as session:
            _get_claimed_row(session, job)
        self._dense_index.delete_document_vectors(
            job.collection_id, job.document_id, keep_generation=job.visible_generation
        )


def _ignore_errors(prepare: Callable[[], object]) -> None:
    # The job itself reports an error, when it needs what could not be prepared.
    with suppress(Exception):
        prepare()


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
        """Record that *done* chunks are in the vector index. A later job resumes after them."""
        with self._database.write(self._job.tenant_id) as session:
            row = _get_claimed_row(session, self._job)
            row.done, row.total, row.indexed = done, total, done
            # The job makes progress, so earlier interruptions were not caused by the document.
            row.attempts = 1


def compute_page_starts(pages: Sequence[str]) -> list[int]:
    """Return the offset of each page in the joined text."""
    return [0, *accumulate(len(page) for page in pages[:-1])] if pages else []


def list_warnings(extracted: ExtractedText) -> list[tuple[str, str]]:
    """Return a code and a detail for each part of the document that was not read."""
    pages = extracted.unread_pages
    if not pages:
        return []
    numbers = ", ".join(map(str, pages[:_MAX_LISTED_PAGES]))
    if len(pages) > _MAX_LISTED_PAGES:
        numbers += f" and {len(pages) - _MAX_LISTED_PAGES} more"
    label = "page" if len(pages) == 1 else "pages"
    where = f"{label} {numbers}" if extracted.has_pages else "the image"
    detail = (
        f"OCR cannot read the text of {where}: it is unclear, or in another script than Latin, "
        "Chinese or Japanese. Upload a clearer scan, or a file with the text itself."
    )
    return [("unsupported_script", detail)]


def _finish_chunking(row: DocumentRow, chunk_count: int) -> None:
    row.stage, row.done, row.total, row.indexed = "embedding", 0, chunk_count, 0


def _build_page_rows(job: IngestionJob, extracted: ExtractedText) -> Iterator[dict[str, Any]]:
    starts = compute_page_starts(extracted.pages)
    headings: list[list[tuple[int, str]]] = [[] for _ in starts]
    for heading in extracted.headings:
        headings[bisect_right(starts, heading[0]) - 1].append(heading)
    for index, text in enumerate(extracted.pages):
        yield {
            "document_id": job.document_id,
            "generation": job.generation,
            "number": index + 1,
            "start": starts[index],
            "text": text,
            "headings": headings[index],
            "lines": extracted.lines.get(index + 1),
        }


def _build_chunk_row(
    job: IngestionJob, ordinal: int, chunk: Chunk, text: str, page_starts: Sequence[int] | None
) -> dict[str, Any]:
    return {
        "id": build_chunk_id(job.document_id, job.generation, ordinal),
        "document_id": job.document_id,
        "generation": job.generation,
        "ordinal": ordinal,
        "page": bisect_right(page_starts, chunk.start) if page_starts else None,
        "start": chunk.start,
        "end": chunk.end,
        "section": chunk.section,
        "headings": chunk.headings,
        "table_header": text[slice(*chunk.table_header)],
        "text": text[chunk.start : chunk.end],
    }


def _get_claimed_row(session: Session, job: IngestionJob) -> DocumentRow:
    row = store.get_claimed_document(session, job.claim)
    if row is None:
        raise ClaimLost
    return row
