"""Run a recorded run again: the same inputs, and tools that give back what was recorded."""

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from backend.chassis.web.problems import ServiceError
from backend.services.agent.clients.runs import Outcome, Setting, Tool
from backend.services.agent.domain.answers import Answers
from backend.services.agent.domain.events import Answer
from backend.services.agent.domain.records import Record, Used
from backend.services.agent.errors import ToolRefused

__all__ = ["AnswersWith", "Side", "Tool", "as_it_was", "run_again"]

_NOT_RECORDED = "This call was not made in the recorded run, so it has no outcome here."

# Answers with these tools in the place of its own.
AnswersWith = Callable[[Sequence[Tool]], Answers]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs that are compared: as it was, or as it went again."""

    model: str
    finish_reason: str
    steps: Sequence[str]
    text: str
    prompt_tokens: int
    completion_tokens: int
    took_ms: int


def as_it_was(record: Record) -> Side:
    """The recorded run."""
    return Side(
        record.model,
        record.finish_reason,
        [_step(each.call.tool, each.call.arguments, each.outcome.failed) for each in record.used],
        record.text,
        record.prompt_tokens,
        record.completion_tokens,
        record.took_ms,
    )


def run_again(
    record: Record, tools: Sequence[Tool], answers_with: AnswersWith, model: str | None
) -> Side:
    """The run of *record* once more, on *model* or its own; no tool does anything again."""
    run = record.run if model is None else replace(record.run, model=model)
    answering = answers_with([_recorded(tool, record.used) for tool in tools])
    try:
        with closing(answering.once(run)) as told:
            answer = next(each for each in told if isinstance(each, Answer))
    except ServiceError as error:
        return Side(run.model, error.code, (), str(error), 0, 0, 0)
    waiting = [_step(call.tool, call.arguments, failed=False) for call in answer.waiting]
    steps = [_step(each.tool, each.arguments, each.status != "ok") for each in answer.steps]
    return Side(
        answer.model,
        answer.finish_reason,
        [*steps, *(f"{step}, waits for approval" for step in waiting)],
        answer.text,
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.took_ms,
    )


def _recorded(tool: Tool, used: Sequence[Used]) -> Tool:
    """*tool*, giving back in order what was recorded for the same arguments."""
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for each in used:
        if each.call.tool == tool.name:
            with suppress(ToolRefused):  # it was refused then, and will be again
                outcomes[_written(tool.arguments.checked(each.call.arguments))].append(each.outcome)
    return replace(tool, run=_giving_back(outcomes))


def _giving_back(
    outcomes: Mapping[str, list[Outcome]],
) -> Callable[[Any, Setting], Awaitable[Outcome]]:
    async def run(arguments: Any, _: Setting) -> Outcome:
        kept = outcomes.get(_written(arguments), [])
        if not kept:
            return Outcome(_NOT_RECORDED, status="error")
        # Asked more often than it was, it goes on to say what it said last.
        return kept.pop(0) if len(kept) > 1 else kept[0]

    return run


def _written(arguments: Any) -> str:
    """*arguments* as a tool takes them, with all defaults: two ways to say the same are one."""
    plain = arguments.model_dump() if isinstance(arguments, BaseModel) else arguments
    return json.dumps(plain, sort_keys=True, default=str)


def _step(tool: str, arguments: Mapping[str, Any], failed: bool) -> str:
    written = json.dumps(arguments, ensure_ascii=False, sort_keys=True)
    return f"{tool} {written}{' failed' if failed else ''}"
