"""Measure retrieval on a set of judged questions, through the parts that serve callers."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from statistics import fmean

from backend.chassis.database.sessions import Database
from backend.services.rag.clients.datasets import Dataset, Entry
from backend.services.rag.domain.chunking import Chunk, TokenSpans, chunk, indexed
from backend.services.rag.domain.collections import Reader
from backend.services.rag.domain.embedding_models import EmbeddingModels
from backend.services.rag.domain.metrics import ndcg, percentile, recall, reciprocal_rank
from backend.services.rag.domain.search import Question, Search
from backend.services.rag.store.chunks import ChunkRow, chunk_id
from backend.services.rag.store.collections import CollectionRow
from backend.services.rag.store.documents import DocumentRow
from backend.services.rag.store.postings import counted, keep
from backend.services.rag.store.vectors import VectorStore

_READER = Reader("evaluation", "evaluation")
_TOGETHER = 64
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Score:
    """Means over the questions, and how long a search took in milliseconds."""

    ndcg_10: float
    recall_5: float
    recall_10: float
    mrr: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class _Cut:
    entry: Entry
    row_id: str
    chunks: list[Chunk]
    texts: list[str]


class Evaluation:
    """A library of its own with a set's documents, and the questions asked of it."""

    def __init__(
        self,
        database: Database,
        models: EmbeddingModels,
        vectors: VectorStore,
        search: Search,
        spans: TokenSpans,
    ) -> None:
        self._database = database
        self._models = models
        self._vectors = vectors
        self._search = search
        self._spans = spans
        with database.write(_READER.tenant_id) as session:
            shelf = CollectionRow(
                tenant_id=_READER.tenant_id, owner_id=_READER.user_id, name="evaluation"
            )
            session.add(shelf)
            session.flush()
            self._collection = shelf.id

    def fill(self, documents: Iterable[Entry], report: Report) -> tuple[int, int]:
        """Take the documents in, as ingestion does after extraction; their number and passages'."""
        taken = passages = 0
        began = time.monotonic()
        for batch in _batches(documents, _TOGETHER):
            passages += self._take(batch)
            taken += len(batch)
            rate = taken / (time.monotonic() - began)
            report(f"{taken} documents, {passages} passages, {rate:.0f} documents a second")
        return taken, passages

    def ask(self, dataset: Dataset, question: Question, report: Report) -> Score:
        """Ask all questions the way *question* is asked; its text is of no matter."""
        rows: list[tuple[float, float, float, float]] = []
        took: list[float] = []
        for number, (key, text) in enumerate(dataset.questions.items(), 1):
            began = time.perf_counter()
            found = self._search.find(_READER, replace(question, text=text))
            took.append((time.perf_counter() - began) * 1000)
            # A document stands where its best passage does.
            ranking = list(dict.fromkeys(each.filename for each in found))
            rows.append(_judged(ranking, dataset.grades[key]))
            if number % 50 == 0:
                report(f"{number} of {len(dataset.questions)} questions")
        ndcg_10, recall_5, recall_10, mrr = (fmean(each) for each in zip(*rows, strict=True))
        return Score(
            ndcg_10, recall_5, recall_10, mrr, percentile(took, 0.5), percentile(took, 0.99)
        )

    def _take(self, batch: list[Entry]) -> int:
        cuts = [cut for entry in batch if (cut := self._cut(entry)).chunks]
        known = self._models.serving()
        vectors = self._models.open(known).encode([text for cut in cuts for text in cut.texts])
        first = 0
        with self._database.write(_READER.tenant_id) as session:
            for cut in cuts:
                session.add(self._document(cut))
            session.flush()
            for cut in cuts:
                keep(session, counted(cut.row_id, 1, cut.texts))
                session.add_all(_chunk_rows(cut))
        for cut in cuts:
            rows = vectors[first : first + len(cut.chunks)]
            ids = [chunk_id(cut.row_id, 1, place) for place in range(len(cut.chunks))]
            self._vectors.add(known.partition(self._collection), cut.row_id, 1, ids, rows)
            first += len(cut.chunks)
        return first

    def _cut(self, entry: Entry) -> _Cut:
        chunks = chunk(_body(entry), self._spans)
        texts = [
            indexed(entry.title, each.section, _body(entry)[each.start : each.end], self._spans)
            for each in chunks
        ]
        digest = hashlib.sha256(entry.id.encode()).hexdigest()
        return _Cut(entry, f"doc_{digest[:32]}", chunks, texts)

    def _document(self, cut: _Cut) -> DocumentRow:
        return DocumentRow(
            id=cut.row_id,
            tenant_id=_READER.tenant_id,
            collection_id=self._collection,
            owner_id=_READER.user_id,
            filename=cut.entry.id,
            title=cut.entry.title,
            title_given=True,
            content_type="text/plain",
            size_bytes=len(cut.entry.text),
            sha256=cut.row_id,
            blob="",
            attributes={},
            status="ready",
            stage="ready",
            generation=1,
            chunks=len(cut.chunks),
        )


def _chunk_rows(cut: _Cut) -> Iterator[ChunkRow]:
    for place, each in enumerate(cut.chunks):
        yield ChunkRow(
            id=chunk_id(cut.row_id, 1, place),
            document_id=cut.row_id,
            generation=1,
            ordinal=place,
            page=None,
            start=each.start,
            end=each.end,
            section=each.section,
            text=_body(cut.entry)[each.start : each.end],
        )


def _body(entry: Entry) -> str:
    # What is nothing but a title can still be looked for.
    return entry.text if entry.text.strip() else entry.title


def _judged(ranking: list[str], grades: Mapping[str, int]) -> tuple[float, float, float, float]:
    return (
        ndcg(ranking, grades, 10),
        recall(ranking, grades, 5),
        recall(ranking, grades, 10),
        reciprocal_rank(ranking, grades),
    )


def _batches(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    waiting = iter(entries)
    while batch := list(islice(waiting, size)):
        yield batch
