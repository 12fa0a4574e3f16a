"""Find passages: what means the same and what says the same words, in one ranking."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from backend.chassis.database import Database
from backend.services.rag.domain.collections import Reader
from backend.services.rag.domain.dense import DenseIndex
from backend.services.rag.domain.fusion import DEPTH, fused, ranked
from backend.services.rag.errors import CollectionNotFound, VectorsUnavailable
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import collections as collection_store
from backend.services.rag.store import documents as document_store
from backend.services.rag.store.chunks import Shown
from backend.services.rag.store.keywords import KeywordIndexes

Mode = Literal["hybrid", "dense", "keyword"]
_OF_THE_DOCUMENT = ("document_id", "filename", "content_type")


@dataclass(frozen=True, slots=True)
class Question:
    """What to look for, how much of it, and where."""

    text: str
    k: int = 5
    collection: str | None = None
    mode: Mode = "hybrid"
    # Names of metadata (or of _OF_THE_DOCUMENT) and the values, one or several, to look within.
    filter: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A passage, where it stands, and how well it fits; scores compare within one search."""

    chunk_id: str
    document_id: str
    generation: int
    filename: str
    title: str
    page: int | None
    start: int
    end: int
    text: str
    score: float


class Search:
    """Looks through everything a reader may read."""

    def __init__(
        self,
        database: Database,
        dense: DenseIndex,
        keywords: KeywordIndexes,
    ) -> None:
        self._database = database
        self._dense = dense
        self._keywords = keywords

    def find(self, reader: Reader, question: Question) -> list[Found]:
        """The best passages, best first."""
        within, documents = self._scope(reader, question)
        scores = self._scores(question, within, documents)
        # The indexes only propose: what was deleted or unshared a moment ago is not shown.
        with self._database.read(reader.tenant_id) as session:
            shown = chunk_store.shown(session, reader.tenant_id, reader.user_id, list(scores))
            best = [key for key in scores if key in shown and shown[key].collection_id in within]
            return [_found(shown[key], scores[key]) for key in best[: question.k]]

    def _scope(
        self, reader: Reader, question: Question
    ) -> tuple[Sequence[str], Collection[str] | None]:
        """The collections to look in, and the documents if a filter names fewer than all."""
        with self._database.read(reader.tenant_id) as session:
            rows = collection_store.readable(
                session, reader.tenant_id, reader.user_id, question.collection
            )
            if question.collection is not None:
                if not rows:
                    raise CollectionNotFound
                rows = rows[:1]
            within = [row.id for row in rows]
            if not question.filter:
                return within, None
            # Under the scope, never instead of it: a filter can only take away.
            known = document_store.attributes_in(session, within)
        return within, [each[0] for each in known if _matches(question.filter, each)]

    def _scores(
        self, question: Question, within: Sequence[str], documents: Collection[str] | None
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
        if question.mode != "dense":
            for collection in within:
                keyword |= self._keywords.best(collection, question.text, DEPTH, documents)
        if question.mode == "dense":
            return _top(dense)
        if question.mode == "keyword":
            return _top(keyword)
        return fused(_top(dense), _top(keyword))


def _top(scores: Mapping[str, float]) -> dict[str, float]:
    return dict(list(ranked(scores).items())[:DEPTH])


def _matches(wanted: Mapping[str, Any], document: tuple[str, str, str, Mapping[str, Any]]) -> bool:
    own = dict(zip(_OF_THE_DOCUMENT, document[:3], strict=True))
    values = {**document[3], **own}
    return all(name in values and _fits(value, values[name]) for name, value in wanted.items())


def _fits(wanted: Any, value: Any) -> bool:
    """Equal, one of several that are wanted, or among several that the document has."""
    if isinstance(wanted, list):
        return any(_fits(each, value) for each in wanted)
    if isinstance(value, list):
        return any(_same(wanted, each) for each in value)
    return _same(wanted, value)


def _same(one: Any, other: Any) -> bool:
    # In JSON true is not 1, though Python thinks so.
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _found(shown: Shown, score: float) -> Found:
    chunk = shown.chunk
    return Found(
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        generation=chunk.generation,
        filename=shown.filename,
        title=shown.title,
        page=chunk.page,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=round(score, 6),
    )
