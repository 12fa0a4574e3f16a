"""Select the sentences of document chunks that answer a question, without a language model.

Every sentence gets two values. Its *score* says how well it answers in comparison to the other
sentences: similarity to the question, shared terms, and a number or name if the question asks for
one. Its *support* says how certain it is that the chunk is about the question at all. Weights
and thresholds are options, so that benchmarks can compare them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import chain
from math import log
from typing import Final, Generic, Protocol, TypeVar

from backend.ai.answer_options import ExtractionOptions, detect_answer_language
from backend.ai.answer_types import (
    asks_for_person,
    asks_for_price,
    match_answer_type,
    needs_answer_type,
    strip_source_phrase,
)
from backend.ai.chunk_statements import AnalyzedStatement, AnswerChunk, analyze_chunk
from backend.ai.counted_things import find_counted_words, is_counted_in
from backend.ai.embedder import Embedder
from backend.ai.term_coverage import (
    TextTerms,
    compute_weighted_coverage,
    find_required_terms,
    find_shared_terms,
    has_price_terms,
    is_named_in,
)
from backend.ai.text.function_words import extract_subject_terms
from backend.ai.text.statements import Statement
from backend.ai.text.terms import extract_terms

# Additional support of a line such as "Phone: 0221 4455" if the question contains its label, and
# of a table row if the question contains one of its cells and the name of another column.
_LABEL_BONUS: Final = 0.25
# Languages whose sentences are separated by spaces, like clauses: a statement may continue another.
_CLAUSE_LANGUAGES: Final = frozenset({"th"})
# Maximum number of table rows that answer a question together.
_MAX_ROWS: Final = 10


ChunkT = TypeVar("ChunkT", bound=AnswerChunk)
CandidateChunkT = TypeVar("CandidateChunkT", bound=AnswerChunk, covariant=True)
ScoredChunkT = TypeVar("ScoredChunkT", bound=AnswerChunk, contravariant=True)


@dataclass(frozen=True, slots=True)
class ScoredSentence(Generic[ChunkT]):
    """A statement of a chunk: `quote` is the document's text from `start` to `end`.

    `answer_type` is 1 if it contains the number or name that is asked for. `can_answer` is
    False if it lacks what `ExtractionOptions` requires.
    """

    chunk: ChunkT
    statement: Statement
    score: float
    support: float
    question_terms: AbstractSet[str]
    answer_type: float
    language: str = ""
    can_answer: bool = True

    @property
    def start(self) -> int:
        return self.chunk.start + self.statement.start

    @property
    def end(self) -> int:
        return self.chunk.start + self.statement.end

    @property
    def quote(self) -> str:
        return self.statement.text

    @property
    def own_terms(self) -> AbstractSet[str]:
        """The question's terms in the statement itself, without its heading and column names."""
        terms = TextTerms.from_text(self.statement.text, self.language)
        return find_shared_terms(self.question_terms, terms)


@dataclass(frozen=True, slots=True)
class Candidate(Generic[CandidateChunkT]):
    """A statement of a chunk before scoring. *text* is the statement in context.

    *chunk_index* is the position of its chunk in the search hits, from 0.
    """

    chunk: CandidateChunkT
    chunk_index: int
    analyzed: AnalyzedStatement

    @property
    def text(self) -> str:
        return self.analyzed.text_in_context

    @property
    def statement(self) -> Statement:
        return self.analyzed.statement

    @property
    def position(self) -> tuple[int, int]:
        """Start and end of the statement in the document's text."""
        start = self.chunk.start
        return start + self.statement.start, start + self.statement.end


class SentenceSimilarities(Protocol[ScoredChunkT]):
    """Source of the similarities of a question with statements of chunks."""

    def compute_similarities(
        self, question: str, candidates: Sequence[Candidate[ScoredChunkT]]
    ) -> Sequence[float]:
        """Return the cosine similarity of *question* with the text of each of *candidates*."""
        ...


class EmbeddedSimilarities:
    """Embeds question and statements for each call to compute their similarities."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def compute_similarities(
        self, question: str, candidates: Sequence[Candidate[AnswerChunk]]
    ) -> Sequence[float]:
        vectors = self._embedder.encode([question, *(candidate.text for candidate in candidates)])
        similarities: list[float] = (vectors[1:] @ vectors[0]).tolist()
        return similarities


def extract_answer(
    question: str,
    chunks: Sequence[ChunkT],
    similarities: SentenceSimilarities[ChunkT],
    options: ExtractionOptions,
    *,
    term_weights: Mapping[str, float] | None = None,
) -> list[ScoredSentence[ChunkT]]:
    """Return the sentences that answer *question*, best first; none if support is too low.

    See `rank_sentences` for the arguments.
    """
    ranked = rank_sentences(question, chunks, similarities, options, term_weights=term_weights)
    return select_sentences(ranked, options)


def rank_sentences(
    question: str,
    chunks: Sequence[ChunkT],
    similarities: SentenceSimilarities[ChunkT],
    options: ExtractionOptions,
    *,
    term_weights: Mapping[str, float] | None = None,
) -> list[ScoredSentence[ChunkT]]:
    """Return all sentences of *chunks*, best first.

    Args:
        question: the question.
        chunks: search hits, best first.
        similarities: source of the similarities with the question.
        options: weights and thresholds.
        term_weights: inverse document frequencies of the question's terms. A missing term has
            weight 1. A rare term counts most: a chunk without it is less likely to answer.
    """
    question = strip_source_phrase(question)
    language = detect_answer_language(question, chunks)
    question_terms = frozenset(extract_terms(question, language))
    candidates = find_candidates(question, chunks, options)
    if not candidates:
        return []
    coverages = _compute_coverages(question, language, chunks, options, term_weights or {})
    shares = _compute_shares(question, language, candidates, options, term_weights or {})
    missing_shares = _compute_missing_shares(
        question, language, candidates, options, term_weights or {}
    )
    shared_terms = [
        find_shared_terms(question_terms, candidate.analyzed.terms) for candidate in candidates
    ]
    weights = _weigh_terms(question_terms, shared_terms)
    total_weight = sum(weights.values()) or 1.0
    cosines = (
        similarities.compute_similarities(question, candidates)
        if options.similarity_weight
        else [0.0] * len(candidates)
    )
    scored = [
        _score_candidate(
            candidate,
            question,
            question_terms,
            language,
            _Evidence(
                similarity=cosine,
                shared=sum(map(weights.__getitem__, terms)) / total_weight,
                share=share,
                coverage=coverages[candidate.chunk_index],
                missing_share=missing_share,
            ),
            options,
        )
        for candidate, terms, share, missing_share, cosine in zip(
            candidates, shared_terms, shares, missing_shares, cosines, strict=True
        )
    ]
    ranks = [1 - candidate.chunk_index / len(chunks) for candidate in candidates]
    order = sorted(
        range(len(scored)),
        key=lambda index: -(scored[index].score + options.chunk_rank_weight * ranks[index]),
    )
    return [scored[index] for index in order]


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The values of a statement that `ExtractionOptions` describes. *share* is of its own words."""

    similarity: float
    shared: float
    share: float
    coverage: float
    missing_share: float


def _score_candidate(
    candidate: Candidate[ChunkT],
    question: str,
    question_terms: AbstractSet[str],
    language: str,
    evidence: _Evidence,
    options: ExtractionOptions,
) -> ScoredSentence[ChunkT]:
    """Return the statement with its score and its support."""
    statement = candidate.statement
    answer_type = _match_answer_type(question, candidate, language)
    similarity = options.similarity_weight * evidence.similarity
    is_named = _is_value_named(statement, question_terms, language)
    return ScoredSentence(
        chunk=candidate.chunk,
        statement=statement,
        score=(
            similarity
            + options.shared_terms_weight * evidence.shared
            + options.share_weight * evidence.share
            + options.answer_type_weight * answer_type
        ),
        support=(
            similarity
            + (_LABEL_BONUS if is_named else 0.0)
            + (options.missing_type_support if answer_type == 0.0 else 0.0)
            + options.shared_terms_support * evidence.shared
            + options.share_support * evidence.share
            + options.coverage_weight * evidence.coverage
        ),
        answer_type=answer_type,
        question_terms=question_terms,
        language=language,
        # A value whose label, or whose row and column, the question names is an answer.
        can_answer=is_named
        or (
            _has_answer_type(question, statement, answer_type, options)
            and _has_subject(question, question_terms, language, evidence, options)
        ),
    )


def _has_answer_type(
    question: str, statement: Statement, answer_type: float, options: ExtractionOptions
) -> bool:
    return (
        answer_type > 0.0
        or not options.requires_answer_type
        or not needs_answer_type(question, statement.text)
    )


def _has_subject(
    question: str,
    question_terms: AbstractSet[str],
    language: str,
    evidence: _Evidence,
    options: ExtractionOptions,
) -> bool:
    """Return False if the statement lacks much of the question and is not similar enough to it."""
    if _asks_for_entity(question, question_terms, language):
        return (
            evidence.missing_share <= options.max_missing_entity_share
            or evidence.similarity >= options.min_entity_similarity
        )
    return (
        evidence.missing_share <= options.max_missing_share
        or evidence.similarity >= options.min_similarity
    )


def _asks_for_entity(question: str, question_terms: AbstractSet[str], language: str) -> bool:
    """Return True if *question* asks for a person or a price."""
    return (
        asks_for_person(question)
        or asks_for_price(question)
        or has_price_terms(question_terms, language)
    )


def _match_answer_type(question: str, candidate: Candidate[AnswerChunk], language: str) -> float:
    """Return `match_answer_type`, but 0 if no number belongs to what the question counts.

    Only sentences are checked: in a table, the name of a column says what is counted.
    """
    statement = candidate.statement
    answer_type = match_answer_type(question, statement.text)
    if answer_type != 1.0 or statement.cells:
        return answer_type
    counted = find_counted_words(question, language)
    return float(not counted or is_counted_in(candidate.text, counted, language))


def _compute_coverages(
    question: str,
    language: str,
    chunks: Sequence[ChunkT],
    options: ExtractionOptions,
    term_weights: Mapping[str, float],
) -> Sequence[float]:
    """Return the weighted share of the question's terms that each of *chunks* contains."""
    if not options.coverage_weight:
        return [0.0] * len(chunks)
    required_terms = find_required_terms(question, language)
    return [
        compute_weighted_coverage(
            required_terms,
            analyze_chunk(chunk, options.max_sentence_chars, language).terms,
            term_weights,
            language,
        )
        for chunk in chunks
    ]


def _compute_shares(
    question: str,
    language: str,
    candidates: Sequence[Candidate[ChunkT]],
    options: ExtractionOptions,
    term_weights: Mapping[str, float],
) -> Sequence[float]:
    """Return the weighted share of the question's terms that each of *candidates* contains."""
    if not (options.share_weight or options.share_support):
        return [0.0] * len(candidates)
    required_terms = find_required_terms(question, language)
    return [
        compute_weighted_coverage(required_terms, candidate.analyzed.terms, term_weights, language)
        for candidate in candidates
    ]


def _compute_missing_shares(
    question: str,
    language: str,
    candidates: Sequence[Candidate[ChunkT]],
    options: ExtractionOptions,
    term_weights: Mapping[str, float],
) -> Sequence[float]:
    """Return the share of the question's own terms that candidate and title lack, by weight.

    Words that `rewrite_follow_up` added are not the question's own.
    """
    if min(options.max_missing_share, options.max_missing_entity_share) >= 1.0:
        return [0.0] * len(candidates)
    subject_terms = extract_subject_terms(question.partition(" (")[0], language)
    required_terms = find_required_terms(question, language)
    own_terms = {term: weight for term, weight in required_terms.items() if term in subject_terms}
    if not own_terms:
        return [0.0] * len(candidates)
    shares = []
    previous: Candidate[ChunkT] | None = None
    for candidate in candidates:
        terms = candidate.analyzed.terms.join(TextTerms.from_text(candidate.chunk.title, language))
        if language in _CLAUSE_LANGUAGES and previous and previous.chunk is candidate.chunk:
            terms = terms.join(previous.analyzed.terms)
        shares.append(1.0 - compute_weighted_coverage(own_terms, terms, term_weights, language))
        previous = candidate
    return shares


def _is_value_named(statement: Statement, question_terms: AbstractSet[str], language: str) -> bool:
    """Return True if the question contains the label, or a cell and another column's name."""
    if not statement.columns:
        return is_named_in(statement.label, question_terms, language)
    cells = [is_named_in(cell, question_terms, language) for cell in statement.cells]
    columns = [is_named_in(column, question_terms, language) for column in statement.columns]
    return any(
        is_column_named and any(cells[:index] + cells[index + 1 :])
        for index, is_column_named in enumerate(columns)
    )


def _weigh_terms(
    question_terms: AbstractSet[str], shared_terms: Sequence[AbstractSet[str]]
) -> dict[str, float]:
    """Return the weight of each term, which is lower the more sentences contain the term."""
    counts = Counter(chain.from_iterable(shared_terms))
    return {term: log(1 + len(shared_terms) / (counts[term] + 1)) for term in question_terms}


def select_sentences(
    ranked: Sequence[ScoredSentence[ChunkT]], options: ExtractionOptions
) -> list[ScoredSentence[ChunkT]]:
    """Return the sentences of *ranked* for the answer; none if the first lacks support.

    One of them must have what `ExtractionOptions` requires. If it contains the number or name that
    the question asks for, so do the others. Table rows must contain all terms of the question that
    the first row contains.
    """
    if not ranked or ranked[0].support < options.min_support:
        return []
    best_score = ranked[0].score
    min_score = max(options.min_score_ratio * best_score, best_score - options.max_score_gap)
    selected = [
        sentence
        for sentence in ranked
        if sentence.score >= min_score and sentence.support >= options.min_support
    ]
    first = next((sentence for sentence in selected if sentence.can_answer), None)
    if first is None:
        return []
    selected = [sentence for sentence in selected if sentence.answer_type >= first.answer_type]
    selected = [sentence for sentence in selected if not _is_heading_of(sentence, selected)]
    if not selected[0].statement.cells:
        return _drop_other_rows(selected)[: options.max_sentences]
    rows = [sentence for sentence in selected if sentence.statement.cells]
    return _drop_other_rows(rows)[:_MAX_ROWS]


def _is_heading_of(
    sentence: ScoredSentence[ChunkT], selected: Sequence[ScoredSentence[ChunkT]]
) -> bool:
    """Return True if *sentence* is the heading of a selected one that has more question terms."""
    return sentence.statement.is_possible_heading and any(
        other.statement.heading == sentence.quote and other.own_terms - sentence.own_terms
        for other in selected
    )


def _drop_other_rows(selected: Sequence[ScoredSentence[ChunkT]]) -> list[ScoredSentence[ChunkT]]:
    """Return *selected* without rows that lack a term of the question that the first row contains.

    If the first row contains none of the terms, it is the only row that remains.
    """
    first_row = next((sentence for sentence in selected if sentence.statement.cells), None)
    return [
        sentence
        for sentence in selected
        if not sentence.statement.cells
        or sentence is first_row
        or (first_row and first_row.own_terms and first_row.own_terms <= sentence.own_terms)
    ]


def find_candidates(
    question: str, chunks: Sequence[ChunkT], options: ExtractionOptions
) -> list[Candidate[ChunkT]]:
    """Return the statements of *chunks* that may answer *question*.

    Chunks overlap. A statement in two of them is returned once, for the chunk that ranks higher.
    """
    language = detect_answer_language(question, chunks)
    question_terms = frozenset(extract_terms(question, language))
    candidates: dict[tuple[str, int, int], Candidate[ChunkT]] = {}
    for index, chunk in enumerate(chunks):
        statements = analyze_chunk(chunk, options.max_sentence_chars, language).statements
        for analyzed in _read_headers(statements, question_terms, language):
            candidate = Candidate(chunk, index, analyzed)
            candidates.setdefault((chunk.document_id, *candidate.position), candidate)
    return list(candidates.values())


def _read_headers(
    statements: Sequence[AnalyzedStatement], question_terms: AbstractSet[str], language: str
) -> Sequence[AnalyzedStatement]:
    """Return *statements* without header rows. The other rows of their tables get column names.

    The first row of a two-column table of text can be a header, or a label and its value. It is a
    header if the question contains its second cell and the first cell of another row, for example
    "manager" and "Ulm".
    """
    rows = [item.statement for item in statements if item.statement.first_row_start is not None]
    first_rows = {row.start: row for row in rows if row.start == row.first_row_start}
    named_columns = {
        start
        for start, row in first_rows.items()
        if is_named_in(row.cells[1], question_terms, language)
    }
    header_starts = {
        row.first_row_start
        for row in rows
        if row.first_row_start in named_columns
        and row.start != row.first_row_start
        and is_named_in(row.cells[0], question_terms, language)
    }
    if not header_starts:
        return statements
    return [
        _add_columns(item.statement, first_rows, language)
        if item.statement.first_row_start in header_starts
        else item
        for item in statements
        if item.statement.start not in header_starts
    ]


def _add_columns(
    row: Statement, first_rows: Mapping[int, Statement], language: str
) -> AnalyzedStatement:
    """Return *row* with column names: the cells of the first row of its table."""
    columns = first_rows[row.first_row_start or 0].cells
    return AnalyzedStatement.from_statement(replace(row, columns=columns), language)
