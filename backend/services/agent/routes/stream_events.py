"""Conversion of the events of an answer to named server-sent events."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from backend.services.agent.domain.answers.events import (
    Answer,
    RunProgress,
    RunStarted,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolEnded,
    ToolStarted,
)
from backend.services.agent.routes.schemas import QueryResponse
from backend.services.agent.routes.stream_responses import to_problem_document

SseEvent = tuple[str, Mapping[str, Any]]


def to_sse_events(event: StreamEvent | Exception) -> Iterator[SseEvent]:
    """Yield the server-sent events for *event*, as pairs of name and data."""
    match event:
        case RunStarted():
            yield "session", _session_data(event)
        case TextDelta(text):
            yield "token", {"text": text}
        case ToolStarted(call):
            yield "tool_start", _tool_call_data(call) | {"arguments": call.arguments}
        case ToolEnded(call, result, took_ms):
            yield "tool_end", _tool_call_data(call) | {"status": result.status, "took_ms": took_ms}
        case RunProgress():
            yield "progress", asdict(event)
        case Answer():
            yield from _final_events(QueryResponse.from_answer(event))
        case Exception():
            yield "error", to_problem_document(event)


def _session_data(event: RunStarted) -> dict[str, str]:
    return {
        "session_id": event.conversation_id,
        "run_id": event.run_id,
        "message_id": event.message_id,
        "parent_id": event.parent_id,
    }


def _tool_call_data(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "tool": call.tool}


def _final_events(answer: QueryResponse) -> Iterator[SseEvent]:
    document = answer.model_dump(mode="json")
    yield "citations", {"citations": document["citations"]}
    if document["waiting"]:
        yield "approval", {name: document[name] for name in ("approval", "waiting")}
    yield "done", document
