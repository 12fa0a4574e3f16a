"""Reports of evaluations as text tables, with one column for each variant."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Final

from backend.ai.answer_scores import CITED, F1, SCORE_NAMES
from backend.services.agent.domain.evaluation.evaluations import EvaluatedAnswer, EvaluationSummary

_MAX_CELL_CHARACTERS: Final = 32
_MAX_ERROR_LINES: Final = 50
_NO_VALUE: Final = "-"


def format_report(evaluation: EvaluationSummary, answers: Sequence[EvaluatedAnswer]) -> str:
    """Return the report of an evaluation: totals of each variant, then the answers by question."""
    question_count = len({answer.question_number for answer in answers})
    lines = [
        f"{evaluation.id}  {evaluation.created_at:%Y-%m-%d %H:%M}  {evaluation.file}",
        f"{question_count} of {evaluation.questions} questions, {evaluation.status}",
        "",
        *_format_table(list(_create_totals_rows(evaluation, answers))),
        "",
        *_format_table(list(_create_question_rows(evaluation, answers))),
    ]
    lines += _create_error_lines(evaluation, answers)
    if len(evaluation.variants) > 1:
        lines += ["", *_create_comparison_lines(evaluation, answers)]
    return "\n".join(lines) + "\n"


def format_evaluation_list(evaluations: Sequence[EvaluationSummary]) -> str:
    """Return a table with one line for each evaluation."""
    rows = [("id", "when", "status", "questions", "file", "variants")]
    rows += [
        (
            evaluation.id,
            f"{evaluation.created_at:%Y-%m-%d %H:%M}",
            evaluation.status,
            str(evaluation.questions),
            evaluation.file,
            ", ".join(evaluation.variants),
        )
        for evaluation in evaluations
    ]
    return "\n".join(_format_table(rows)) + "\n"


def format_comparison(rows: Iterable[tuple[str, str, str]]) -> str:
    """Return a table of names and two values; rows with different values are marked with *."""
    marked = [(name, first, second, "" if first == second else "*") for name, first, second in rows]
    return "\n".join(_format_table(marked)) + "\n"


def _create_totals_rows(
    evaluation: EvaluationSummary, answers: Sequence[EvaluatedAnswer]
) -> Iterator[Sequence[str]]:
    """Yield a row for each metric, with a column for each variant."""
    columns = [
        [answer for answer in answers if answer.variant_number == variant_number]
        for variant_number in range(len(evaluation.variants))
    ]

    def row(name: str, to_cell: Callable[[Sequence[EvaluatedAnswer]], str]) -> Sequence[str]:
        return [name, *(to_cell(column) if column else _NO_VALUE for column in columns)]

    yield ["", *evaluation.variants]
    for score in SCORE_NAMES:
        if score != CITED or any(CITED in answer.scores for answer in answers):
            yield row(score, lambda column, score=score: _format_mean_score(column, score))  # type: ignore[misc]
    for score in _list_metric_names(answers):
        yield row(score, lambda column, score=score: _format_mean_score(column, score))  # type: ignore[misc]
    if any(answer.metric_errors for answer in answers):
        yield row(
            "metric errors",
            lambda column: str(sum(len(answer.metric_errors) for answer in column)),
        )
    yield row("failed", lambda column: str(sum(answer.error is not None for answer in column)))
    yield row("tokens read", lambda column: str(sum(answer.prompt_tokens for answer in column)))
    yield row(
        "tokens written", lambda column: str(sum(answer.completion_tokens for answer in column))
    )
    yield row("cost", _format_cost)
    yield row("latency p50", lambda column: f"{_get_latency_percentile(column, 0.50)} ms")
    yield row("latency p99", lambda column: f"{_get_latency_percentile(column, 0.99)} ms")


def _list_metric_names(answers: Sequence[EvaluatedAnswer]) -> Sequence[str]:
    """Return the names of metrics of installed packages, also of those that always failed."""
    names = {name for answer in answers for name in (*answer.scores, *answer.metric_errors)}
    return sorted(names - set(SCORE_NAMES))


def _create_error_lines(
    evaluation: EvaluationSummary, answers: Sequence[EvaluatedAnswer]
) -> Iterator[str]:
    """Yield a line for each failed metric of an answer, up to a limit."""
    lines = [
        f"#{answer.question_number + 1}  {evaluation.variants[answer.variant_number]}  "
        f"{name}: {error}"
        for answer in answers
        for name, error in sorted(answer.metric_errors.items())
    ]
    if lines:
        yield ""
        yield from lines[:_MAX_ERROR_LINES]
    if len(lines) > _MAX_ERROR_LINES:
        yield f"and {len(lines) - _MAX_ERROR_LINES} more metric errors"


def _create_question_rows(
    evaluation: EvaluationSummary, answers: Sequence[EvaluatedAnswer]
) -> Iterator[Sequence[str]]:
    """Yield a row for each question: the expected answer, and each variant's answer with its F1."""
    headings = [heading for name in evaluation.variants for heading in (name, F1)]
    yield ["#", "question", "expected", *headings]
    answers_by_number = _group_by_number(answers)
    for number in sorted({answer.question_number for answer in answers}):
        row = [
            answers_by_number.get((number, variant_number))
            for variant_number in range(len(evaluation.variants))
        ]
        first = next(answer for answer in row if answer is not None)
        cells = [cell for answer in row for cell in _format_answer(answer)]
        yield [str(number + 1), _shorten(first.question), _shorten(first.expected), *cells]


def _create_comparison_lines(
    evaluation: EvaluationSummary, answers: Sequence[EvaluatedAnswer]
) -> Iterator[str]:
    """Yield a line for each further variant: how often it scored better or worse than the first."""
    answers_by_number = _group_by_number(answers)
    for variant_number, name in enumerate(evaluation.variants[1:], 1):
        pairs = [
            (
                answers_by_number[number, 0].scores[F1],
                answers_by_number[number, variant_number].scores[F1],
            )
            for number in range(evaluation.questions)
            if (number, 0) in answers_by_number and (number, variant_number) in answers_by_number
        ]
        better = sum(second > first for first, second in pairs)
        worse = sum(second < first for first, second in pairs)
        yield (
            f"{name} against {evaluation.variants[0]} by {F1}: "
            f"{better} better, {worse} worse, {len(pairs) - better - worse} alike"
        )


def _group_by_number(
    answers: Sequence[EvaluatedAnswer],
) -> Mapping[tuple[int, int], EvaluatedAnswer]:
    """Return the answers by question and variant number."""
    return {(answer.question_number, answer.variant_number): answer for answer in answers}


def _format_mean_score(column: Sequence[EvaluatedAnswer], score: str) -> str:
    scores = [answer.scores[score] for answer in column if score in answer.scores]
    return f"{sum(scores) / len(scores):.1%}" if scores else _NO_VALUE


def _format_cost(column: Sequence[EvaluatedAnswer]) -> str:
    costs = [answer.cost for answer in column if answer.cost is not None]
    return f"{sum(costs):.4f}" if costs else _NO_VALUE


def _get_latency_percentile(column: Sequence[EvaluatedAnswer], quantile: float) -> int:
    latencies = sorted(answer.took_ms for answer in column)
    return latencies[max(0, ceil(len(latencies) * quantile) - 1)]


def _format_answer(answer: EvaluatedAnswer | None) -> tuple[str, str]:
    if answer is None:
        return _NO_VALUE, _NO_VALUE
    text = f"({answer.error})" if answer.error else _shorten(answer.answer)
    return text, f"{answer.scores[F1]:.2f}"


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_CELL_CHARACTERS else f"{line[: _MAX_CELL_CHARACTERS - 1]}…"


def _format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
