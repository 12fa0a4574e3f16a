"""Variants of an evaluation side by side, as text for a terminal."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil
from typing import Final

from backend.services.agent.domain.evaluation import Given, Outline
from backend.services.agent.domain.scores import ALL, CITED, F1

_SHOWN: Final = 32
_NONE: Final = "-"


def report(outline: Outline, answers: Sequence[Given]) -> str:
    """The whole evaluation: totals of each variant, then each question with what was answered."""
    asked = len({each.question_number for each in answers})
    lines = [
        f"{outline.id}  {outline.created_at:%Y-%m-%d %H:%M}  {outline.file}",
        f"{asked} of {outline.questions} questions, {outline.status}",
        "",
        *_table(list(_totals(outline, answers))),
        "",
        *_table(list(_questions(outline, answers))),
    ]
    if len(outline.variants) > 1:
        lines += ["", *_duels(outline, answers)]
    return "\n".join(lines) + "\n"


def listed(outlines: Sequence[Outline]) -> str:
    """One line for each evaluation."""
    rows = [("id", "when", "status", "questions", "file", "variants")]
    rows += [
        (
            each.id,
            f"{each.created_at:%Y-%m-%d %H:%M}",
            each.status,
            str(each.questions),
            each.file,
            ", ".join(each.variants),
        )
        for each in outlines
    ]
    return "\n".join(_table(rows)) + "\n"


def side_by_side(rows: Iterable[tuple[str, str, str]]) -> str:
    """Rows of a name and two values that are compared; those that differ are marked."""
    marked = [(name, first, second, "" if first == second else "*") for name, first, second in rows]
    return "\n".join(_table(marked)) + "\n"


def _totals(outline: Outline, answers: Sequence[Given]) -> Iterator[Sequence[str]]:
    """A row for each number, a column for each variant."""
    columns = [
        [each for each in answers if each.variant_number == place]
        for place in range(len(outline.variants))
    ]

    def row(name: str, value: Callable[[Sequence[Given]], str]) -> Sequence[str]:
        return [name, *(value(column) if column else _NONE for column in columns)]

    yield ["", *outline.variants]
    for score in ALL:
        if score != CITED or any(CITED in each.scores for each in answers):
            yield row(score, lambda column, score=score: _share(column, score))  # type: ignore[misc]
    yield row("failed", lambda column: str(sum(each.error is not None for each in column)))
    yield row("tokens read", lambda column: str(sum(each.prompt_tokens for each in column)))
    yield row("tokens written", lambda column: str(sum(each.completion_tokens for each in column)))
    yield row("cost", _cost)
    yield row("latency p50", lambda column: f"{_percentile(column, 0.50)} ms")
    yield row("latency p99", lambda column: f"{_percentile(column, 0.99)} ms")


def _questions(outline: Outline, answers: Sequence[Given]) -> Iterator[Sequence[str]]:
    """A row for each question: what is right, and each variant's answer with its F1."""
    heads = [word for name in outline.variants for word in (name, F1)]
    yield ["#", "question", "expected", *heads]
    by_place = {(each.question_number, each.variant_number): each for each in answers}
    for number in sorted({each.question_number for each in answers}):
        row = [by_place.get((number, place)) for place in range(len(outline.variants))]
        first = next(each for each in row if each is not None)
        cells = [word for each in row for word in _answered(each)]
        yield [str(number + 1), _short(first.question), _short(first.expected), *cells]


def _duels(outline: Outline, answers: Sequence[Given]) -> Iterator[str]:
    """How often each further variant did better and worse than the first."""
    by_place = {(each.question_number, each.variant_number): each for each in answers}
    for place, name in enumerate(outline.variants[1:], 1):
        pairs = [
            (by_place[number, 0].scores[F1], by_place[number, place].scores[F1])
            for number in range(outline.questions)
            if (number, 0) in by_place and (number, place) in by_place
        ]
        better = sum(second > first for first, second in pairs)
        worse = sum(second < first for first, second in pairs)
        yield (
            f"{name} against {outline.variants[0]} by {F1}: "
            f"{better} better, {worse} worse, {len(pairs) - better - worse} alike"
        )


def _share(column: Sequence[Given], score: str) -> str:
    found = [each.scores[score] for each in column if score in each.scores]
    return f"{sum(found) / len(found):.1%}" if found else _NONE


def _cost(column: Sequence[Given]) -> str:
    known = [each.cost for each in column if each.cost is not None]
    return f"{sum(known):.4f}" if known else _NONE


def _percentile(column: Sequence[Given], share: float) -> int:
    times = sorted(each.took_ms for each in column)
    return times[max(0, ceil(len(times) * share) - 1)]


def _answered(given: Given | None) -> tuple[str, str]:
    if given is None:
        return _NONE, _NONE
    told = f"({given.error})" if given.error else _short(given.answer)
    return told, f"{given.scores[F1]:.2f}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
