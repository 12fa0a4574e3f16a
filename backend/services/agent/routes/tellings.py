"""What is told of an answer, as events with names."""

from collections.abc import Iterator, Mapping
from typing import Any

from backend.services.agent.domain.events import (
    Answer,
    Begun,
    Call,
    Text,
    Told,
    ToolEnded,
    ToolStarted,
)
from backend.services.agent.routes.shapes import QueryAnswer
from backend.services.agent.routes.streams import failure

Event = tuple[str, Mapping[str, Any]]


def as_events(told: Told | Exception) -> Iterator[Event]:
    """The events that tell *told*, in order."""
    match told:
        case Begun():
            yield "session", _session(told)
        case Text(text):
            yield "token", {"text": text}
        case ToolStarted(call):
            yield "tool_start", _call(call) | {"arguments": call.arguments}
        case ToolEnded(call, outcome, took_ms):
            yield "tool_end", _call(call) | {"status": outcome.status, "took_ms": took_ms}
        case Answer():
            yield from _end(QueryAnswer.of(told))
        case Exception():
            yield "error", failure(told)


def _session(begun: Begun) -> dict[str, str]:
    return {
        "session_id": begun.conversation_id,
        "run_id": begun.run_id,
        "message_id": begun.message_id,
        "parent_id": begun.parent_id,
    }


def _call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "tool": call.tool}


def _end(answer: QueryAnswer) -> Iterator[Event]:
    document = answer.model_dump(mode="json")
    yield "citations", {"citations": document["citations"]}
    if document["waiting"]:
        yield "approval", {name: document[name] for name in ("approval", "waiting")}
    yield "done", document
