"""Search for chunks in all collections that a user can read."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from time import perf_counter
from typing import Final, Literal

from backend.ai.embedding import MULTILINGUAL
from backend.ai.text.languages import detect_language
from backend.chassis.database.sessions import Database
from backend.services.rag.clients.metrics import RagMetrics
from backend.services.rag.domain.embeddings.model_registry import EmbeddingModelRegistry
from backend.services.rag.domain.embeddings.reembedding import Reembedder
from backend.services.rag.domain.embeddings.sentence_vectors import StoredSimilarities
from backend.services.rag.domain.search.dense_index import DenseIndex
from backend.services.rag.domain.search.document_attributes import DocumentAttributes
from backend.services.rag.domain.search.document_languages import DocumentLanguages
from backend.services.rag.domain.search.filters import Condition
from backend.services.rag.domain.search.fusion import (
    DEPTH,
    KeywordEvidence,
    compute_margin,
    fuse_rankings,
    prefer_language,
    sort_by_score,
)
from backend.services.rag.domain.search.reranking import (
    RERANK_DEPTH,
    Reranker,
    rerank_by_model,
    rerank_by_sentences,
    rerank_by_terms,
)
from backend.services.rag.errors import CollectionNotFound, VectorSearchUnavailable
from backend.services.rag.model import SearchHit, SearchStage, Viewer
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import collections as collection_store
from backend.services.rag.store.chunks import VisibleChunk
from backend.services.rag.store.keyword_index.index import (
    MAX_TERM_SCORE,
    KeywordIndexCache,
    QueryTermWeights,
)

# Maximum share of its words that a query in another language has in common with English documents.
_MAX_FOREIGN_COVERAGE: Final = 0.5
# Reranking by words needs question and chunks in one language.
_MIN_SAME_LANGUAGE: Final = 0.5
Mode = Literal["hybrid", "dense", "keyword"]


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search request.

    Attributes:
        k: maximum number of hits.
        collection: name or id of the only collection to search, or None for all.
        rerank: True uses the reranking model if one is configured, False does not rerank. None
            reranks by terms and sentences in hybrid mode, where measurements showed an improvement.
        condition: filter on document attributes, or None for all documents.
    """

    text: str
    k: int = 5
    collection: str | None = None
    mode: Mode = "hybrid"
    rerank: bool | None = None
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Search hits, best first.

    Attributes:
        degraded: the requested parts of the search that were unavailable. The hits were found
            without them.
    """

    hits: list[SearchHit]
    degraded: Sequence[SearchStage]


@dataclass(frozen=True, slots=True)
class WeightedSearchResult(SearchResult):
    """A search result, and the inverse document frequencies of the query's terms."""

    term_weights: Mapping[str, float]


class SearchService:
    """Searches the collections that a viewer can read."""

    def __init__(
        self,
        database: Database,
        models: EmbeddingModelRegistry,
        dense_index: DenseIndex,
        reembedder: Reembedder,
        keyword_indexes: KeywordIndexCache,
        attributes: DocumentAttributes,
        similarities: StoredSimilarities,
        reranker: Reranker | None = None,
        metrics: RagMetrics | None = None,
    ) -> None:
        self._database = database
        self._models = models
        self._dense_index = dense_index
        self._reembedder = reembedder
        self._keyword_indexes = keyword_indexes
        self._attributes = attributes
        self._similarities = similarities
        self._languages = DocumentLanguages(database)
        self._reranker = reranker
        self._metrics = metrics or RagMetrics()

    def search_chunks(self, viewer: Viewer, query: SearchQuery) -> SearchResult:
        """Return the best hits. While vectors are unavailable, hybrid mode uses keywords only.

        Raises:
            CollectionNotFound: the viewer cannot read the query's collection.
            VectorSearchUnavailable: the mode is "dense" and vectors are unavailable.
        """
        return self._search_and_record(viewer, query)[0]

    def needs_multilingual(self, viewer: Viewer, query: SearchQuery) -> bool:
        """Return whether the query needs the multilingual model, which does not serve yet."""
        return self._lacks_language(viewer, query, self._resolve_scope(viewer, query)[0])

    def search_with_term_weights(self, viewer: Viewer, query: SearchQuery) -> WeightedSearchResult:
        """Search like `search_chunks`, and return term weights from the searched collections."""
        result, terms = self._search_and_record(viewer, query)
        return WeightedSearchResult(result.hits, result.degraded, terms.weights.by_term)

    def _search_and_record(
        self, viewer: Viewer, query: SearchQuery
    ) -> "tuple[SearchResult, _QueryTerms]":
        started_at = perf_counter()
        try:
            result, terms = self._search(viewer, query)
        except Exception as error:  # counted, then raised again
            code = getattr(error, "code", "internal_error")
            self._metrics.record_failed_search(query.mode, perf_counter() - started_at, code)
            raise
        self._metrics.record_search(query.mode, perf_counter() - started_at, len(result.hits))
        return result, terms

    def _search(self, viewer: Viewer, query: SearchQuery) -> "tuple[SearchResult, _QueryTerms]":
        """Return the result, and the query's terms in the searched collections."""
        degraded: list[SearchStage] = []
        versions, document_ids = self._resolve_scope(viewer, query)
        terms = _QueryTerms(self._keyword_indexes, versions, query.text)
        ranking = self._score_chunks(viewer, query, versions, document_ids, terms, degraded)
        hits = self._load_visible_hits(viewer, versions, ranking.scores, max(query.k, RERANK_DEPTH))
        if query.rerank or (query.rerank is None and query.mode == "hybrid"):
            hits = self._rerank_hits(viewer, query, terms, ranking, hits, degraded)
        best = [replace(hit, score=round(hit.score, 6)) for hit in hits[: query.k]]
        return SearchResult(best, degraded), terms

    def _load_visible_hits(
        self,
        viewer: Viewer,
        collection_ids: Collection[str],
        scores: Mapping[str, float],
        max_hits: int,
    ) -> list[SearchHit]:
        """Load the best of the scored chunks that the viewer can read.

        Access is checked in the tables: an index can still contain chunks that were deleted or
        unshared a moment ago.
        """
        candidates, hits = iter(scores), list[SearchHit]()
        with self._database.read(viewer.tenant_id) as session:
            while len(hits) < max_hits and (batch := list(islice(candidates, max_hits))):
                rows = chunk_store.get_visible_chunks(
                    session, viewer.tenant_id, viewer.user_id, batch
                )
                hits += [
                    _to_hit(rows[key], scores[key])
                    for key in batch
                    if key in rows and rows[key].collection_id in collection_ids
                ]
        return hits

    def _rerank_hits(
        self,
        viewer: Viewer,
        query: SearchQuery,
        terms: "_QueryTerms",
        ranking: "_Ranking",
        hits: list[SearchHit],
        degraded: list[SearchStage],
    ) -> list[SearchHit]:
        """Return *hits* reordered. Adds "reranking" to *degraded* if the model failed."""
        if query.rerank and self._reranker is not None:
            reranked = rerank_by_model(query.text, hits, self._reranker)
            if reranked is not None:
                return [*reranked, *hits[len(reranked) :]]
            degraded.append("reranking")
        if query.rerank or ranking.shares_words:
            hits = rerank_by_terms(query.text, hits, terms.weights.by_term)
        return self._rerank_by_sentences(viewer, query, ranking, hits)

    def _rerank_by_sentences(
        self,
        viewer: Viewer,
        query: SearchQuery,
        ranking: "_Ranking",
        hits: list[SearchHit],
    ) -> list[SearchHit]:
        """Return *hits* reordered by their sentences, if these have vectors of the serving model.

        A chunk whose sentences have no vectors yet counts with its own similarity.
        """
        dense = ranking.dense
        similarities = self._similarities.for_tenant(viewer.tenant_id)
        serving = self._models.get_serving_model(viewer.tenant_id)
        if not dense or similarities.model_name != serving.name:
            return hits
        chunk_ids = [hit.chunk_id for hit in hits[:RERANK_DEPTH]]
        by_sentence = ranking.prefer(similarities.score_chunks(query.text, chunk_ids))
        lowest = min(dense.values())
        by_chunk = {key: by_sentence.get(key, dense.get(key, lowest)) for key in chunk_ids}
        return rerank_by_sentences(hits, by_chunk)

    def _resolve_scope(
        self, viewer: Viewer, query: SearchQuery
    ) -> tuple[Mapping[str, int], Collection[str] | None]:
        """Return the versions of the collections to search, and the ids of matching documents.

        The ids are None if the query has no filter.
        """
        with self._database.read(viewer.tenant_id) as session:
            rows = collection_store.list_collection_versions(
                session, viewer.tenant_id, viewer.user_id, query.collection
            )
        if query.collection is not None:
            if not rows:
                raise CollectionNotFound
            rows = rows[:1]
        versions = dict(rows)
        if query.condition is None:
            return versions, None
        # Filter within the readable collections only, so that a filter can never add documents.
        return versions, {
            document_id
            for collection_id, version in versions.items()
            for document_id in self._attributes.find_matching_documents(
                collection_id, version, query.condition
            )
        }

    def _score_chunks(
        self,
        viewer: Viewer,
        query: SearchQuery,
        versions: Mapping[str, int],
        document_ids: Collection[str] | None,
        terms: "_QueryTerms",
        degraded: list[SearchStage],
    ) -> "_Ranking":
        """Return the scored chunks.

        Adds "vectors" to *degraded* if a hybrid search used keywords only.
        """
        dense: dict[str, float] = {}
        keyword: dict[str, float] = {}
        if query.mode != "keyword" and versions:
            try:
                self._require_language(viewer, query, versions)
                dense = _take_best(
                    self._dense_index.search_nearest(
                        viewer.tenant_id, versions, query.text, DEPTH, document_ids
                    )
                )
            except VectorSearchUnavailable:
                # A hybrid search continues with keywords only.
                if query.mode == "dense":
                    raise
                self._metrics.count_keyword_only_search()
                degraded.append("vectors")
        if query.mode == "dense":
            return _Ranking(dense, dense)
        for collection_id, version in versions.items():
            keyword |= self._keyword_indexes.search_chunks(
                collection_id, version, query.text, DEPTH, document_ids, dense.keys()
            )
        best = _take_best(keyword)
        keyword = best | {key: keyword[key] for key in dense if key in keyword}
        if query.mode == "keyword":
            return _Ranking(keyword, {})
        return self._fuse(viewer, query, terms, dense, keyword)

    def _require_language(
        self, viewer: Viewer, query: SearchQuery, versions: Mapping[str, int]
    ) -> None:
        """Let the multilingual model serve if the query needs it.

        Raises:
            VectorSearchUnavailable: the model is still embedding the documents, and the vectors of
                the other model do not represent the query's language.
        """
        if not self._lacks_language(viewer, query, versions):
            return
        if not self._reembedder.prepare_multilingual_search(viewer.tenant_id):
            raise VectorSearchUnavailable("The documents are being embedded for other languages.")

    def _lacks_language(
        self, viewer: Viewer, query: SearchQuery, versions: Mapping[str, int]
    ) -> bool:
        """Return whether the query is in a language that the serving model does not represent."""
        if not self._models.chooses_by_language or self._is_multilingual(viewer):
            return False
        if detect_language(query.text) in ("", "en"):
            return False
        # An English query can be detected wrongly. Documents in English contain its words.
        return (
            viewer.tenant_id in self._models.list_multilingual_tenants()
            or self._keyword_indexes.weigh_terms(versions, query.text).coverage
            <= _MAX_FOREIGN_COVERAGE
        )

    def _is_multilingual(self, viewer: Viewer) -> bool:
        return self._models.get_serving_model(viewer.tenant_id).name == MULTILINGUAL

    def _fuse(
        self,
        viewer: Viewer,
        query: SearchQuery,
        terms: "_QueryTerms",
        dense: Mapping[str, float],
        keyword: Mapping[str, float],
    ) -> "_Ranking":
        """Fuse both rankings. In a library of several languages, their weights depend on it."""
        language = detect_language(query.text)
        if not dense or not self._is_multilingual(viewer):
            return _Ranking(fuse_rankings(dense, keyword), dense)
        languages = (
            self._languages.get_languages(viewer.tenant_id, dense.keys() | keyword.keys())
            if language
            else {}
        )
        weights = terms.weights
        max_score = sum(weights.by_term.values()) * MAX_TERM_SCORE
        evidence = KeywordEvidence(
            coverage=weights.coverage,
            match=max(keyword.values(), default=0.0) / max_score if max_score else 0.0,
            margin=compute_margin(dense, languages, language) if language else 1.0,
        )
        prefer: _Preference = _prefer_none
        if language:
            prefer = partial(
                prefer_language,
                languages=languages,
                question_language=language,
                evidence=evidence,
            )
        dense = prefer(dense)
        scores = fuse_rankings(dense, keyword, evidence.weight)
        return _Ranking(scores, dense, prefer, evidence.same_language >= _MIN_SAME_LANGUAGE)


class _QueryTerms:
    """The terms of a query in the searched collections, which are looked up once and when needed.

    Args:
        versions: minimum version by collection id.
    """

    def __init__(self, indexes: KeywordIndexCache, versions: Mapping[str, int], text: str) -> None:
        self._indexes = indexes
        self._versions = versions
        self._text = text

    @cached_property
    def weights(self) -> QueryTermWeights:
        return self._indexes.weigh_terms(self._versions, self._text)


_Preference = Callable[[Mapping[str, float]], Mapping[str, float]]


def _prefer_none(similarities: Mapping[str, float]) -> Mapping[str, float]:
    return similarities


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Scores by chunk id, best first.

    Attributes:
        dense: cosine similarities of the best chunks, after `prefer`.
        prefer: raises the similarities of chunks in the question's language.
        shares_words: question and chunks are in one language.
    """

    scores: dict[str, float]
    dense: Mapping[str, float]
    prefer: _Preference = _prefer_none
    shares_words: bool = True


def _take_best(scores: Mapping[str, float]) -> dict[str, float]:
    return dict(list(sort_by_score(scores).items())[:DEPTH])


def _to_hit(chunk: VisibleChunk, score: float) -> SearchHit:
    return SearchHit(
        chunk_id=chunk.chunk_id,
        document_id=chunk.document_id,
        generation=chunk.generation,
        filename=chunk.filename,
        title=chunk.title,
        section=chunk.section,
        page=chunk.page,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=score,
        headings=chunk.headings,
        table_header=chunk.table_header,
    )
