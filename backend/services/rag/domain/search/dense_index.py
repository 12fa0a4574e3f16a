"""Dense index: vectors of chunks under the active and the pending embedding model."""

import logging
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from backend.ai.embedder import Vectors
from backend.ai.embedding import EmbeddingModelUnavailable
from backend.chassis.database.sessions import Database
from backend.chassis.observability.tracing import (
    AttributeValue,
    Span,
    SpanKind,
    start_as_current_span,
)
from backend.services.rag.clients.metrics import EmbeddingPurpose, RagMetrics
from backend.services.rag.domain.embeddings.model_registry import (
    EmbeddingModelRegistry,
    StoredModel,
)
from backend.services.rag.domain.embeddings.query_vectors import QueryVectors
from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.store import embeddings as store
from backend.services.rag.store.vectors import VectorStore

_log = logging.getLogger(__name__)
# After a failure, searches fail immediately for this time, so that each does not wait for a
# timeout.
_FAILURE_PAUSE_SECONDS = 2.0


class IndexedGeneration(Protocol):
    """A generation of the chunks of a document."""

    @property
    def tenant_id(self) -> str: ...
    @property
    def collection_id(self) -> str: ...
    @property
    def document_id(self) -> str: ...
    @property
    def generation(self) -> int: ...


class DenseIndex:
    """Embeds and searches chunks. Returns chunk ids; the caller checks access in the tables."""

    def __init__(
        self,
        database: Database,
        models: EmbeddingModelRegistry,
        vectors: VectorStore,
        metrics: RagMetrics | None = None,
        query_vectors: QueryVectors | None = None,
    ) -> None:
        """*database* sees all tenants' rows."""
        self._database = database
        self._models = models
        self._vectors = vectors
        self._metrics = metrics or RagMetrics()
        self._paused_until = 0.0
        self._query_vectors = query_vectors or QueryVectors()

    def search_nearest(
        self,
        tenant_id: str,
        collection_ids: Iterable[str],
        text: str,
        limit: int,
        document_ids: Collection[str] | None = None,
    ) -> dict[str, float]:
        """Return the cosine similarities with *text* by chunk id, up to *limit* per collection.

        Args:
            tenant_id: the tenant of the collections.

        Raises:
            VectorSearchUnavailable: the embedding model or the vector store is unavailable.
        """
        if time.monotonic() < self._paused_until:
            raise VectorSearchUnavailable("It failed a moment ago.")
        try:
            model = self._models.get_serving_model(tenant_id)
            vector = self._query_vectors.embed_query(
                model.name, text, lambda texts: self.embed_texts(model, texts, "questions")
            )
            scores: dict[str, float] = {}
            missing = []
            for collection_id in collection_ids:
                partition = model.get_partition_name(collection_id)
                with self._trace_store_call("query", partition):
                    found = self._vectors.search_nearest(partition, vector, limit, document_ids)
                scores |= found
                if not found and (document_ids is None or document_ids):
                    missing.append(collection_id)
        except (VectorSearchUnavailable, EmbeddingModelUnavailable) as error:
            self._paused_until = time.monotonic() + _FAILURE_PAUSE_SECONDS
            raise _log_and_convert(error) from error
        for collection_id in missing:
            self._rebuild_if_missing(model, collection_id, document_ids)
        return scores

    def _rebuild_if_missing(
        self, model: StoredModel, collection_id: str, document_ids: Collection[str] | None
    ) -> None:
        """Queue the collection to be embedded again if it has chunks but no vectors.

        Raises:
            VectorSearchUnavailable: the vectors are missing. An empty result would hide that.
        """
        with self._database.read() as session:
            if not store.has_visible_chunks(session, collection_id, document_ids):
                return
        partition = model.get_partition_name(collection_id)
        if next(self._vectors.iterate_vectors(partition), None) is not None:
            return  # the vectors of other documents exist, or these were added meanwhile
        with self._database.write() as session:
            count = store.reset_collection_embeddings(session, model.id, collection_id)
        if count:
            _log.error(
                "the vectors of collection %s are missing; documents to embed again: %d",
                *(collection_id, count),
            )
        raise VectorSearchUnavailable(f"The vectors of collection {collection_id} are missing.")

    def add_chunks(
        self, generation: IndexedGeneration, ids: Sequence[str], texts: Sequence[str], *, first: int
    ) -> None:
        """Embed and store consecutive chunks of a generation; *first* is the ordinal of the first.

        It is enough if one model succeeds: a background thread later embeds chunks that the other
        model lacks.

        Raises:
            VectorSearchUnavailable: the chunks could not be added for any model.
        """
        models = self._models.list_models_to_index(generation.tenant_id)
        errors = []
        for model in models:
            try:
                self.add_chunks_for_model(model, generation, ids, texts, first=first)
            except (VectorSearchUnavailable, EmbeddingModelUnavailable) as error:
                errors.append(_log_and_convert(error))
        if len(errors) == len(models):
            raise errors[0]

    def add_chunks_for_model(
        self,
        model: StoredModel,
        generation: IndexedGeneration,
        ids: Sequence[str],
        texts: Sequence[str],
        *,
        first: int,
    ) -> None:
        """Embed and store the chunks for *model* only.

        Raises:
            EmbeddingModelUnavailable: the model is unavailable.
            VectorSearchUnavailable: the vector store is unavailable.
        """
        if self.count_embedded_chunks(model, generation) < first:
            return  # earlier chunks are missing; all of them are embedded together later
        rows = self.embed_texts(model, texts, "documents")
        partition = model.get_partition_name(generation.collection_id)
        key = generation.document_id, generation.generation
        with self._metrics.time_stage("indexing"), self._trace_store_call("upsert", partition):
            self._vectors.add_vectors(partition, *key, ids, rows)
        with self._database.write() as session:
            if store.record_embedded_chunks(session, model.id, *key, first + len(ids)):
                return
        # The document was deleted meanwhile, and its vectors possibly before these were added.
        self._vectors.delete_vectors(partition, ids)

    def count_embedded_chunks(self, model: StoredModel, generation: IndexedGeneration) -> int:
        """Return the number of chunks that *model* has embedded, counted from the first."""
        key = generation.document_id, generation.generation
        with self._database.read() as session:
            return store.count_embedded_chunks(session, model.id, *key)

    def embed_texts(
        self, model: StoredModel, texts: Sequence[str], purpose: EmbeddingPurpose
    ) -> Vectors:
        """Return the vectors of *texts* under *model*, as queries or as passages.

        Raises:
            EmbeddingModelUnavailable: the model is unavailable.
        """
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.request.model": model.name,
            "rag.texts": len(texts),
        }
        # The built-in model and sentence-transformers models run in this process.
        kind = SpanKind.CLIENT if model.is_remote else SpanKind.INTERNAL
        embedding_model = self._models.open_model(model)
        with (
            self._metrics.time_embedding(purpose, len(texts)),
            start_as_current_span(f"embeddings {model.name}", kind, attributes),
        ):
            if purpose == "questions":
                return embedding_model.encode_queries(texts)
            return embedding_model.encode(texts)

    def _trace_store_call(self, operation: str, partition: str) -> AbstractContextManager[Span]:
        store = self._models.store
        attributes = {
            "db.system.name": store,
            "db.operation.name": operation,
            "db.collection.name": partition,
        }
        return start_as_current_span(f"{operation} {store}", SpanKind.CLIENT, attributes)

    def delete_document_vectors(
        self, collection_id: str, document_id: str, keep_generation: int = 0
    ) -> None:
        """Delete the document's vectors except those of *keep_generation*."""
        with self._database.write() as session:
            store.delete_old_embeddings(session, document_id, keep_generation)
        for model in self._models.list_current_models():
            partition = model.get_partition_name(collection_id)
            with self._trace_store_call("delete", partition):
                self._vectors.delete_document(partition, document_id, keep_generation)

    def drop_collection(self, collection_id: str) -> None:
        """Delete all vectors of the collection."""
        for model in self._models.list_current_models():
            self._vectors.drop_partition(model.get_partition_name(collection_id))

    def check_connection(self) -> None:
        """Raise VectorSearchUnavailable if the vector store does not respond."""
        self._vectors.check_connection()

    def connect(self) -> None:
        """Open the vector store before it is needed. Raises VectorSearchUnavailable."""
        self._vectors.connect()


def _log_and_convert(
    error: VectorSearchUnavailable | EmbeddingModelUnavailable,
) -> VectorSearchUnavailable:
    reason = error.reason if isinstance(error, VectorSearchUnavailable) else str(error)
    _log.warning("vector search is unavailable: %s", reason)
    return VectorSearchUnavailable(reason)
