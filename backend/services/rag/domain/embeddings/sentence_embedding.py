"""Embed the sentences of documents in the background, in time slices.

The complete state is in the tables, so the work resumes after any interruption.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from backend.ai.chunk_statements import analyze_chunk
from backend.chassis.database.sessions import Database
from backend.services.rag.domain.embeddings.sentence_models import (
    SentenceModel,
    SentenceModels,
    embed_sentences,
)
from backend.services.rag.domain.embeddings.sentence_vectors import hash_text, pack_vectors
from backend.services.rag.store import embeddings as embedding_store
from backend.services.rag.store import leases
from backend.services.rag.store import sentence_vectors as store
from backend.services.rag.store.embeddings import IncompleteDocument
from backend.services.rag.store.sentence_vectors import NO_SENTENCES, SentenceVectors

# About 75 sentences, 0.2 s of CPU time. A document that arrives meanwhile competes with one batch.
_BATCH_CHUNKS = 8
_DOCUMENTS_PER_TIME_SLICE = 20
_TIME_SLICE_SECONDS = 5.0
_LEASE = "sentence vectors"
# A lease older than this belongs to a process that was killed.
_LEASE_SECONDS = 120.0
_IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _StoredChunk:
    """The fields of a chunk that determine its sentences."""

    document_id: str
    title: str
    section: str
    headings: Sequence[str]
    table_header: str
    start: int
    text: str


class SentenceEmbedder:
    """Embeds the sentences of ready documents while no other document is ingested.

    It can run in any number of threads and processes; only one of them works at a time.
    """

    def __init__(
        self, database: Database, models: SentenceModels, is_ingesting: Callable[[], bool]
    ) -> None:
        """*database* sees all tenants' rows.

        Args:
            is_ingesting: returns whether a document is processed now or waits for it.
        """
        self._database = database
        self._models = models
        self._is_ingesting = is_ingesting
        self._stopping = threading.Event()
        self._paused_until = 0.0

    def stop(self) -> None:
        """Stop after the current batch."""
        self._stopping.set()

    def run_time_slice(self) -> bool:
        """Work for up to one time slice. Returns False if there was nothing to do."""
        if monotonic() < self._paused_until:
            return False
        has_worked = False
        for model in self._models.list_models():
            has_worked |= self._embed_next_documents(model)
        if not has_worked:
            self._paused_until = monotonic() + _IDLE_SECONDS
        return has_worked

    def count_waiting_documents(self) -> int:
        """Return the number of ready documents whose sentences are not embedded yet."""
        with self._database.read() as session:
            return sum(
                store.count_documents_without_vectors(session, model.name, model.scope)
                for model in self._models.list_models()
            )

    def _embed_next_documents(self, model: SentenceModel) -> bool:
        with self._database.read() as session:
            documents = store.list_documents_without_vectors(
                session, model.name, model.scope, _DOCUMENTS_PER_TIME_SLICE
            )
        if not documents or self._must_wait():
            return False
        with self._database.write() as session:
            if not leases.acquire_lease(session, _LEASE, _LEASE_SECONDS):
                return False
        deadline = monotonic() + _TIME_SLICE_SECONDS
        try:
            for document in documents:
                self._embed_document(model, document, deadline)
                if monotonic() > deadline or self._must_wait():
                    break
        finally:
            with self._database.write() as session:
                leases.release_lease(session, _LEASE)
        return True

    def _must_wait(self) -> bool:
        return self._stopping.is_set() or self._is_ingesting()

    def _embed_document(
        self, model: SentenceModel, document: IncompleteDocument, deadline: float
    ) -> None:
        """Embed the remaining chunks of *document* until *deadline* or until ingestion must run."""
        key = document.document_id, document.generation
        with self._database.read() as session:
            first = store.get_next_ordinal(session, *key, model.name)
        while first < document.chunks:
            chunks = self._load_chunks(document, first)
            if chunks:
                vectors = _embed_chunks(model, chunks)
            else:  # fewer chunks than recorded: mark all as embedded, to end its retries
                first, vectors = document.chunks - 1, [NO_SENTENCES]
            with self._database.write() as session:
                if not store.save_sentence_vectors(session, *key, first, model.name, vectors):
                    return
            first += len(vectors)
            if monotonic() > deadline or self._must_wait():
                return

    def _load_chunks(self, document: IncompleteDocument, first: int) -> list[_StoredChunk]:
        with self._database.read() as session:
            title, rows = embedding_store.list_chunks_to_embed(
                session, document.document_id, document.generation, first, _BATCH_CHUNKS
            )
            return [
                _StoredChunk(
                    row.document_id,
                    title,
                    row.section,
                    row.headings,
                    row.table_header,
                    row.start,
                    row.text,
                )
                for row in rows
            ]


def _embed_chunks(model: SentenceModel, chunks: Sequence[_StoredChunk]) -> list[SentenceVectors]:
    texts_by_chunk = [
        {
            hash_text(statement.text_in_context): statement.text_in_context
            for statement in analyze_chunk(chunk).statements
        }
        for chunk in chunks
    ]
    # Chunks overlap, so that some sentences are in two of them.
    texts = {key: text for texts in texts_by_chunk for key, text in texts.items()}
    rows = embed_sentences(model.embedder, list(texts.values()))
    positions = {key: position for position, key in enumerate(texts)}
    return [
        pack_vectors(list(chunk_texts), rows[[positions[key] for key in chunk_texts]])
        for chunk_texts in texts_by_chunk
    ]
