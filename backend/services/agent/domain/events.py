"""What is told while an answer is being written, and the answer at its end."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from backend.ai.citations import Citation
from backend.services.agent.clients.runs import (
    Call,
    Called,
    Caller,
    Idle,
    Said,
    Text,
    ToolEnded,
    ToolStarted,
)
from backend.services.agent.domain.approvals import Approval
from backend.services.agent.domain.turns import Step

__all__ = [
    "Answer",
    "Begun",
    "Call",
    "Called",
    "Caller",
    "Idle",
    "Said",
    "Telling",
    "Text",
    "Told",
    "ToolEnded",
    "ToolStarted",
]


@dataclass(frozen=True, slots=True)
class Begun:
    """A run holds its conversation: it answers the message `parent_id` in `message_id`."""

    conversation_id: str
    run_id: str
    message_id: str
    parent_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with what it rests on; `waiting` are calls that a person has to decide."""

    text: str
    conversation_id: str | None
    citations: Sequence[Citation]
    steps: Sequence[Step]
    model: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    took_ms: int
    waiting: Sequence[Call] = ()
    message_id: str | None = None
    approval: Approval | None = None


Told = Begun | Text | ToolStarted | ToolEnded | Called | Idle | Answer

# Closing it cancels the answer.
Telling = Generator[Told]
