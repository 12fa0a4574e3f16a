"""Searching and asking over HTTP."""

import time
from dataclasses import asdict
from typing import Annotated, Literal, Self

from flask import Blueprint, Response, request
from pydantic import BaseModel, Field, JsonValue, StringConstraints

from backend.ai.chat_models import ModelMisbehaved, ModelTimeout, ModelUnavailable
from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import Input, Permission, WholeNumber, require_permission, validate_input
from backend.services.rag.domain.answers import Answer, Answers
from backend.services.rag.domain.found import Found
from backend.services.rag.domain.rewriting import Turn
from backend.services.rag.domain.search import Question, Search
from backend.services.rag.errors import CollectionNotFound
from backend.services.rag.routes.answering import streamed, whole
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


class TurnInput(Input):
    role: Literal["user", "assistant"]
    content: Annotated[str, Field(max_length=20_000)]


class QueryInput(SearchInput):
    """`history` is the conversation so far, oldest first: a follow-up is completed from it."""

    stream: bool = False
    history: Annotated[list[TurnInput], Field(max_length=50)] = Field(default_factory=list)

    def turns(self) -> list[Turn]:
        return [Turn(each.role, each.content) for each in self.history]


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
    # The question as it was searched for, completed from the conversation.
    searched_for: str
    took_ms: float

    @classmethod
    def of(cls, answer: Answer, began: float) -> Self:
        return cls(
            answer=answer.text,
            citations=[CitationOut(**asdict(each)) for each in answer.citations],
            model=answer.model,
            searched_for=answer.searched_for,
            took_ms=_since(began),
        )


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
@answers(
    AnswerOut,
    errors=(CollectionNotFound, ModelUnavailable, ModelTimeout, ModelMisbehaved),
    stream="text/event-stream",
)
def answer(asked: QueryInput) -> AnswerOut | Response:
    """An answer that rests on the documents, with a citation for each sentence that was found.

    In the words of the language model that is set up, or in the documents' own. With `stream`
    (or `Accept: text/event-stream`) the same as events: `token` with a piece of text each,
    `citations`, and `done` with the whole answer; `error` with a problem if it breaks off.
    """
    began = time.perf_counter()
    pieces = use(Answers).begin(reader(), asked.question(), asked.turns())
    if asked.stream or request.accept_mimetypes.best == "text/event-stream":
        return streamed(pieces, lambda answer: AnswerOut.of(answer, began).model_dump(mode="json"))
    return AnswerOut.of(whole(pieces), began)


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
