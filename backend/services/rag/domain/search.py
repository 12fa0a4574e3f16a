"""Find passages: what means the same and what says the same words, in one ranking."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from time import perf_counter
from typing import Literal

from backend.chassis.database.sessions import Database
from backend.services.rag.clients.measures import Measures
from backend.services.rag.domain.attributes import DocumentAttributes
from backend.services.rag.domain.collections import Reader
from backend.services.rag.domain.dense import DenseIndex
from backend.services.rag.domain.filters import Condition
from backend.services.rag.domain.found import Found
from backend.services.rag.domain.fusion import DEPTH, fused, ranked
from backend.services.rag.domain.reranking import RERANKED, Reranker, by_model, by_words
from backend.services.rag.errors import CollectionNotFound, VectorsUnavailable
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import collections as collection_store
from backend.services.rag.store.chunks import Shown
from backend.services.rag.store.keywords import KeywordIndexes

Mode = Literal["hybrid", "dense", "keyword"]


@dataclass(frozen=True, slots=True)
class Question:
    """What to look for, how much of it, and where."""

    text: str
    k: int = 5
    collection: str | None = None
    mode: Mode = "hybrid"
    # None: where it was measured to be better, which is in a hybrid search.
    rerank: bool | None = None
    # Looks in the documents alone that this holds for; all of them without it.
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """The best passages, and the weight of the question's terms: the rarer, the more."""

    found: list[Found]
    rarity: Mapping[str, float]


class Search:
    """Looks through everything a reader may read."""

    def __init__(
        self,
        database: Database,
        dense: DenseIndex,
        keywords: KeywordIndexes,
        attributes: DocumentAttributes,
        reranker: Reranker | None = None,
        measures: Measures | None = None,
    ) -> None:
        self._database = database
        self._dense = dense
        self._keywords = keywords
        self._attributes = attributes
        self._reranker = reranker
        self._measures = measures or Measures()

    def find(self, reader: Reader, question: Question) -> list[Found]:
        """The best passages, best first."""
        return self._timed(reader, question)[0]

    def look(self, reader: Reader, question: Question) -> Findings:
        """The same, with how rare the question's words are where it looked."""
        found, within = self._timed(reader, question)
        return Findings(found, self._keywords.rarity(within, question.text))

    def _timed(self, reader: Reader, question: Question) -> tuple[list[Found], Mapping[str, int]]:
        began = perf_counter()
        try:
            found, within = self._looked(reader, question)
        except Exception as fault:
            error = getattr(fault, "code", "internal_error")
            self._measures.search_failed(question.mode, perf_counter() - began, error)
            raise
        self._measures.searched(question.mode, perf_counter() - began, len(found))
        return found, within

    def _looked(self, reader: Reader, question: Question) -> tuple[list[Found], Mapping[str, int]]:
        within, documents = self._scope(reader, question)
        scores = self._scores(question, within, documents)
        found = self._shown(reader, within, scores, max(question.k, RERANKED))
        if question.rerank or (question.rerank is None and question.mode == "hybrid"):
            found = self._reranked(question, within, found)
        best = [replace(each, score=round(each.score, 6)) for each in found[: question.k]]
        return best, within

    def _shown(
        self, reader: Reader, within: Collection[str], scores: Mapping[str, float], most: int
    ) -> list[Found]:
        """The first of *scores* that may be shown.

        The indexes only propose: what was deleted or unshared a moment ago is not shown.
        """
        proposed, found = iter(scores), list[Found]()
        with self._database.read(reader.tenant_id) as session:
            while len(found) < most and (part := list(islice(proposed, most))):
                rows = chunk_store.shown(session, reader.tenant_id, reader.user_id, part)
                found += [
                    _found(rows[key], scores[key])
                    for key in part
                    if key in rows and rows[key].collection_id in within
                ]
        return found

    def _reranked(
        self, question: Question, within: Mapping[str, int], found: list[Found]
    ) -> list[Found]:
        if question.rerank and self._reranker is not None:
            ordered = by_model(question.text, found, self._reranker)
            if ordered is not None:
                return [*ordered, *found[len(ordered) :]]
        return by_words(question.text, found, self._keywords.rarity(within, question.text))

    def _scope(
        self, reader: Reader, question: Question
    ) -> tuple[Mapping[str, int], Collection[str] | None]:
        """The collections to look in, by version, and the documents where a filter names them."""
        with self._database.read(reader.tenant_id) as session:
            rows = collection_store.versions(
                session, reader.tenant_id, reader.user_id, question.collection
            )
        if question.collection is not None:
            if not rows:
                raise CollectionNotFound
            rows = rows[:1]
        within = dict(rows)
        if question.condition is None:
            return within, None
        # Under the scope, never instead of it: a filter can only take away.
        return within, {
            document_id
            for collection_id, version in within.items()
            for document_id in self._attributes.matching(collection_id, version, question.condition)
        }

    def _scores(
        self, question: Question, within: Mapping[str, int], documents: Collection[str] | None
    ) -> dict[str, float]:
        dense: dict[str, float] = {}
        keyword: dict[str, float] = {}
        if question.mode != "keyword" and within:
            try:
                dense = self._dense.nearest(within, question.text, DEPTH, documents)
            except VectorsUnavailable:
                # Words still find what they can, which is better than nothing.
                if question.mode == "dense":
                    raise
                self._measures.searched_by_words_only()
        if question.mode != "dense":
            for collection, version in within.items():
                keyword |= self._keywords.best(collection, version, question.text, DEPTH, documents)
        if question.mode == "dense":
            return _top(dense)
        if question.mode == "keyword":
            return _top(keyword)
        return fused(_top(dense), _top(keyword))


def _top(scores: Mapping[str, float]) -> dict[str, float]:
    return dict(list(ranked(scores).items())[:DEPTH])


def _found(shown: Shown, score: float) -> Found:
    known = shown._asdict()
    known.pop("collection_id")
    return Found(**known, score=score)
