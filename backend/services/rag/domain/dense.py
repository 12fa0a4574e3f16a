"""The dense index: passages by meaning, under the model that serves and the one to follow it."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager

from backend.ai.embedding import ModelUnavailable
from backend.ai.embedding.engine import Vectors
from backend.chassis.database.sessions import Database
from backend.chassis.observability.tracing import Kind, Span, Value, span
from backend.services.rag.clients.measures import Measures, Purpose
from backend.services.rag.domain.embedding_models import EmbeddingModels, Known
from backend.services.rag.errors import VectorsUnavailable
from backend.services.rag.store import embeddings as store
from backend.services.rag.store.vectors import Row, VectorStore

_log = logging.getLogger(__name__)
# After a failure the next searches do not wait for the same one.
_REST_SECONDS = 2.0
_MOST_ASKED = 512


class DenseIndex:
    """Embeds texts and finds them again. It knows ids; what is shown is up to the tables."""

    def __init__(
        self,
        database: Database,
        models: EmbeddingModels,
        vectors: VectorStore,
        measures: Measures | None = None,
    ) -> None:
        """*database* sees all tenants' rows."""
        self._database = database
        self._models = models
        self._vectors = vectors
        self._measures = measures or Measures()
        self._rests_until = 0.0
        # Vectors of the questions asked last: turned pages and retries ask the same again.
        self._asked: OrderedDict[tuple[str, str], Row] = OrderedDict()
        self._asking = threading.Lock()

    def nearest(
        self,
        collections: Iterable[str],
        text: str,
        limit: int,
        documents: Collection[str] | None = None,
    ) -> dict[str, float]:
        """Passages of *collections* and their cosines with *text*, or VectorsUnavailable."""
        if time.monotonic() < self._rests_until:
            raise VectorsUnavailable("It failed a moment ago.")
        try:
            known = self._models.serving()
            vector = self._vector_of(known, text)
            found: dict[str, float] = {}
            for collection in collections:
                partition = known.partition(collection)
                with self._asking_store("query", partition):
                    found |= self._vectors.nearest(partition, vector, limit, documents)
        except (VectorsUnavailable, ModelUnavailable) as trouble:
            self._rests_until = time.monotonic() + _REST_SECONDS
            raise self._told(trouble) from trouble
        return found

    def _vector_of(self, known: Known, text: str) -> Row:
        key = known.id, text
        with self._asking:
            if key in self._asked:
                self._asked.move_to_end(key)
                return self._asked[key]
        vector: Row = self._embedded(known, [text], "questions")[0]
        with self._asking:
            self._asked[key] = vector
            if len(self._asked) > _MOST_ASKED:
                self._asked.popitem(last=False)
        return vector

    def add(
        self,
        collection_id: str,
        document_id: str,
        generation: int,
        ids: Sequence[str],
        texts: Sequence[str],
        *,
        first: int,
    ) -> None:
        """Keep the passages of a generation from its number *first* on, or VectorsUnavailable.

        It is enough if one model has them: what another misses it is given in the background.
        """
        troubles = []
        for known in self._models.current():
            try:
                self.add_to(known, collection_id, document_id, generation, ids, texts, first=first)
            except (VectorsUnavailable, ModelUnavailable) as trouble:
                troubles.append(self._told(trouble))
        if len(troubles) == len(self._models.current()):
            raise troubles[0]

    def add_to(
        self,
        known: Known,
        collection_id: str,
        document_id: str,
        generation: int,
        ids: Sequence[str],
        texts: Sequence[str],
        *,
        first: int,
    ) -> None:
        """The same for one model alone."""
        with self._database.read() as session:
            if store.embedded(session, known.id, document_id, generation) < first:
                return  # it lacks earlier ones, and will be given all of them together
        rows = self._embedded(known, texts, "documents")
        partition = known.partition(collection_id)
        with self._measures.stage("indexing"), self._asking_store("upsert", partition):
            self._vectors.add(partition, document_id, generation, ids, rows)
        with self._database.write() as session:
            done = first + len(ids)
            if store.note(session, known.id, document_id, generation, done):
                return
        # Deleted in the meantime, and perhaps cleared away before these came.
        self._vectors.remove(partition, ids)

    def _embedded(self, known: Known, texts: Sequence[str], purpose: Purpose) -> Vectors:
        told: dict[str, Value] = {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.request.model": known.name,
            "rag.texts": len(texts),
        }
        # The built-in model and those of sentence-transformers work in this very process.
        kind = Kind.CLIENT if known.is_remote else Kind.INTERNAL
        model = self._models.open(known)
        with (
            self._measures.embedding(purpose, len(texts)),
            span(f"embeddings {known.name}", kind, told),
        ):
            return model.encode(texts)

    def _asking_store(self, operation: str, partition: str) -> AbstractContextManager[Span]:
        store = self._models.store
        told = {
            "db.system.name": store,
            "db.operation.name": operation,
            "db.collection.name": partition,
        }
        return span(f"{operation} {store}", Kind.CLIENT, told)

    def forget(self, collection_id: str, document_id: str, but_generation: int = 0) -> None:
        """Drop the document's vectors, but for one generation's."""
        with self._database.write() as session:
            store.forget(session, document_id, but_generation)
        for known in self._models.current():
            partition = known.partition(collection_id)
            with self._asking_store("delete", partition):
                self._vectors.forget(partition, document_id, but_generation)

    def drop(self, collection_id: str) -> None:
        for known in self._models.current():
            self._vectors.drop(known.partition(collection_id))

    def check(self) -> None:
        """Raise unless the store answers."""
        self._vectors.check()

    def _told(self, trouble: VectorsUnavailable | ModelUnavailable) -> VectorsUnavailable:
        why = trouble.why if isinstance(trouble, VectorsUnavailable) else str(trouble)
        _log.warning("search by meaning is away: %s", why)
        return VectorsUnavailable(why)
