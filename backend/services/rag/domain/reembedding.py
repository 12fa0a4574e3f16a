"""Embed what a model lacks, let the model that follows serve, and drop the one before it.

All there is to know stands in the tables, so that it goes on where it was after any end.
"""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from backend.ai.embedding import Embedder, ModelUnavailable
from backend.chassis.database.sessions import Database, Session, take_turns
from backend.services.rag.domain.chunking import indexed
from backend.services.rag.domain.dense import DenseIndex
from backend.services.rag.domain.embedding_models import EmbeddingModels, Known
from backend.services.rag.errors import VectorsUnavailable
from backend.services.rag.store import embeddings as store
from backend.services.rag.store.base import utc_now
from backend.services.rag.store.embeddings import Lacking, State
from backend.services.rag.store.vectors import VectorStore

_log = logging.getLogger(__name__)
_AT_ONCE = 64
_DOCUMENTS_AT_ONCE = 20
# Then others have their turn: documents that wait to be read.
TURN_SECONDS = 5.0
# A turn that takes longer belongs to a process that was killed.
_LOST_SECONDS = 120.0
_IDLE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 60.0
# For as long a process may still be answering from the model that served before.
_LEAVE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a model has come: documents it knows whole, and passages."""

    model: str
    state: State
    documents: int
    all_documents: int
    passages: int
    all_passages: int


class Reembedding:
    """One turn at a time, in any number of threads and processes, of which one works."""

    def __init__(
        self,
        database: Database,
        models: EmbeddingModels,
        dense: DenseIndex,
        vectors: VectorStore,
        embedder: Embedder,
    ) -> None:
        """*database* sees all tenants' rows; *embedder*'s tokens bound contextual headers."""
        self._database = database
        self._models = models
        self._dense = dense
        self._vectors = vectors
        self._spans = embedder.tokens.spans
        self._stopping = threading.Event()
        self._rests_until = 0.0
        self._pause = _IDLE_SECONDS

    def stop(self) -> None:
        self._stopping.set()

    def step(self) -> bool:
        """Work for one turn; False if there was nothing to do or it could not be done."""
        if monotonic() < self._rests_until:
            return False
        busy, troubled = False, False
        for known in self._models.current():
            try:
                busy |= self._turn(known)
            except (VectorsUnavailable, ModelUnavailable) as trouble:
                troubled = True
                _log.warning("embedding with %s is put off: %s", known.name, trouble)
        busy |= self._clear()
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS) if troubled else _IDLE_SECONDS
        if not busy:
            self._rests_until = monotonic() + self._pause
        return busy

    def progress(self) -> list[Progress]:
        with self._database.read() as session:
            rows = store.models(session, "serving", "building", "leaving", "dropping")
            return [Progress(row.name, row.state, *store.progress(session, row.id)) for row in rows]

    def _turn(self, known: Known) -> bool:
        with self._database.read() as session:
            lacking = store.lacking(session, known.id, _DOCUMENTS_AT_ONCE)
        if not lacking:
            return known.state == "building" and self._let_serve(known)
        with self._database.write() as session:
            if not store.take_work(session, known.id, _LOST_SECONDS):
                return False
        try:
            self._embed(known, lacking, monotonic() + TURN_SECONDS)
        finally:
            with self._database.write() as session:
                store.leave_work(session, known.id)
        return True

    def _embed(self, known: Known, lacking: list[Lacking], until: float) -> None:
        for document in lacking:
            for first, ids, texts in self._parts(known, document):
                self._dense.add_to(
                    known,
                    document.collection_id,
                    document.document_id,
                    document.generation,
                    ids,
                    texts,
                    first=first,
                )
                if self._stopping.is_set() or monotonic() > until:
                    return
            self._finish(known, document)

    def _finish(self, known: Known, document: Lacking) -> None:
        """One that has fewer passages than it says must not be lacking for ever."""
        with self._database.write() as session:
            place = known.id, document.document_id, document.generation
            if store.embedded(session, *place) < document.chunks:
                _log.warning("%s misses passages; verify tells more", document.document_id)
                store.note(session, *place, document.chunks)

    def _parts(self, known: Known, document: Lacking) -> Iterator[tuple[int, list[str], list[str]]]:
        """What is still to embed: the first's number, ids and texts, as the index sees them."""
        with self._database.read() as session:
            first = store.embedded(session, known.id, document.document_id, document.generation)
        while True:
            with self._database.read() as session:
                title, rows = store.passages(
                    session, document.document_id, document.generation, first, _AT_ONCE
                )
                ids = [row.id for row in rows]
                texts = [indexed(title, row.section, row.text, self._spans) for row in rows]
            if not ids:
                return
            yield first, ids, texts
            first += len(ids)

    def _let_serve(self, known: Known) -> bool:
        """The switch: in one transaction, and only if nothing is lacking at that moment."""
        with self._database.write() as session:
            take_turns(session, "rag embedding models")
            rows = {row.id: row for row in store.models(session, "serving", "building")}
            if rows[known.id].state != "building" or store.lacking(session, known.id, 1):
                return False
            for row in rows.values():
                row.state = "serving" if row.id == known.id else "leaving"
                row.since = utc_now()
        _log.info("from now on %s serves", known.name)
        return True

    def _clear(self) -> bool:
        """Drop the partitions of models that nobody can be using any more."""
        with self._database.write() as session:
            gone = [
                Known(row.id, row.name, row.address, row.suffix, "dropping")
                for row in self._left(session)
            ]
        for known in gone:
            for partition in self._vectors.partitions():
                if known.owns(partition):
                    self._vectors.drop(partition)
            with self._database.write() as session:
                store.remove(session, known.id)
            _log.info("dropped the vectors of %s", known.name)
        return bool(gone)

    def _left(self, session: Session) -> list[store.ModelRow]:
        rows = store.models(session, "leaving", "dropping")
        long_ago = utc_now() - timedelta(seconds=_LEAVE_SECONDS)
        left = [row for row in rows if row.state == "dropping" or row.since < long_ago]
        for row in left:
            # From here on it cannot come back: it would be said to know what is dropped.
            row.state = "dropping"
            store.forget_all(session, row.id)
        return left
