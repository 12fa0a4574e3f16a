"""Search for chunks in all collections that a user can read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from time import perf_counter
from typing import Literal

from backend.chassis.database.sessions import Database
from backend.services.rag.clients.metrics import RagMetrics
from backend.services.rag.domain.search.dense_index import DenseIndex
from backend.services.rag.domain.search.document_attributes import DocumentAttributes
from backend.services.rag.domain.search.filters import Condition
from backend.services.rag.domain.search.fusion import DEPTH, fuse_rankings, sort_by_score
from backend.services.rag.domain.search.reranking import (
    RERANK_DEPTH,
    Reranker,
    rerank_by_model,
    rerank_by_terms,
)
from backend.services.rag.errors import CollectionNotFound, VectorSearchUnavailable
from backend.services.rag.model import SearchHit, SearchStage, Viewer
from backend.services.rag.store import chunks as chunk_store
from backend.services.rag.store import collections as collection_store
from backend.services.rag.store.chunks import VisibleChunk
from backend.services.rag.store.keyword_index.index import KeywordIndexCache

Mode = Literal["hybrid", "dense", "keyword"]


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search request.

    Attributes:
        k: maximum number of hits.
        collection: name or id of the only collection to search, or None for all.
        rerank: True uses the reranking model if one is configured, False does not rerank. None
            reranks by terms in hybrid mode, where measurements showed an improvement.
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
        dense_index: DenseIndex,
        keyword_indexes: KeywordIndexCache,
        attributes: DocumentAttributes,
        reranker: Reranker | None = None,
        metrics: RagMetrics | None = None,
    ) -> None:
        self._database = database
        self._dense_index = dense_index
        self._keyword_indexes = keyword_indexes
        self._attributes = attributes
        self._reranker = reranker
        self._metrics = metrics or RagMetrics()

    def search_chunks(self, viewer: Viewer, query: SearchQuery) -> SearchResult:
        """Return the best hits. While vectors are unavailable, hybrid mode uses keywords only.

        Raises:
            CollectionNotFound: the viewer cannot read the query's collection.
            VectorSearchUnavailable: the mode is "dense" and vectors are unavailable.
        """
        return self._search_and_record(viewer, query)[0]

    def search_with_term_weights(self, viewer: Viewer, query: SearchQuery) -> WeightedSearchResult:
        """Search like `search_chunks`, and return term weights from the searched collections."""
        result, versions = self._search_and_record(viewer, query)
        weights = self._keyword_indexes.inverse_document_frequencies(versions, query.text)
        return WeightedSearchResult(result.hits, result.degraded, weights)

    def _search_and_record(
        self, viewer: Viewer, query: SearchQuery
    ) -> tuple[SearchResult, Mapping[str, int]]:
        started_at = perf_counter()
        try:
            result, versions = self._search(viewer, query)
        except Exception as error:
            code = getattr(error, "code", "internal_error")
            self._metrics.record_failed_search(query.mode, perf_counter() - started_at, code)
            raise
        self._metrics.record_search(query.mode, perf_counter() - started_at, len(result.hits))
        return result, versions

    def _search(self, viewer: Viewer, query: SearchQuery) -> tuple[SearchResult, Mapping[str, int]]:
        """Return the result and the versions of the searched collections by id."""
        degraded: list[SearchStage] = []
        versions, document_ids = self._resolve_scope(viewer, query)
        scores = self._score_chunks(query, versions, document_ids, degraded)
        hits = self._load_visible_hits(viewer, versions, scores, max(query.k, RERANK_DEPTH))
        if query.rerank or (query.rerank is None and query.mode == "hybrid"):
            hits = self._rerank_hits(query, versions, hits, degraded)
        best = [replace(hit, score=round(hit.score, 6)) for hit in hits[: query.k]]
        return SearchResult(best, degraded), versions

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
        query: SearchQuery,
        versions: Mapping[str, int],
        hits: list[SearchHit],
        degraded: list[SearchStage],
    ) -> list[SearchHit]:
        """Return *hits* reordered. Adds "reranking" to *degraded* if the model failed."""
        if query.rerank and self._reranker is not None:
            reranked = rerank_by_model(query.text, hits, self._reranker)
            if reranked is not None:
                return [*reranked, *hits[len(reranked) :]]
            degraded.append("reranking")
        weights = self._keyword_indexes.inverse_document_frequencies(versions, query.text)
        return rerank_by_terms(query.text, hits, weights)

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
        query: SearchQuery,
        versions: Mapping[str, int],
        document_ids: Collection[str] | None,
        degraded: list[SearchStage],
    ) -> dict[str, float]:
        """Return scores by chunk id, best first.

        Adds "vectors" to *degraded* if a hybrid search used keywords only.
        """
        dense: dict[str, float] = {}
        keyword: dict[str, float] = {}
        if query.mode != "keyword" and versions:
            try:
                dense = self._dense_index.search_nearest(versions, query.text, DEPTH, document_ids)
            except VectorSearchUnavailable:
                # A hybrid search continues with keywords only.
                if query.mode == "dense":
                    raise
                self._metrics.count_keyword_only_search()
                degraded.append("vectors")
        if query.mode != "dense":
            for collection_id, version in versions.items():
                keyword |= self._keyword_indexes.search_chunks(
                    collection_id, version, query.text, DEPTH, document_ids
                )
        if query.mode == "dense":
            return _take_best(dense)
        if query.mode == "keyword":
            return _take_best(keyword)
        return fuse_rankings(_take_best(dense), _take_best(keyword))


def _take_best(scores: Mapping[str, float]) -> dict[str, float]:
    return dict(list(sort_by_score(scores).items())[:DEPTH])


def _to_hit(chunk: VisibleChunk, score: float) -> SearchHit:
    fields = chunk._asdict()
    fields.pop("collection_id")
    return SearchHit(**fields, score=score)
