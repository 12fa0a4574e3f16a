"""Request and response schemas of answers and sessions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints

from backend.security import Input, JsonInteger, VisibleText
from backend.services.agent.domain.answers.events import Answer
from backend.services.agent.domain.answers.service import AnswerRequest, OnBusy
from backend.services.agent.domain.conversations.approvals import Approval
from backend.services.agent.domain.conversations.conversations import (
    ConversationSummary,
    ConversationWithMessages,
    SavedMessage,
)
from backend.services.agent.domain.conversations.run_leases import UserRequest
from backend.services.agent.model import RequestType

Identifier = Annotated[str, Field(min_length=1, max_length=128)]


RequestText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000),
    VisibleText,
]


class AnswerOptions(Input):
    """Options for sending an answer.

    With `stream`, it is sent as events. If the client disconnects before the end, the answer is
    cancelled, or completed and stored with `on_disconnect: continue`. A stream that is resumed
    later has the events until then.
    """

    stream: bool | None = None
    on_disconnect: Literal["cancel", "continue"] = "cancel"


class RegenerateRequest(AnswerOptions):
    """Options for generating an answer.

    `on_busy` applies if another answer of the session is in progress: wait for it (`enqueue`),
    cancel it (`interrupt`), or fail with 409 (`reject`).
    """

    collection: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    model: Identifier | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=32_768), JsonInteger] | None = None
    persona: Identifier | None = None
    on_busy: OnBusy = "enqueue"

    def to_answer_request(
        self, user_request: UserRequest, request_type: RequestType
    ) -> AnswerRequest:
        """Convert the options to a domain object."""
        return AnswerRequest(
            user_request=user_request,
            collection=self.collection,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            persona=self.persona,
            on_busy=self.on_busy,
            request_type=request_type,
        )


class EditRequest(RegenerateRequest):
    """The new text of an earlier request."""

    user_request: RequestText


class QueryRequest(EditRequest):
    """A request to the agent; without `session_id`, it creates a session.

    A request with a `request_ref` that the caller has sent before is not answered again: the
    response is the answer to the first one, which may still be written. `origin` is stored with a
    new session: sessions of `chat` are not listed.
    """

    session_id: Identifier | None = None
    request_ref: Identifier | None = None
    origin: Literal["agent", "chat"] = "agent"


class RecordedMessageInput(Input):
    """A message that is stored without an answer."""

    role: Literal["user", "assistant"]
    content: RequestText


class SessionCreate(Input):
    """Messages of a new session, oldest first."""

    origin: Literal["agent", "chat"] = "agent"
    messages: Annotated[list[RecordedMessageInput], Field(max_length=100)] = Field(
        default_factory=list
    )


class MessagesAppend(Input):
    """Messages to append to a session, oldest first."""

    messages: Annotated[list[RecordedMessageInput], Field(min_length=1, max_length=100)]


class ApprovalDecision(AnswerOptions):
    """The user's decision on the pending tool calls."""

    decision: Literal["approve", "reject"]
    approval_id: Identifier | None = None


class CitationResponse(BaseModel):
    """A quote that occurs verbatim in the extracted text of a document."""

    marker: int
    document_id: str
    filename: str
    page: int | None
    start: int
    end: int
    quote: str


class StepResponse(BaseModel):
    """A tool call. Calls with the status `refused` were not executed."""

    tool: str
    arguments: Mapping[str, Any]
    status: Literal["ok", "error", "refused"]
    took_ms: int


class ToolCallResponse(BaseModel):
    """A tool call that waits for approval, with its exact arguments."""

    id: str
    tool: str
    arguments: Mapping[str, Any]


class ApprovalResponse(BaseModel):
    """Id and expiry of the approval of the pending tool calls."""

    id: str
    expires_at: datetime

    @classmethod
    def from_approval(cls, approval: Approval) -> Self:
        return cls.model_validate(approval, from_attributes=True)


class UsageResponse(BaseModel):
    """Numbers of prompt and completion tokens."""

    prompt_tokens: int
    completion_tokens: int


class QueryResponse(BaseModel):
    """The agent's answer."""

    response: str
    session_id: str
    message_id: str
    citations: Sequence[CitationResponse]
    steps: Sequence[StepResponse]
    model: str
    usage: UsageResponse
    took_ms: int
    finish_reason: str
    waiting: Sequence[ToolCallResponse]
    approval: ApprovalResponse | None

    @classmethod
    def from_answer(cls, answer: Answer) -> Self:
        """Convert a domain object to the response."""
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


class SessionResponse(BaseModel):
    """A session; `state` is idle, answering, or waiting for the user's approval."""

    id: str
    title: str
    state: Literal["idle", "answering", "waiting"]
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_summary(cls, summary: ConversationSummary) -> Self:
        return cls.model_validate(summary, from_attributes=True)


class SessionListResponse(BaseModel):
    """A page of the caller's sessions, most recently updated first."""

    items: Sequence[SessionResponse]
    next_cursor: str | None


class MessageResponse(BaseModel):
    """One message of the active branch.

    `alternatives` are the ids of all messages with the same parent, oldest first. Several ids are
    alternative branches. The status is `interrupted` if the worker was killed.
    """

    id: str
    parent_id: str | None
    alternatives: Sequence[str]
    role: Literal["user", "assistant"]
    content: str
    status: Literal["writing", "waiting", "done", "cancelled", "failed", "interrupted"]
    finish_reason: str | None
    model: str | None
    citations: Sequence[CitationResponse]
    steps: Sequence[StepResponse]
    usage: UsageResponse
    took_ms: int
    run_id: str | None
    created_at: datetime

    @classmethod
    def from_message(cls, message: SavedMessage) -> Self:
        return cls.model_validate(message, from_attributes=True)


class SessionUpdate(Input):
    """Changes of a session: its title, and the message whose branch becomes active."""

    title: (
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
        | None
    ) = None
    active_message_id: Identifier | None = None


class SessionDetailResponse(SessionResponse):
    """A session with the messages of its active branch."""

    messages: Sequence[MessageResponse]
    waiting: Sequence[ToolCallResponse]
    approval: ApprovalResponse | None

    @classmethod
    def from_conversation(cls, conversation: ConversationWithMessages) -> Self:
        return cls(
            **SessionResponse.from_summary(conversation.summary).model_dump(),
            messages=[MessageResponse.from_message(message) for message in conversation.messages],
            waiting=[
                ToolCallResponse.model_validate(call, from_attributes=True)
                for call in conversation.waiting
            ],
            approval=None
            if conversation.approval is None
            else ApprovalResponse.from_approval(conversation.approval),
        )
