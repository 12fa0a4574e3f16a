"""Searching and asking over HTTP."""

import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Literal, Self

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field, JsonValue, StringConstraints

from backend.chassis.openapi import answers
from backend.chassis.service import use
from backend.chassis.sse import event
from backend.security import Input, Permission, WholeNumber, require_permission, validate_input
from backend.services.rag.domain.answers import MODEL, Answer, Answers
from backend.services.rag.domain.found import Found
from backend.services.rag.domain.search import Question, Search
from backend.services.rag.errors import CollectionNotFound
from backend.services.rag.routes.filters import parsed
from backend.services.rag.routes.reader import reader

search = Blueprint("search", __name__)

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


class SearchInput(Input):
    """`filter` holds conditions on metadata, document_id, filename and content_type.

    A name stands with a value, with a list of values of which one must be there, or with
    comparisons: `$eq`, `$ne`, `$in`, `$nin`, `$gt`, `$gte`, `$lt`, `$lte`, `$not`. Whole filters
    are joined by `$and`, `$or` (with lists) and `$not`.
    """

    query: Text
    k: Annotated[int, Field(ge=1, le=50), WholeNumber] = 5
    collection: Annotated[str, Field(max_length=64)] | None = None
    mode: Literal["hybrid", "dense", "keyword"] = "hybrid"
    # Not said: as measured best. True asks the reranking model, where one is set up.
    rerank: bool | None = None
    filter: dict[str, JsonValue] | None = None

    def question(self) -> Question:
        condition = parsed(self.filter) if self.filter else None
        return Question(self.query, self.k, self.collection, self.mode, self.rerank, condition)


class QueryInput(SearchInput):
    stream: bool = False


class Result(BaseModel):
    """A passage: the characters `start` to `end` of its document's text."""

    chunk_id: str
    document_id: str
    filename: str
    title: str
    page: int | None
    start: int
    end: int
    text: str
    score: float

    @classmethod
    def of(cls, found: Found) -> Self:
        return cls.model_validate(found, from_attributes=True)


class Results(BaseModel):
    results: list[Result]
    took_ms: float


class CitationOut(BaseModel):
    """`quote` stands in the document's text at `start`..`end`, letter for letter."""

    marker: int
    document_id: str
    filename: str
    page: int | None
    start: int
    end: int
    quote: str


class AnswerOut(BaseModel):
    answer: str
    citations: list[CitationOut]
    model: str
    took_ms: float

    @classmethod
    def of(cls, answer: Answer, began: float) -> Self:
        citations = [CitationOut(**asdict(each)) for each in answer.citations]
        return cls(answer=answer.text, citations=citations, model=MODEL, took_ms=_since(began))


@search.post("/search")
@require_permission(Permission.RAG_READ)
@validate_input(SearchInput)
@answers(Results, errors=(CollectionNotFound,))
def find(asked: SearchInput) -> Results:
    """The passages that fit best, best first."""
    began = time.perf_counter()
    found = use(Search).find(reader(), asked.question())
    return Results(results=[Result.of(each) for each in found], took_ms=_since(began))


@search.post("/query")
@require_permission(Permission.RAG_READ)
@validate_input(QueryInput)
@answers(AnswerOut, errors=(CollectionNotFound,), stream="text/event-stream")
def answer(asked: QueryInput) -> AnswerOut | Response:
    """An answer in the documents' own sentences, each with its citation.

    With `stream` (or `Accept: text/event-stream`) the same as events: `token` with a piece
    of text each, `citations`, and `done` with the whole answer.
    """
    began = time.perf_counter()
    given = use(Answers).answer(reader(), asked.question())
    whole = AnswerOut.of(given, began)
    if asked.stream or request.accept_mimetypes.best == "text/event-stream":
        return Response(
            _events(whole),
            content_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
    return whole


def _events(whole: AnswerOut) -> Iterator[bytes]:
    for piece in re.findall(r"\s*\S+", whole.answer):
        yield event("token", {"text": piece})
    body = whole.model_dump(mode="json")
    yield event("citations", {"citations": body["citations"]})
    yield event("done", body)


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
