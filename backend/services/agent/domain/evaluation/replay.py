"""Repeat a recorded run with the same input and tools that return the recorded results."""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from backend.chassis.web.problems import ServiceError
from backend.services.agent.domain.answers.events import Answer
from backend.services.agent.domain.answers.run_records import RecordedRun, RecordedToolCall
from backend.services.agent.domain.answers.service import AnswerService
from backend.services.agent.errors import ToolRefused
from backend.services.agent.model import Tool, ToolContext, ToolResult

__all__ = ["CreateAnswerService", "RunSummary", "Tool", "repeat_run", "summarize_record"]

_NOT_RECORDED = "This call was not made in the recorded run, so no result is available."

# Creates an answer service that uses the given tools instead of its own.
CreateAnswerService = Callable[[Sequence[Tool]], AnswerService]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Summary of the recorded or the repeated run, for comparison."""

    model: str
    finish_reason: str
    steps: Sequence[str]
    text: str
    prompt_tokens: int
    completion_tokens: int
    took_ms: int


def summarize_record(record: RecordedRun) -> RunSummary:
    """Return the summary of the recorded run."""
    return RunSummary(
        record.model,
        record.finish_reason,
        [
            _format_step(call.call.tool, call.call.arguments, call.result.failed)
            for call in record.tool_calls
        ],
        record.text,
        record.prompt_tokens,
        record.completion_tokens,
        record.took_ms,
    )


def repeat_run(
    record: RecordedRun,
    tools: Sequence[Tool],
    create_answer_service: CreateAnswerService,
    model: str | None,
) -> RunSummary:
    """Repeat the run of *record* and return its summary. Tools have no side effects.

    Args:
        model: None for the recorded model.
    """
    run = replace(record.run_request, request_type="replay")
    if model is not None:
        run = replace(run, model=model)
    answer_service = create_answer_service(
        [_create_replay_tool(tool, record.tool_calls) for tool in tools]
    )
    try:
        with closing(answer_service.answer_without_conversation(run)) as events:
            answer = next(event for event in events if isinstance(event, Answer))
    except ServiceError as error:
        return RunSummary(run.model, error.code, (), str(error), 0, 0, 0)
    waiting = [_format_step(call.tool, call.arguments, failed=False) for call in answer.waiting]
    steps = [_format_step(step.tool, step.arguments, step.status != "ok") for step in answer.steps]
    return RunSummary(
        answer.model,
        answer.finish_reason,
        [*steps, *(f"{step}, waits for approval" for step in waiting)],
        answer.text,
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.took_ms,
    )


def _create_replay_tool(tool: Tool, recorded_calls: Sequence[RecordedToolCall]) -> Tool:
    """Return *tool* with a function that returns the recorded results of equal calls in order."""
    results: dict[str, list[ToolResult]] = defaultdict(list)
    for recorded_call in recorded_calls:
        if recorded_call.call.tool == tool.name:
            # A refused call has no result; it will be refused again.
            with suppress(ToolRefused):
                arguments = tool.arguments.validate(recorded_call.call.arguments)
                results[_serialize_arguments(arguments)].append(recorded_call.result)
    return replace(tool, run=_create_replay_function(results))


def _create_replay_function(
    results: Mapping[str, list[ToolResult]],
) -> Callable[[Any, ToolContext], Awaitable[ToolResult]]:
    async def run(arguments: Any, _: ToolContext) -> ToolResult:
        recorded = results.get(_serialize_arguments(arguments), [])
        if not recorded:
            return ToolResult(_NOT_RECORDED, status="error")
        # Calls beyond the recorded ones return the last recorded result.
        return recorded.pop(0) if len(recorded) > 1 else recorded[0]

    return run


def _serialize_arguments(arguments: Any) -> str:
    """Return validated *arguments* as JSON with all defaults, so equivalent calls are equal."""
    plain = arguments.model_dump() if isinstance(arguments, BaseModel) else arguments
    return json.dumps(plain, sort_keys=True, default=str)


def _format_step(tool: str, arguments: Mapping[str, Any], failed: bool) -> str:
    serialized = json.dumps(arguments, ensure_ascii=False, sort_keys=True)
    return f"{tool} {serialized}{' failed' if failed else ''}"
