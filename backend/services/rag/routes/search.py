"""Endpoints for searches and questions."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal, Self

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field, JsonValue, StringConstraints

from backend.ai.chat_models import InvalidModelResponse, ModelTimeout, ModelUnavailable
from backend.ai.follow_ups import Turn
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import request_example, responds_with
from backend.security import (
    FiniteNumbers,
    Input,
    JsonInteger,
    Permission,
    VisibleText,
    require_permission,
    validate_input,
)
from backend.services.rag.domain.answers import Answer, AnswerService
from backend.services.rag.domain.embeddings.sentence_vectors import StoredSimilarities
from backend.services.rag.domain.search.service import SearchQuery, SearchService
from backend.services.rag.errors import CollectionNotFound, VectorSearchUnavailable
from backend.services.rag.model import SearchHit, SearchStage, SentenceSpan
from backend.services.rag.routes.access import get_viewer
from backend.services.rag.routes.answer_stream import collect_answer, stream_answer_events
from backend.services.rag.routes.filters import parse_filter

search = Blueprint("search", __name__)

Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=4000),
    VisibleText,
]


class _SearchFields(Input):
    """The fields of searches and of questions."""

    query: Text
    k: Annotated[int, Field(ge=1, le=50), JsonInteger] = 5
    collection: Annotated[str, Field(max_length=64)] | None = None
    mode: Literal["hybrid", "dense", "keyword"] = "hybrid"
    # By default, hybrid searches are reranked by terms and sentences. True uses the reranking model
    # if one is configured.
    rerank: bool | None = None
    filter: Annotated[dict[str, JsonValue], FiniteNumbers] | None = None

    def to_search_query(self) -> SearchQuery:
        return SearchQuery(
            text=self.query,
            k=self.k,
            collection=self.collection,
            mode=self.mode,
            rerank=self.rerank,
            condition=parse_filter(self.filter) if self.filter else None,
        )


class SearchRequest(_SearchFields):
    """A search. `filter` contains conditions on metadata, document_id, filename and content_type.

    The condition of an attribute is a value, a list of values of which one must match, or an
    object of comparisons: `$eq`, `$ne`, `$in`, `$nin`, `$gt`, `$gte`, `$lt`, `$lte`, `$not`.
    `$and`, `$or` (with lists) and `$not` combine filters.

    With `sentences`, each result contains its sentences with their similarity to the query, and
    the response contains the weights of the query's terms.
    """

    sentences: bool = False


class TurnRequest(Input):
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    content: Annotated[str, Field(max_length=20_000)]


class QueryRequest(_SearchFields):
    """A question. `history` is the previous conversation, oldest message first.

    A follow-up question is completed from it.
    """

    stream: bool = False
    history: Annotated[list[TurnRequest], Field(max_length=50)] = Field(default_factory=list)

    def to_turns(self) -> list[Turn]:
        return [Turn(turn.role, turn.content) for turn in self.history]


class SentenceResponse(BaseModel):
    """A sentence or table row: the characters `start` to `end` of its document's text.

    `similarity` is the cosine similarity of the query with the sentence, together with the heading
    above it and the sentence that it refers to, from -1 to 1.
    """

    start: int
    end: int
    similarity: float


class SearchHitResponse(BaseModel):
    """A chunk: the characters `start` to `end` of its document's text.

    `section` is the heading of the section that contains its start, and `headings` are those
    within it. `table_header` is the header row of the table that the chunk continues, or empty.
    `sentences` are its sentences in order, if they were requested. Headings are left out, and
    sentences that a better result contains too.
    """

    chunk_id: str
    document_id: str
    filename: str
    title: str
    section: str
    headings: list[str]
    table_header: str
    page: int | None
    start: int
    end: int
    text: str
    score: float
    sentences: list[SentenceResponse] | None = None

    @classmethod
    def from_hit(cls, hit: SearchHit, sentences: Sequence[SentenceSpan] | None = None) -> Self:
        response = cls.model_validate(hit, from_attributes=True)
        if sentences is not None:
            response.sentences = [
                SentenceResponse(
                    start=sentence.start, end=sentence.end, similarity=sentence.similarity
                )
                for sentence in sentences
            ]
        return response


class SearchResponse(BaseModel):
    """Search hits, best first.

    `degraded` contains the parts of the search that were unavailable, so that the results may be
    incomplete or in a worse order: `vectors` (the results match by keywords only) or `reranking`.
    Usually it is empty. `term_weights` are the inverse document frequencies of the query's terms,
    case-folded and stemmed, if sentences were requested. `multilingual` is then true if the
    similarities of sentences are of a model that knows other languages than English.
    """

    results: list[SearchHitResponse]
    degraded: list[SearchStage]
    term_weights: dict[str, float] | None = None
    multilingual: bool | None = None
    took_ms: float


class CitationResponse(BaseModel):
    """A citation. `quote` is exactly the document's text from `start` to `end`."""

    marker: int
    document_id: str
    filename: str
    page: int | None
    start: int
    end: int
    quote: str


class AnswerResponse(BaseModel):
    """An answer. `searched_for` is the question, completed from the conversation.

    `degraded` contains the parts of the search that were unavailable, as in a search response.
    """

    answer: str
    citations: list[CitationResponse]
    model: str
    searched_for: str
    degraded: list[SearchStage]
    took_ms: float

    @classmethod
    def from_answer(cls, answer: Answer, started_at: float) -> Self:
        return cls(
            answer=answer.text,
            citations=[CitationResponse(**asdict(citation)) for citation in answer.citations],
            model=answer.model,
            searched_for=answer.searched_for,
            degraded=list(answer.degraded),
            took_ms=_get_elapsed_ms(started_at),
        )


@search.post("/search")
@require_permission(Permission.RAG_READ)
@validate_input(SearchRequest)
@responds_with(SearchResponse, errors=(CollectionNotFound, VectorSearchUnavailable))
@request_example({"query": "first computer program", "k": 5})
def search_chunks(body: SearchRequest) -> SearchResponse:
    """Search for chunks. Returns the best ones first.

    While vectors are unavailable, mode `hybrid` uses keywords only and the response says so in
    `degraded`; mode `dense` fails.
    """
    started_at = time.perf_counter()
    if body.sentences:
        return _search_sentences(body, started_at)
    result = use(SearchService).search_chunks(get_viewer(), body.to_search_query())
    return SearchResponse(
        results=[SearchHitResponse.from_hit(hit) for hit in result.hits],
        degraded=list(result.degraded),
        took_ms=_get_elapsed_ms(started_at),
    )


def _search_sentences(body: SearchRequest, started_at: float) -> SearchResponse:
    viewer = get_viewer()
    result = use(SearchService).search_with_term_weights(viewer, body.to_search_query())
    similarities = use(StoredSimilarities).for_tenant(viewer.tenant_id)
    sentences = similarities.score_sentences(body.query, result.hits)
    return SearchResponse(
        results=list(map(SearchHitResponse.from_hit, result.hits, sentences)),
        degraded=list(result.degraded),
        term_weights=dict(result.term_weights),
        multilingual=similarities.is_multilingual,
        took_ms=_get_elapsed_ms(started_at),
    )


@search.post("/query")
@require_permission(Permission.RAG_READ)
@validate_input(QueryRequest)
@responds_with(
    AnswerResponse,
    errors=(
        CollectionNotFound,
        VectorSearchUnavailable,
        ModelUnavailable,
        ModelTimeout,
        InvalidModelResponse,
    ),
    stream_media_type="text/event-stream",
)
@request_example({"query": "Who published the first computer program?"})
def answer_question(body: QueryRequest) -> AnswerResponse | Response:
    """Answer a question from the documents, with citations.

    The configured language model writes the answer. Without one, the answer consists of sentences
    from the documents. Both use the chunks that `POST /search` finds: while vectors are
    unavailable, those that match by keywords. With `stream` (or `Accept: text/event-stream`) the
    response is a stream of events: `token` with a piece of text each, `citations`, and `done` with
    the complete answer, or `error` with a problem document.
    """
    started_at = time.perf_counter()
    pieces = use(AnswerService).stream_answer(get_viewer(), body.to_search_query(), body.to_turns())
    if body.stream or request.accept_mimetypes.best == "text/event-stream":
        return stream_answer_events(
            pieces,
            lambda answer: AnswerResponse.from_answer(answer, started_at).model_dump(mode="json"),
        )
    return AnswerResponse.from_answer(collect_answer(pieces), started_at)


def _get_elapsed_ms(started_at: float) -> float:
    return round((time.perf_counter() - started_at) * 1000, 1)
