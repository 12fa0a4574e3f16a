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

from backend.ai.answer_types import match_answer_type, strip_source_phrase
from backend.ai.chunk_statements import AnalyzedStatement, AnswerChunk, analyze_chunk
from backend.ai.embedder import Embedder
from backend.ai.term_coverage import (
    TextTerms,
    compute_weighted_coverage,
    find_required_terms,
    find_shared_terms,
    is_named_in,
)
from backend.ai.text.languages import detect_language
from backend.ai.text.sentences import MAX_SENTENCE_CHARS
from backend.ai.text.statements import Statement
from backend.ai.text.terms import extract_terms

# Additional support of a line such as "Phone: 0221 4455" if the question contains its label, and
# of a table row if the question contains one of its cells and the name of another column.
_LABEL_BONUS: Final = 0.25
# Maximum number of table rows that answer a question together.
_MAX_ROWS: Final = 10


ChunkT = TypeVar("ChunkT", bound=AnswerChunk)
CandidateChunkT = TypeVar("CandidateChunkT", bound=AnswerChunk, covariant=True)
ScoredChunkT = TypeVar("ScoredChunkT", bound=AnswerChunk, contravariant=True)


@dataclass(frozen=True, slots=True)
class ExtractionOptions:
    """Weights and thresholds of the selection.

    *similarity* is the cosine similarity of question and sentence, multiplied by
    *similarity_weight*. *shared* is the share of the
    question's terms that the sentence contains, each weighted by its rarity among the sentences.

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
    # A further sentence needs at least this share of the first sentence's score, ...
    min_score_ratio: float = 0.0
    # ... and its score may be lower by at most this difference.
    max_score_gap: float = float("inf")
    max_sentences: int = 3
    shared_terms_weight: float = 0.0
    answer_type_weight: float = 0.0
    chunk_rank_weight: float = 0.0
    shared_terms_support: float = 0.0
    coverage_weight: float = 0.0
    # Weights, in score and support, of the share of the question's terms, except those that only
    # phrase the question, that the sentence contains. Weighted by rarity in the collections.
    share_weight: float = 0.0
    share_support: float = 0.0
    # 0 if the embedding model does not know the language of the question.
    similarity_weight: float = 1.0
    # Added to the support if the sentence does not contain what the question asks for: a number,
    # a person or a reason.
    missing_type_support: float = 0.0
    # Longer sentences are cut at white space.
    max_sentence_chars: int = MAX_SENTENCE_CHARS


# Both services use these values, so that they answer the same questions. They were measured with
# `python -m benchmarks.rag.answers`, see ADR 43, and `python -m benchmarks.agent.lite_answers`.
ANSWER_OPTIONS: Final = ExtractionOptions(
    min_support=0.74,
    min_score_ratio=0.7,
    max_score_gap=0.35,
    shared_terms_weight=0.5,
    answer_type_weight=0.1,
    chunk_rank_weight=0.3,
    coverage_weight=0.7,
)


# For languages that the embedding model does not know. Measured with
# `python -m benchmarks.rag.language_answers`.
LEXICAL_OPTIONS: Final = replace(
    ANSWER_OPTIONS,
    min_support=0.44,
    similarity_weight=0.0,
    shared_terms_weight=0.0,
    share_weight=1.0,
    answer_type_weight=0.2,
    chunk_rank_weight=0.15,
    share_support=0.5,
    coverage_weight=0.5,
    missing_type_support=-0.15,
)


# For languages that the embedding model knows.
MULTILINGUAL_OPTIONS: Final = replace(
    LEXICAL_OPTIONS, min_support=0.68, similarity_weight=0.625, share_weight=0.7
)

# For documents in another language than the question, which share no words with it.
CROSS_LANGUAGE_OPTIONS: Final = replace(
    ANSWER_OPTIONS,
    min_support=0.42,
    coverage_weight=0.0,
    shared_terms_weight=0.0,
    missing_type_support=-0.1,
)


def get_answer_options(
    question: str, chunks: Sequence[AnswerChunk], *, is_multilingual: bool = False
) -> ExtractionOptions:
    """Return the weights and thresholds for the languages of *question* and the best chunk.

    Args:
        is_multilingual: whether the embedding model knows other languages than English.
    """
    chunk_language = detect_language(chunks[0].text) if chunks and is_multilingual else ""
    if chunk_language and detect_language(question) not in ("", chunk_language):
        return CROSS_LANGUAGE_OPTIONS
    if detect_answer_language(question, chunks) in ("", "en"):
        return ANSWER_OPTIONS
    return MULTILINGUAL_OPTIONS if is_multilingual else LEXICAL_OPTIONS


@dataclass(frozen=True, slots=True)
class ScoredSentence(Generic[ChunkT]):
    """A statement of a chunk: `quote` is the document's text from `start` to `end`.

    `answer_type` is 1 if it contains the number or name that is asked for.
    """

    chunk: ChunkT
    statement: Statement
    score: float
    support: float
    question_terms: AbstractSet[str]
    answer_type: float
    language: str = ""

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
    shared_terms = [
        find_shared_terms(question_terms, candidate.analyzed.terms) for candidate in candidates
    ]
    weights = _weigh_terms(question_terms, shared_terms)
    total_weight = sum(weights.values()) or 1.0
    ranked: list[tuple[float, ScoredSentence[ChunkT]]] = []
    cosines = (
        similarities.compute_similarities(question, candidates)
        if options.similarity_weight
        else [0.0] * len(candidates)
    )
    for candidate, terms, share, cosine in zip(
        candidates, shared_terms, shares, cosines, strict=True
    ):
        similarity = options.similarity_weight * cosine
        shared = sum(map(weights.__getitem__, terms)) / total_weight
        statement = candidate.statement
        answer_type = match_answer_type(question, statement.text)
        is_named = _is_value_named(statement, question_terms, language)
        label_bonus = _LABEL_BONUS if is_named else 0.0
        missing_type = options.missing_type_support if answer_type == 0.0 else 0.0
        scored = ScoredSentence(
            chunk=candidate.chunk,
            statement=statement,
            score=(
                similarity
                + options.shared_terms_weight * shared
                + options.share_weight * share
                + options.answer_type_weight * answer_type
            ),
            support=(
                similarity
                + label_bonus
                + missing_type
                + options.shared_terms_support * shared
                + options.share_support * share
                + options.coverage_weight * coverages[candidate.chunk_index]
            ),
            answer_type=answer_type,
            question_terms=question_terms,
            language=language,
        )
        rank = 1 - candidate.chunk_index / len(chunks)
        ranked.append((scored.score + options.chunk_rank_weight * rank, scored))
    ranked.sort(key=lambda item: -item[0])
    return [scored for _, scored in ranked]


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


def detect_answer_language(question: str, chunks: Sequence[AnswerChunk]) -> str:
    """Return the language of *question*. That of the best chunk stands for an unknown one."""
    return detect_language(question) or (detect_language(chunks[0].text) if chunks else "")


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

    If the first sentence contains the number or name that the question asks for, so do the further
    ones. Table rows must contain all terms of the question that the first row contains.
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
