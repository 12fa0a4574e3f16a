"""The bodies that the agent takes and the answers it gives."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints

from backend.security import Input, WholeNumber
from backend.services.agent.domain.answers import OnBusy, Question
from backend.services.agent.domain.approvals import Approval
from backend.services.agent.domain.conversations import SavedMessage, Summary, Whole
from backend.services.agent.domain.events import Answer
from backend.services.agent.domain.turns import Asked

Name = Annotated[str, Field(min_length=1, max_length=128)]


Request = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]


class Manner(Input):
    """How an answer is sent.

    As events or whole; where the client leaves before the end, the answer is cancelled, or with
    `continue` written to its end and kept.
    """

    stream: bool | None = None
    on_disconnect: Literal["cancel", "continue"] = "cancel"


class Again(Manner):
    """How an answer shall be given.

    `on_busy` says what happens while another answer is being written in the session: wait for
    it (`enqueue`), stop it (`interrupt`), or give up with 409 (`reject`).
    """

    collection: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    model: Name | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768), WholeNumber] | None = None
    persona: Name | None = None
    on_busy: OnBusy = "enqueue"

    def question(self, asked: Asked) -> Question:
        """The question that asks for this."""
        return Question(
            asked=asked,
            collection=self.collection,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            persona=self.persona,
            on_busy=self.on_busy,
        )


class Edit(Again):
    """A request in another wording."""

    user_request: Request


class Query(Edit):
    """A request to the agent; without `session_id` it begins a new session."""

    session_id: Name | None = None


class Decision(Manner):
    """What a person says to the tool calls that wait."""

    decision: Literal["approve", "reject"]
    approval_id: Name | None = None


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
    """A tool call; one that was refused was never made."""

    tool: str
    arguments: Mapping[str, Any]
    status: Literal["ok", "error", "refused"]
    took_ms: int


class CallShape(BaseModel):
    """A tool call that waits for a decision, with its exact arguments."""

    id: str
    tool: str
    arguments: Mapping[str, Any]


class ApprovalShape(BaseModel):
    """What names the calls that wait, and until when they do."""

    id: str
    expires_at: datetime

    @classmethod
    def of(cls, approval: Approval) -> Self:
        return cls.model_validate(approval, from_attributes=True)


class Usage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int


class QueryAnswer(BaseModel):
    """The agent's answer."""

    response: str
    session_id: str
    message_id: str
    citations: Sequence[CitationShape]
    steps: Sequence[StepShape]
    model: str
    usage: Usage
    took_ms: int
    finish_reason: str
    waiting: Sequence[CallShape]
    approval: ApprovalShape | None

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """*answer* as it is told."""
        return cls.model_validate(
            {
                "response": answer.text,
                "session_id": answer.conversation_id,
                "message_id": answer.message_id,
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
                "approval": answer.approval,
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
    """One message of the active branch.

    `alternatives` are the ids of all messages that follow the same parent, the oldest first:
    where there are several, branches part. An answer is `interrupted` if its worker died.
    """

    id: str
    parent_id: str | None
    alternatives: Sequence[str]
    role: Literal["user", "assistant"]
    content: str
    status: Literal["writing", "waiting", "done", "cancelled", "failed", "interrupted"]
    finish_reason: str | None
    model: str | None
    citations: Sequence[CitationShape]
    steps: Sequence[StepShape]
    usage: Usage
    took_ms: int
    run_id: str | None
    created_at: datetime

    @classmethod
    def of(cls, message: SavedMessage) -> Self:
        return cls.model_validate(message, from_attributes=True)


class SessionChange(Input):
    """What may be changed: the title, and the branch that is shown and gone on with."""

    title: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
        | None
    ) = None
    active_message_id: Name | None = None


class SessionWhole(SessionShape):
    """A conversation with the messages of its active branch."""

    messages: Sequence[MessageShape]
    waiting: Sequence[CallShape]
    approval: ApprovalShape | None

    @classmethod
    def whole(cls, whole: Whole) -> Self:
        return cls(
            **SessionShape.of(whole.summary).model_dump(),
            messages=[MessageShape.of(each) for each in whole.messages],
            waiting=[
                CallShape.model_validate(each, from_attributes=True) for each in whole.waiting
            ],
            approval=None if whole.approval is None else ApprovalShape.of(whole.approval),
        )
