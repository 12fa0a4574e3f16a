"""Embed chunks that lack vectors, switch to a new model, and drop the vectors of the old one.

A configured model replaces the previous one for all tenants; the multilingual model replaces the
one for English for a single tenant.

The complete state is in the tables, so the work resumes after any interruption.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from time import monotonic

from backend.ai.embedding import BuiltInEmbedder, EmbeddingModelUnavailable
from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.services.rag.domain.embeddings.model_registry import (
    MODELS_LOCK,
    EmbeddingModelRegistry,
    StoredModel,
)
from backend.services.rag.domain.ingestion.chunking import build_index_text
from backend.services.rag.domain.ingestion.document_language import detect_document_language
from backend.services.rag.domain.search.dense_index import DenseIndex
from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.store import collections as collection_store
from backend.services.rag.store import embeddings as store
from backend.services.rag.store import multilingual_tenants as tenant_store
from backend.services.rag.store.base import utc_now
from backend.services.rag.store.embeddings import IncompleteDocument, ModelState
from backend.services.rag.store.multilingual_tenants import MultilingualTenantRow
from backend.services.rag.store.vectors import VectorStore

_log = logging.getLogger(__name__)
_BATCH_SIZE = 64
_DOCUMENTS_PER_TIME_SLICE = 20
# After a time slice, documents that wait for ingestion are processed first.
TIME_SLICE_SECONDS = 5.0
# A claim older than this belongs to a process that was killed.
_CLAIM_TIMEOUT_SECONDS = 120.0
_IDLE_SECONDS = 5.0
_MAX_PAUSE_SECONDS = 60.0
# A request embeds up to this many chunks itself, which takes one to two seconds.
MAX_CHUNKS_IN_REQUEST = 32
_MAX_WAIT_IN_REQUEST_SECONDS = 2.0
# Other processes can still search with the previous serving model for this time.
_DROP_DELAY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ModelProgress:
    """Progress of one model: numbers of completely embedded documents and of embedded chunks."""

    model: str
    state: ModelState
    documents: int
    total_documents: int
    chunks: int
    total_chunks: int


class Reembedder:
    """Embeds missing chunks in time slices.

    It can run in any number of threads and processes; only one of them works at a time.
    """

    def __init__(
        self,
        database: Database,
        models: EmbeddingModelRegistry,
        dense_index: DenseIndex,
        vectors: VectorStore,
        embedder: BuiltInEmbedder,
    ) -> None:
        """*database* sees all tenants' rows; *embedder* counts the tokens of contextual headers."""
        self._database = database
        self._models = models
        self._dense_index = dense_index
        self._vectors = vectors
        self._find_token_spans = embedder.tokenizer.find_token_spans
        self._wake: Callable[[], None] = lambda: None
        self._stopping = threading.Event()
        self._request_lock = threading.Lock()
        self._paused_until = 0.0
        self._pause_seconds = _IDLE_SECONDS

    def set_wake(self, wake: Callable[[], None]) -> None:
        """Set the function to call when a request leaves work to the background."""
        self._wake = wake

    def stop(self) -> None:
        """Stop after the current batch."""
        self._stopping.set()

    def run_time_slice(self) -> bool:
        """Work for up to one time slice per model.

        Returns:
            False if there was nothing to do or a model or store is unavailable.
        """
        if monotonic() < self._paused_until:
            return False
        has_worked, has_failed = self._detect_languages(), False
        for model in self._models.list_current_models():
            try:
                has_worked |= self._run_model_time_slice(model)
            except (VectorSearchUnavailable, EmbeddingModelUnavailable) as error:
                has_failed = True
                _log.warning("embedding with %s is retried later: %s", model.name, error)
        has_worked |= self._drop_old_models() | self._drop_replaced_vectors()
        self._pause_seconds = (
            min(2 * self._pause_seconds, _MAX_PAUSE_SECONDS) if has_failed else _IDLE_SECONDS
        )
        if not has_worked:
            self._paused_until = monotonic() + self._pause_seconds
        return has_worked

    def prepare_multilingual_search(self, tenant_id: str) -> bool:
        """Let the multilingual model serve the tenant as soon as possible.

        The chunks of a small library are embedded during this call, others in the background.

        Returns:
            Whether the model serves the tenant now.
        """
        self._models.select_multilingual(tenant_id)
        model = self._models.get_multilingual_model()
        if model is None or self._models.get_serving_model(tenant_id) == model:
            return model is not None
        if self._embed_in_request(model, tenant_id):
            return True
        self._wake()
        return False

    def _embed_in_request(self, model: StoredModel, tenant_id: str) -> bool:
        with self._database.read() as session:
            if store.count_missing_chunks(session, model.id, tenant_id) > MAX_CHUNKS_IN_REQUEST:
                return False
        # One request embeds, others wait for it.
        if not self._request_lock.acquire(timeout=_MAX_WAIT_IN_REQUEST_SECONDS):
            return False
        try:
            deadline = monotonic() + _MAX_WAIT_IN_REQUEST_SECONDS
            return self._embed_tenant(model, tenant_id, deadline)
        except (VectorSearchUnavailable, EmbeddingModelUnavailable) as error:
            _log.warning("embedding with %s is retried later: %s", model.name, error)
            return False
        finally:
            self._request_lock.release()

    def switch_tenant(self, tenant_id: str) -> None:
        """Embed all chunks of the tenant with the multilingual model, and let it serve.

        Raises:
            EmbeddingModelUnavailable: the model is unavailable.
            VectorSearchUnavailable: the vector store is unavailable.
        """
        self._models.select_multilingual(tenant_id)
        model = self._models.get_multilingual_model()
        while model is not None and not self._embed_tenant(model, tenant_id, inf):
            pass

    def _embed_tenant(self, model: StoredModel, tenant_id: str, deadline: float) -> bool:
        """Embed the tenant's missing chunks, and switch. Return whether *model* serves now.

        The background thread can embed the same chunks: the vectors are the same.
        """
        with self._database.read() as session:
            documents = store.list_incomplete_documents(
                session, model.id, MAX_CHUNKS_IN_REQUEST, tenant_id=tenant_id
            )
        if documents:
            self._embed_documents(model, documents, deadline)
        self._start_serving_tenant(model, tenant_id)
        return self._models.get_serving_model(tenant_id).id == model.id

    def has_unfinished_work(self) -> bool:
        """Return True if chunks lack vectors, or if a model is being replaced or removed."""
        with self._database.read() as session:
            if store.list_models(session, "building", "leaving", "dropping"):
                return True
            if tenant_store.list_tenants(session, "building", "serving"):
                return True
            if store.list_samples_without_language(session, 1):
                return True
            return any(
                store.list_incomplete_documents(session, row.id, 1, self._models.get_scope(row))
                for row in store.list_models(session, "serving", "selected")
            )

    def get_progress(self) -> list[ModelProgress]:
        """Return the progress of every model that has vectors."""
        with self._database.read() as session:
            rows = store.list_models(
                session, "serving", "building", "selected", "leaving", "dropping"
            )
            return [
                ModelProgress(
                    row.name,
                    row.state,
                    *store.get_progress(session, row.id, self._models.get_scope(row)),
                )
                for row in rows
            ]

    def _detect_languages(self) -> bool:
        """Detect the languages of documents from before languages were detected."""
        with self._database.read() as session:
            documents = store.list_samples_without_language(session, _DOCUMENTS_PER_TIME_SLICE)
        for document_id, tenant_id, texts in documents:
            language = detect_document_language(texts)
            if language not in ("", "en"):
                self._models.select_multilingual(tenant_id)
            with self._database.write() as session:
                store.set_language(session, document_id, language)
        return bool(documents)

    def _run_model_time_slice(self, model: StoredModel) -> bool:
        with self._database.read() as session:
            incomplete = store.list_incomplete_documents(
                session, model.id, _DOCUMENTS_PER_TIME_SLICE, model.scope
            )
        if not incomplete:
            return self._switch_to(model)
        with self._database.write() as session:
            if not store.claim_model(session, model.id, _CLAIM_TIMEOUT_SECONDS):
                return False
        try:
            self._embed_documents(model, incomplete, monotonic() + TIME_SLICE_SECONDS)
        finally:
            with self._database.write() as session:
                store.release_model(session, model.id)
        return True

    def _embed_documents(
        self, model: StoredModel, documents: list[IncompleteDocument], deadline: float
    ) -> None:
        for document in documents:
            for first, ids, texts in self._iterate_missing_chunks(model, document):
                self._dense_index.add_chunks_for_model(model, document, ids, texts, first=first)
                if self._stopping.is_set() or monotonic() > deadline:
                    return
            self._mark_complete(model, document)

    def _mark_complete(self, model: StoredModel, document: IncompleteDocument) -> None:
        """Mark a document as complete that has fewer chunks than recorded, to end its retries."""
        with self._database.write() as session:
            key = model.id, document.document_id, document.generation
            if store.count_embedded_chunks(session, *key) < document.chunks:
                _log.warning(
                    "document %s lacks chunks; run `python -m backend.services.rag verify`",
                    document.document_id,
                )
                store.record_embedded_chunks(session, *key, document.chunks)

    def _iterate_missing_chunks(
        self, model: StoredModel, document: IncompleteDocument
    ) -> Iterator[tuple[int, list[str], list[str]]]:
        """Yield batches of chunks to embed: first ordinal, chunk ids and index texts."""
        with self._database.read() as session:
            first = store.count_embedded_chunks(
                session, model.id, document.document_id, document.generation
            )
        while True:
            with self._database.read() as session:
                title, rows = store.list_chunks_to_embed(
                    session, document.document_id, document.generation, first, _BATCH_SIZE
                )
                ids = [row.id for row in rows]
                texts = [
                    build_index_text(
                        title, row.section, row.text, self._find_token_spans, row.table_header
                    )
                    for row in rows
                ]
            if not ids:
                return
            yield first, ids, texts
            first += len(ids)

    def _switch_to(self, model: StoredModel) -> bool:
        """Let *model*, which has embedded all chunks, serve. Return False if it does already."""
        if model.state == "selected":
            if not self._models.chooses_by_language:
                return False
            with self._database.read() as session:
                tenants = [row.tenant_id for row in tenant_store.list_tenants(session, "building")]
            has_switched = False
            for tenant in tenants:
                has_switched |= self._start_serving_tenant(model, tenant)
            return has_switched
        return self._start_serving(model)

    def _start_serving(self, model: StoredModel) -> bool:
        """Switch to *model* in one transaction, only if no document is incomplete."""
        with self._database.write() as session:
            acquire_transaction_lock(session, MODELS_LOCK)
            rows = store.list_models(session, "serving", "building", "selected")
            if all(row.id != model.id for row in rows) or store.list_incomplete_documents(
                session, model.id, 1, model.scope
            ):
                return False
            if not self._models.set_serving(session, rows, model.id):
                return False
        self._models.refresh()
        _log.info("searches now use the embedding model %s", model.name)
        return True

    def _start_serving_tenant(self, model: StoredModel, tenant_id: str) -> bool:
        """Let the multilingual *model* serve the tenant, only if no document is incomplete."""
        with self._database.write() as session:
            acquire_transaction_lock(session, MODELS_LOCK)
            row = session.get(MultilingualTenantRow, tenant_id)
            if row is None or row.state != "building":
                return False
            if store.list_incomplete_documents(session, model.id, 1, tenant_id=tenant_id):
                return False
            row.state, row.since = "serving", utc_now()
        self._models.refresh()
        _log.info("searches of the tenant %s now use the multilingual model", tenant_id)
        return True

    def _drop_replaced_vectors(self) -> bool:
        """Drop the vectors of tenants whose model was replaced, when no process can use them."""
        replaced = next(
            (model for model in self._models.list_current_models() if model.scope == "others"), None
        )
        if replaced is None:
            return False
        switched_before = utc_now() - timedelta(seconds=_DROP_DELAY_SECONDS)
        with self._database.read() as session:
            tenants = {
                row.tenant_id: collection_store.list_tenant_collections(session, row.tenant_id)
                for row in tenant_store.list_tenants(session, "serving")
                if row.since < switched_before
            }
        for tenant_id, collection_ids in tenants.items():
            # Delete the records first: an interruption must not leave records without vectors.
            with self._database.write() as session:
                store.delete_tenant_embeddings(session, replaced.id, tenant_id)
            for collection_id in collection_ids:
                self._vectors.drop_partition(replaced.get_partition_name(collection_id))
            with self._database.write() as session:
                row = session.get(MultilingualTenantRow, tenant_id)
                if row is not None and row.state == "serving":
                    row.state = "complete"
        return bool(tenants)

    def _drop_old_models(self) -> bool:
        """Drop the partitions of models that no process can be using any more."""
        with self._database.write() as session:
            old_models = [
                StoredModel(row.id, row.name, row.address, row.suffix, "dropping")
                for row in self._mark_old_models(session)
            ]
        for model in old_models:
            for partition in self._vectors.list_partitions():
                if model.owns_partition(partition):
                    self._vectors.drop_partition(partition)
            with self._database.write() as session:
                store.delete_model(session, model.id)
            _log.info("dropped the vectors of %s", model.name)
        return bool(old_models)

    def _mark_old_models(self, session: Session) -> list[store.EmbeddingModelRow]:
        rows = store.list_models(session, "leaving", "dropping")
        left_before = utc_now() - timedelta(seconds=_DROP_DELAY_SECONDS)
        old_rows = [row for row in rows if row.state == "dropping" or row.since < left_before]
        for row in old_rows:
            # From this state a model cannot become active again: its vectors would be recorded
            # as present while they are being dropped.
            row.state = "dropping"
            store.delete_model_embeddings(session, row.id)
        return old_rows
