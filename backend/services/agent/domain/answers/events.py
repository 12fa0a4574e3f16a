"""Events of an answer: start of the run, text, tool calls and the complete answer."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from backend.ai.citations import Citation
from backend.services.agent.domain.conversations.approvals import Approval
from backend.services.agent.domain.conversations.run_leases import Step
from backend.services.agent.model import (
    Caller,
    ClientToolCalls,
    HistoryMessage,
    IdleEvent,
    RunProgress,
    TextDelta,
    ToolCall,
    ToolEnded,
    ToolStarted,
)

__all__ = [
    "Answer",
    "Caller",
    "ClientToolCalls",
    "HistoryMessage",
    "IdleEvent",
    "RunProgress",
    "RunStarted",
    "StreamEvent",
    "StreamEvents",
    "TextDelta",
    "ToolCall",
    "ToolEnded",
    "ToolStarted",
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run has acquired the lease. It answers the message `parent_id` in `message_id`."""

    conversation_id: str
    run_id: str
    message_id: str
    parent_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. `waiting` are tool calls that wait for the user's approval."""

    text: str
    conversation_id: str | None
    citations: Sequence[Citation]
    steps: Sequence[Step]
    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    took_ms: int
    waiting: Sequence[ToolCall] = ()
    message_id: str | None = None
    approval: Approval | None = None


StreamEvent = (
    RunStarted
    | TextDelta
    | ToolStarted
    | ToolEnded
    | ClientToolCalls
    | RunProgress
    | IdleEvent
    | Answer
)

# Events of one answer. Closing the generator cancels the answer.
StreamEvents = Generator[StreamEvent]
