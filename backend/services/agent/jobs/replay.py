"""`replay`: run a recorded run again, and print both side by side."""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from backend.services.agent.domain.comparison import side_by_side
from backend.services.agent.domain.events import Caller
from backend.services.agent.domain.records import Records
from backend.services.agent.domain.replay import AnswersWith, Side, Tool, as_it_was, run_again


def play_again(
    records: Records,
    run_id: str,
    tools_of: Callable[[Caller], Sequence[Tool]],
    answers_with: AnswersWith,
    model: str | None,
) -> int:
    """Print what was and what came now; 1 if the run has no record."""
    record = records.find(run_id)
    if record is None:
        sys.stderr.write(
            f"There is no record of the run {run_id!r}. Records go with their session, and "
            "each session keeps those of its latest runs.\n"
        )
        return 1
    tools = tools_of(record.run.setting.caller)
    was, again = as_it_was(record), run_again(record, tools, answers_with, model)
    sys.stdout.write(f"{run_id}  {record.created_at:%Y-%m-%d %H:%M}\n\n")
    sys.stdout.write(side_by_side(_rows(was, again)))
    for name, side in (("recorded", was), ("again", again)):
        sys.stdout.write(f"\n{name}:\n{side.text}\n")
    return 0


def _rows(was: Side, again: Side) -> Iterator[tuple[str, str, str]]:
    yield "", "recorded", "again"
    yield "model", was.model, again.model
    yield "ended", was.finish_reason, again.finish_reason
    for number, (first, second) in enumerate(zip_longest(was.steps, again.steps), 1):
        yield f"step {number}", first or "-", second or "-"
    yield "tokens read", str(was.prompt_tokens), str(again.prompt_tokens)
    yield "tokens written", str(was.completion_tokens), str(again.completion_tokens)
    yield "took", f"{was.took_ms} ms", f"{again.took_ms} ms"
