"""Command `evaluate`: run an evaluation, show its progress and print its report."""

import sys
from collections.abc import Sequence
from pathlib import Path

from backend.services.agent.domain.answers.events import Caller
from backend.services.agent.domain.evaluation.evaluations import (
    EvaluatedAnswer,
    EvaluationService,
    Variant,
)
from backend.services.agent.domain.evaluation.metrics import EvaluationMetric
from backend.services.agent.domain.evaluation.question_files import EvaluationQuestion
from backend.services.agent.domain.evaluation.reports import format_evaluation_list, format_report

_MAX_LISTED = 50
_INTERRUPTED_EXIT_CODE = 130


def run_evaluation(
    evaluations: EvaluationService,
    file: Path,
    questions: Sequence[EvaluationQuestion],
    variants: Sequence[Variant],
    caller: Caller,
    metrics: Sequence[EvaluationMetric],
) -> int:
    """Run an evaluation, print its report and return the exit code.

    After an interrupt (Ctrl-C), the answers so far stay stored and are printed.
    """
    summary = evaluations.create_evaluation(file.name, len(questions), variants)
    total, done, exit_code = len(questions) * len(variants), 0, 0
    try:
        for answer in evaluations.run_evaluation(summary, questions, variants, caller, metrics):
            done += 1
            _print_progress(done, total, answer, variants[answer.variant_number])
    except KeyboardInterrupt:
        exit_code = _INTERRUPTED_EXIT_CODE
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    print_evaluation(evaluations, summary.id)
    return exit_code


def print_evaluation(evaluations: EvaluationService, evaluation_id: str) -> int:
    """Print the report of an evaluation. Return 1 if there is none with this id."""
    evaluation = evaluations.get_evaluation(evaluation_id)
    if evaluation is None:
        sys.stderr.write(
            f"There is no evaluation {evaluation_id!r}. List them with evaluate --list.\n"
        )
        return 1
    sys.stdout.write(format_report(*evaluation))
    return 0


def print_evaluations(evaluations: EvaluationService) -> int:
    """Print the latest evaluations."""
    sys.stdout.write(format_evaluation_list(evaluations.list_evaluations(_MAX_LISTED)))
    return 0


def _print_progress(done: int, total: int, answer: EvaluatedAnswer, variant: Variant) -> None:
    line = f"{done}/{total}  {variant.label}  {answer.took_ms} ms  {answer.error or 'answered'}"
    for name, error in answer.metric_errors.items():
        line += f"; {name}: {error}"
    # A terminal shows one line that is overwritten; a file gets one line per answer.
    sys.stderr.write(f"\r\x1b[K{line}" if sys.stderr.isatty() else f"{line}\n")
    sys.stderr.flush()
