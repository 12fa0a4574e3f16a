"""Select the parts of document chunks that a small language model reads to answer a question.

A small model on a CPU reads about fifty tokens a second, so it gets the best sentences with their
neighbours instead of complete chunks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic

from backend.ai.chunk_statements import ChunkT, find_chunk_statements
from backend.ai.sentence_ranking import ScoredSentence
from backend.ai.text.statements import Statement
from backend.ai.text.token_estimates import estimate_tokens

MAX_SENTENCES: Final = 3
# Of one table, more rows are useful, because rows are short and look alike to the ranking.
_MAX_ROWS: Final = 8
# Neighbours of a sentence are added in this order: what follows a statement usually explains it.
_NEIGHBOURS: Final = (1, -1)


@dataclass(frozen=True, slots=True)
class PassageWindow(Generic[ChunkT]):
    """Consecutive sentences of a chunk; `text` also contains the heading above them."""

    chunk: ChunkT
    text: str


def select_windows(
    ranked: Sequence[ScoredSentence[ChunkT]],
    chunks: Sequence[ChunkT],
    max_tokens: int,
    max_sentences: int = MAX_SENTENCES,
) -> list[PassageWindow[ChunkT]]:
    """Return windows of at most *max_tokens* around the best sentences, in the order of *chunks*.

    Args:
        ranked: the sentences of *chunks*, best first.
        chunks: search hits, best first. If all of them fit, they are returned as they are.
        max_tokens: estimated tokens of all windows together.
        max_sentences: sentences of *ranked* that windows are made of. More of them help if their
            order is unreliable.
    """
    texts = {chunk.text: chunk for chunk in chunks}
    if sum(map(estimate_tokens, texts)) <= max_tokens:
        return [PassageWindow(chunk, text.strip()) for text, chunk in texts.items()]
    selection = _Selection[ChunkT](chunks, max_tokens)
    best = _select_best(ranked, max_sentences)
    for sentence in best:
        selection.add(sentence.chunk, sentence.statement.start)
    for offset in _NEIGHBOURS:
        for sentence in best:
            if not sentence.statement.cells:
                selection.add(sentence.chunk, sentence.statement.start, offset)
    return selection.build_windows()


def _select_best(
    ranked: Sequence[ScoredSentence[ChunkT]], count: int
) -> list[ScoredSentence[ChunkT]]:
    """Return the best sentences; table rows follow if the first sentence is one."""
    if not ranked or not ranked[0].statement.cells:
        return list(ranked[:count])
    rows = [sentence for sentence in ranked if sentence.statement.cells]
    return [*rows[:_MAX_ROWS], *ranked[:count]]


class _Selection(Generic[ChunkT]):
    """Statements that were selected by chunk, within a limit of tokens."""

    def __init__(self, chunks: Sequence[ChunkT], max_tokens: int) -> None:
        self._chunks = chunks
        self._remaining_tokens = max_tokens
        self._statements: dict[int, list[Statement]] = {}
        self._selected: dict[int, set[int]] = {}

    def add(self, chunk: ChunkT, start: int, offset: int = 0) -> None:
        """Select the statement at *start* of *chunk*, or the one *offset* after it, if it fits."""
        statements = self._statements.setdefault(id(chunk), find_chunk_statements(chunk))
        index = next((i for i, statement in enumerate(statements) if statement.start == start), -1)
        index += offset
        selected = self._selected.setdefault(id(chunk), set())
        if index < 0 or index >= len(statements) or index in selected:
            return
        tokens = estimate_tokens(_get_text(statements[index]))
        if tokens <= self._remaining_tokens or not any(self._selected.values()):
            self._remaining_tokens -= tokens
            selected.add(index)

    def build_windows(self) -> list[PassageWindow[ChunkT]]:
        """Return the windows of each chunk in the order of its text."""
        windows = []
        for chunk in self._chunks:
            selected = self._selected.pop(id(chunk), set())
            statements = self._statements.get(id(chunk), [])
            windows += [
                PassageWindow(chunk, _join([statements[index] for index in run]))
                for run in _group_consecutive(sorted(selected))
            ]
        return windows


def _group_consecutive(indexes: Sequence[int]) -> list[list[int]]:
    groups: list[list[int]] = []
    for index in indexes:
        if groups and groups[-1][-1] == index - 1:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _join(statements: Sequence[Statement]) -> str:
    """Return *statements* below the heading of the first."""
    lines = [statements[0].heading] if statements[0].heading else []
    return "\n".join([*lines, *map(_get_text, statements)])


def _get_text(statement: Statement) -> str:
    """Return the text of *statement*; cells of a table row with the names of their columns."""
    return statement.text_in_context if statement.columns else " ".join(statement.text.split())
