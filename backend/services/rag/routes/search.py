"""Searching and asking over HTTP."""

import re
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Literal, Self

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field, StringConstraints

from backend.chassis.openapi import answers
from backend.chassis.service import use
from backend.chassis.sse import event
from backend.security import Input, Permission, WholeNumber, require_permission, validate_input
from backend.services.rag.domain.answers import MODEL, Answer, Answers
from backend.services.rag.domain.search import Found, Question, Search
from backend.services.rag.errors import CollectionNotFound
from backend.services.rag.routes.reader import reader

search = Blueprint("search", __name__)

Scalar = str | int | float | bool | None
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


class SearchInput(Input):
    """`filter` names metadata, or document_id, filename or content_type, and allowed values."""

    query: Text
    k: Annotated[int, Field(ge=1, le=50), WholeNumber] = 5
    collection: Annotated[str, Field(max_length=64)] | None = None
    mode: Literal["hybrid", "dense", "keyword"] = "hybrid"
    # No reranker that could be had offline earned its cost yet; callers may ask all the same.
    rerank: bool = False
    filter: Annotated[dict[str, Scalar | list[Scalar]], Field(max_length=20)] | None = None

    def question(self) -> Question:
        return Question(self.query, self.k, self.collection, self.mode, self.filter or {})


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
