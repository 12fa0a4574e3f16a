"""The bodies that the agent takes and the answers it gives."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints

from backend.security import Input, WholeNumber
from backend.services.agent.domain.conversations import SavedMessage, Summary, Whole
from backend.services.agent.domain.events import Answer

Name = Annotated[str, Field(min_length=1, max_length=128)]


class Query(Input):
    """A request to the agent."""

    user_request: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)
    ]
    session_id: Name | None = None
    collection: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    model: Name | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768), WholeNumber] | None = None
    stream: bool | None = None


class Decision(Input):
    """What a person says to the tool calls that wait."""

    decision: Literal["approve", "reject"]
    stream: bool | None = None


class CitationShape(BaseModel):
    """A quote that stands letter for letter in a document's extracted text."""

    marker: int
    document_id: str
    filename: str
    page: int | None
    start: int
    end: int
    quote: str


class StepShape(BaseModel):
    """A tool that was used."""

    tool: str
    arguments: Mapping[str, Any]
    status: Literal["ok", "error"]
    took_ms: int


class CallShape(BaseModel):
    """A tool call that waits for a decision, with its exact arguments."""

    id: str
    tool: str
    arguments: Mapping[str, Any]


class Usage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int


class QueryAnswer(BaseModel):
    """The agent's answer."""

    response: str
    session_id: str
    citations: Sequence[CitationShape]
    steps: Sequence[StepShape]
    model: str
    usage: Usage
    took_ms: int
    finish_reason: str
    waiting: Sequence[CallShape]

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """*answer* as it is told."""
        return cls.model_validate(
            {
                "response": answer.text,
                "session_id": answer.conversation_id,
                "citations": answer.citations,
                "steps": answer.steps,
                "model": answer.model,
                "usage": {
                    "prompt_tokens": answer.prompt_tokens,
                    "completion_tokens": answer.completion_tokens,
                },
                "took_ms": answer.took_ms,
                "finish_reason": answer.finish_reason,
                "waiting": answer.waiting,
            },
            from_attributes=True,
        )


class SessionShape(BaseModel):
    """A conversation; `state` is idle, answering, or waiting for a decision."""

    id: str
    title: str
    state: Literal["idle", "answering", "waiting"]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, summary: Summary) -> Self:
        return cls.model_validate(summary, from_attributes=True)


class SessionList(BaseModel):
    """The caller's conversations, the most recently used first."""

    items: Sequence[SessionShape]
    next_cursor: str | None


class MessageShape(BaseModel):
    """One message of a conversation."""

    id: str
    role: Literal["user", "assistant"]
    content: str
    status: Literal["done", "cancelled", "failed"]
    model: str | None
    citations: Sequence[CitationShape]
    steps: Sequence[StepShape]
    created_at: datetime

    @classmethod
    def of(cls, message: SavedMessage) -> Self:
        return cls.model_validate(message, from_attributes=True)


class SessionWhole(SessionShape):
    """A conversation with its messages."""

    messages: Sequence[MessageShape]
    waiting: Sequence[CallShape]

    @classmethod
    def whole(cls, whole: Whole) -> Self:
        return cls(
            **SessionShape.of(whole.summary).model_dump(),
            messages=[MessageShape.of(each) for each in whole.messages],
            waiting=[
                CallShape.model_validate(each, from_attributes=True) for each in whole.waiting
            ],
        )
