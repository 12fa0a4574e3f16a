"""Command `replay`: repeat a recorded run and print both runs side by side."""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from backend.services.agent.domain.answers.events import Caller
from backend.services.agent.domain.answers.run_records import RunRecordService
from backend.services.agent.domain.evaluation.replay import (
    CreateAnswerService,
    RunSummary,
    Tool,
    repeat_run,
    summarize_record,
)
from backend.services.agent.domain.evaluation.reports import format_comparison


def replay_run(
    records: RunRecordService,
    run_id: str,
    list_tools: Callable[[Caller], Sequence[Tool]],
    create_answer_service: CreateAnswerService,
    model: str | None,
) -> int:
    """Repeat a recorded run and print both. Return 1 if the run has no record.

    Args:
        model: the model to use; None for the recorded one.
    """
    record = records.find_record(run_id)
    if record is None:
        sys.stderr.write(
            f"There is no record of the run {run_id!r}. Records are deleted with their session, "
            "and each session keeps only the records of its latest runs.\n"
        )
        return 1
    tools = list_tools(record.run_request.tool_context.caller)
    recorded, repeated = (
        summarize_record(record),
        repeat_run(record, tools, create_answer_service, model),
    )
    sys.stdout.write(f"{run_id}  {record.created_at:%Y-%m-%d %H:%M}\n\n")
    sys.stdout.write(format_comparison(_format_rows(recorded, repeated)))
    for name, side in (("recorded", recorded), ("again", repeated)):
        sys.stdout.write(f"\n{name}:\n{side.text}\n")
    return 0


def _format_rows(recorded: RunSummary, repeated: RunSummary) -> Iterator[tuple[str, str, str]]:
    yield "", "recorded", "again"
    yield "model", recorded.model, repeated.model
    yield "finish reason", recorded.finish_reason, repeated.finish_reason
    for number, (recorded_step, repeated_step) in enumerate(
        zip_longest(recorded.steps, repeated.steps), 1
    ):
        yield f"step {number}", recorded_step or "-", repeated_step or "-"
    yield "prompt tokens", str(recorded.prompt_tokens), str(repeated.prompt_tokens)
    yield "completion tokens", str(recorded.completion_tokens), str(repeated.completion_tokens)
    yield "duration", f"{recorded.took_ms} ms", f"{repeated.took_ms} ms"
