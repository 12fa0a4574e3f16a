"""Events that the agent publishes. They contain no text of conversations."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from backend.chassis.messaging.event_types import EventData, Id


class RunStarted(EventData):
    """A run has started to answer a request in a conversation."""

    event_type: ClassVar[str] = "agent.run-started"

    run_id: Id
    conversation_id: Id
    message_id: Annotated[str, Field(description="Id of the answer that the run writes.")]
    user_id: Id


RunStatus = Literal["done", "failed", "cancelled", "waiting"]


class RunFinished(EventData):
    """A run has ended. The answer is in its conversation, unless that was deleted."""

    event_type: ClassVar[str] = "agent.run-finished"

    run_id: Id
    conversation_id: Id
    message_id: Id
    user_id: Id
    status: Annotated[
        RunStatus, Field(description="`waiting`: the user has to approve a tool call.")
    ]
    finish_reason: str
    model: str
    prompt_tokens: Annotated[int, Field(ge=0)]
    completion_tokens: Annotated[int, Field(ge=0)]
    took_ms: Annotated[int, Field(ge=0)]


DriftKind = Literal["jump", "trend"]


class DriftDetected(EventData):
    """Recent answers differ from what was usual. Published at most once a day for each series."""

    event_type: ClassVar[str] = "agent.drift-detected"

    finding_id: Id
    series: Annotated[str, Field(description="Such as `latency` or `refusal_rate`.")]
    unit: str
    kind: Annotated[
        DriftKind,
        Field(description="`jump`: within hours; `trend`: over four weeks."),
    ]
    hour: Annotated[datetime, Field(description="Start of the hour (UTC) that was assessed.")]
    value: float
    expected: float
    change: Annotated[float | None, Field(description="Relative change; null if `expected` is 0.")]
    basis: Annotated[str, Field(description="Hours from which `expected` was learned.")]
    requests: Annotated[
        int | None, Field(description="Number of requests of a jump; null for a trend.")
    ]


EVENTS: tuple[type[EventData], ...] = (RunStarted, RunFinished, DriftDetected)
