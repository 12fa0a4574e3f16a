"""Select the sentences of document chunks that answer a question, without a language model.

Every sentence gets two values. Its *score* says how well it answers in comparison to the other
sentences: similarity to the question, shared terms, and a number or name where the question asks
for one. Its *support* says how certain it is that the chunk is about the question at all. Weights
and thresholds are options, so that benchmarks can compare them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import chain
from math import log
from typing import Final, Generic, Protocol, TypeVar

from backend.ai.answer_types import match_answer_type, strip_source_phrase
from backend.ai.embedder import Embedder
from backend.ai.term_coverage import (
    compute_weighted_coverage,
    find_required_terms,
    find_shared_terms,
    is_named_in,
)
from backend.ai.text.sentences import MAX_SENTENCE_CHARS
from backend.ai.text.statements import Statement, find_statements
from backend.ai.text.terms import extract_terms

# Additional support of a line such as "Phone: 0221 4455" if the question contains its label, and
# of a table row if the question contains one of its cells and the name of another column.
_LABEL_BONUS: Final = 0.25
# Rows of a table that answer a question together.
_MAX_ROWS: Final = 10


class AnswerChunk(Protocol):
    """A part of a document: `text` is the document's text from position `start` on.

    `section` is the heading of the section that contains its start, and `headings` are those
    within it. `table_header` is the header row of the table that it continues, or "".
    """

    @property
    def document_id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def section(self) -> str: ...
    @property
    def headings(self) -> Sequence[str]: ...
    @property
    def table_header(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def text(self) -> str: ...


ChunkT = TypeVar("ChunkT", bound=AnswerChunk)


@dataclass(frozen=True, slots=True)
class ExtractionOptions:
    """Weights and thresholds of the selection.

    With *similarity* the cosine of question and sentence, and *shared* the share of the question's
    terms that the sentence contains, each weighted by its rarity among the sentences:

        score   = similarity + shared_terms_weight * shared + answer_type_weight * answer type
        support = similarity + shared_terms_support * shared + coverage_weight * coverage

    *answer type* is 1 if the sentence contains the number or name that the question asks for, 0 if
    it does not, and 0.5 if the question asks for neither. A line such as "Phone: 0221 4455" has
    additional support if the question contains its label, and a table row if the question contains
    a cell and the name of another column. *coverage* is the weighted share of the
    question's terms that the whole chunk contains. Sentences are ordered by
    score + chunk_rank_weight * rank, where *rank* falls from 1 for the first chunk towards 0.
    """

    # The first sentence, and every further one, needs this support.
    min_support: float
    # A further sentence needs this share of the first sentence's score, ...
    min_score_ratio: float = 0.0
    # ... and a score that is at most this much lower.
    max_score_gap: float = float("inf")
    max_sentences: int = 3
    shared_terms_weight: float = 0.0
    answer_type_weight: float = 0.0
    chunk_rank_weight: float = 0.0
    shared_terms_support: float = 0.0
    coverage_weight: float = 0.0
    # Longer sentences are cut at white space.
    max_sentence_chars: int = MAX_SENTENCE_CHARS


# Measured with `python -m benchmarks.rag.answers`, see ADR 43, and with
# `python -m benchmarks.agent.lite_answers`: one set of values serves both services, so that they
# answer the same questions.
ANSWER_OPTIONS: Final = ExtractionOptions(
    min_support=0.74,
    min_score_ratio=0.7,
    max_score_gap=0.35,
    shared_terms_weight=0.5,
    answer_type_weight=0.1,
    chunk_rank_weight=0.3,
    coverage_weight=0.7,
)


@dataclass(frozen=True, slots=True)
class ScoredSentence(Generic[ChunkT]):
    """A statement of a chunk: `quote` is the document's text from `start` to `end`.

    `own_terms` are the terms of the question that it contains itself, without the heading and the
    names of columns. `answer_type` is 1 if it contains the number or name that is asked for.
    """

    chunk: ChunkT
    statement: Statement
    score: float
    support: float
    own_terms: AbstractSet[str]
    answer_type: float

    @property
    def start(self) -> int:
        return self.chunk.start + self.statement.start

    @property
    def end(self) -> int:
        return self.chunk.start + self.statement.end

    @property
    def quote(self) -> str:
        return self.statement.text


@dataclass(frozen=True, slots=True)
class _Candidate(Generic[ChunkT]):
    """A statement before scoring."""

    chunk: ChunkT
    chunk_index: int
    statement: Statement


def extract_answer(
    question: str,
    chunks: Sequence[ChunkT],
    embedder: Embedder,
    options: ExtractionOptions,
    *,
    term_weights: Mapping[str, float] | None = None,
) -> list[ScoredSentence[ChunkT]]:
    """Return the sentences that answer *question*, best first; none if support is too low.

    See `rank_sentences` for the arguments.
    """
    ranked = rank_sentences(question, chunks, embedder, options, term_weights=term_weights)
    return select_sentences(ranked, options)


def rank_sentences(
    question: str,
    chunks: Sequence[ChunkT],
    embedder: Embedder,
    options: ExtractionOptions,
    *,
    term_weights: Mapping[str, float] | None = None,
) -> list[ScoredSentence[ChunkT]]:
    """Return all sentences of *chunks*, best first.

    Args:
        question: the question.
        chunks: search hits, best first.
        embedder: embeds the question and the sentences.
        options: weights and thresholds.
        term_weights: inverse document frequencies of the question's terms. A missing term has
            weight 1. A rare term counts most: a chunk without it is less likely to answer.
    """
    question = strip_source_phrase(question)
    question_terms = frozenset(extract_terms(question))
    candidates = _find_candidates(chunks, question_terms, options)
    if not candidates:
        return []
    texts = [candidate.statement.text_in_context for candidate in candidates]
    vectors = embedder.encode([question, *texts])
    similarities = vectors[1:] @ vectors[0]
    coverages = [0.0] * len(chunks)
    if options.coverage_weight:
        chunk_texts = (
            "\n".join((chunk.title, chunk.section, chunk.table_header, chunk.text))
            for chunk in chunks
        )
        required_terms = find_required_terms(question)
        coverages = [
            compute_weighted_coverage(required_terms, text, term_weights or {})
            for text in chunk_texts
        ]
    ranked: list[tuple[float, ScoredSentence[ChunkT]]] = []
    shared_terms = [find_shared_terms(question_terms, text) for text in texts]
    weights = _weigh_terms(question_terms, shared_terms)
    total_weight = sum(weights.values()) or 1.0
    for candidate, terms, similarity in zip(
        candidates, shared_terms, map(float, similarities), strict=True
    ):
        shared = sum(map(weights.__getitem__, terms)) / total_weight
        statement = candidate.statement
        answer_type = match_answer_type(question, statement.text)
        label_bonus = _LABEL_BONUS if _is_value_named(statement, question_terms) else 0.0
        scored = ScoredSentence(
            chunk=candidate.chunk,
            statement=statement,
            score=(
                similarity
                + options.shared_terms_weight * shared
                + options.answer_type_weight * answer_type
            ),
            support=(
                similarity
                + label_bonus
                + options.shared_terms_support * shared
                + options.coverage_weight * coverages[candidate.chunk_index]
            ),
            answer_type=answer_type,
            own_terms=find_shared_terms(question_terms, statement.text),
        )
        rank = 1 - candidate.chunk_index / len(chunks)
        ranked.append((scored.score + options.chunk_rank_weight * rank, scored))
    ranked.sort(key=lambda item: -item[0])
    return [scored for _, scored in ranked]


def _is_value_named(statement: Statement, question_terms: AbstractSet[str]) -> bool:
    """Return True if the question names the value of a label, or of a table's row and column."""
    if not statement.columns:
        return is_named_in(statement.label, question_terms)
    cells = [is_named_in(cell, question_terms) for cell in statement.cells]
    columns = [is_named_in(column, question_terms) for column in statement.columns]
    return any(
        is_column_named and any(cells[:index] + cells[index + 1 :])
        for index, is_column_named in enumerate(columns)
    )


def _weigh_terms(
    question_terms: AbstractSet[str], shared_terms: Sequence[AbstractSet[str]]
) -> dict[str, float]:
    """Return a weight for each term: terms that most sentences contain distinguish none."""
    counts = Counter(chain.from_iterable(shared_terms))
    return {term: log(1 + len(shared_terms) / (counts[term] + 1)) for term in question_terms}


def select_sentences(
    ranked: Sequence[ScoredSentence[ChunkT]], options: ExtractionOptions
) -> list[ScoredSentence[ChunkT]]:
    """Return the sentences of *ranked* for the answer; none if the first lacks support.

    Further sentences contain the number or name that is asked for, if the first does. Of a table,
    only the rows that contain the same terms of the question are selected.
    """
    if not ranked or ranked[0].support < options.min_support:
        return []
    best_score = ranked[0].score
    min_score = max(options.min_score_ratio * best_score, best_score - options.max_score_gap)
    selected = [
        sentence
        for sentence in ranked
        if sentence.score >= min_score
        and sentence.support >= options.min_support
        and sentence.answer_type >= ranked[0].answer_type
    ]
    selected = [sentence for sentence in selected if not _is_heading_of(sentence, selected)]
    if not selected[0].statement.cells:
        return _drop_other_rows(selected)[: options.max_sentences]
    rows = [sentence for sentence in selected if sentence.statement.cells]
    return _drop_other_rows(rows)[:_MAX_ROWS]


def _is_heading_of(
    sentence: ScoredSentence[ChunkT], selected: Sequence[ScoredSentence[ChunkT]]
) -> bool:
    """Return True if *sentence* is the heading of a selected one that has terms of the question."""
    return sentence.statement.is_possible_heading and any(
        other.statement.heading == sentence.quote and other.own_terms - sentence.own_terms
        for other in selected
    )


def _drop_other_rows(selected: Sequence[ScoredSentence[ChunkT]]) -> list[ScoredSentence[ChunkT]]:
    """Return *selected* without the rows that contain fewer terms of the question than the first.

    Without such a term, only the first row remains.
    """
    first_row = next((sentence for sentence in selected if sentence.statement.cells), None)
    return [
        sentence
        for sentence in selected
        if not sentence.statement.cells
        or sentence is first_row
        or (first_row and first_row.own_terms and first_row.own_terms <= sentence.own_terms)
    ]


def _find_candidates(
    chunks: Sequence[ChunkT], question_terms: AbstractSet[str], options: ExtractionOptions
) -> list[_Candidate[ChunkT]]:
    """Return the statements of *chunks*.

    Chunks overlap. A statement in two of them counts once, for the chunk that ranks higher.
    """
    candidates: dict[tuple[str, int, int], _Candidate[ChunkT]] = {}
    for index, chunk in enumerate(chunks):
        statements = find_chunk_statements(chunk, options.max_sentence_chars)
        for statement in _read_headers(statements, question_terms):
            start, end = chunk.start + statement.start, chunk.start + statement.end
            position = (chunk.document_id, start, end)
            if position not in candidates:
                candidates[position] = _Candidate(chunk, index, statement)
    return list(candidates.values())


def _read_headers(
    statements: Sequence[Statement], question_terms: AbstractSet[str]
) -> list[Statement]:
    """Return *statements* without the rows that the question shows to be headers of their tables.

    The first row of a table of two columns of text is its header, and not a label and its value,
    if the question contains its second cell and the first cell of another row: "manager" and "Ulm".
    """
    first_rows = {row.start: row for row in statements if row.start == row.first_row_start}
    named_columns = {
        start for start, row in first_rows.items() if is_named_in(row.cells[1], question_terms)
    }
    header_starts = {
        row.first_row_start
        for row in statements
        if row.first_row_start in named_columns
        and row.start != row.first_row_start
        and is_named_in(row.cells[0], question_terms)
    }
    return [
        replace(statement, columns=first_rows[statement.first_row_start].cells)
        if statement.first_row_start in header_starts
        else statement
        for statement in statements
        if statement.start not in header_starts
    ]


def find_chunk_statements(
    chunk: AnswerChunk, max_chars: int = MAX_SENTENCE_CHARS
) -> list[Statement]:
    """Return the sentences and table rows of *chunk* that can answer. Headings cannot."""
    return find_statements(
        chunk.text,
        max_chars,
        titles=frozenset((chunk.title, chunk.section, *chunk.headings)),
        table_header=chunk.table_header,
    )
