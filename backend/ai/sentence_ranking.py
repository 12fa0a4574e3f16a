"""Rank the sentences of document chunks by how well they answer a question.

Every sentence gets two values. Its *score* says how well it answers in comparison to the other
sentences: similarity to the question, shared terms, and a number or name if the question asks for
one. Its *support* says how certain it is that the chunk is about the question at all. Weights
and thresholds are options, so that benchmarks can compare them.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Generic

from backend.ai.answer_candidates import Candidate, find_candidates
from backend.ai.answer_evidence import AnalyzedQuestion, Evidence, compute_evidence
from backend.ai.answer_options import ExtractionOptions
from backend.ai.answer_requirements import (
    is_value_named,
    match_counted_type,
    meets_requirements,
)
from backend.ai.answer_types import strip_source_phrase
from backend.ai.chunk_statements import ChunkT
from backend.ai.sentence_similarities import SentenceSimilarities
from backend.ai.term_coverage import TextTerms, find_shared_terms
from backend.ai.text.statements import Statement

# Additional support of a line such as "Phone: 0221 4455" if the question contains its label, and
# of a table row if the question contains one of its cells and the name of another column.
_LABEL_BONUS: Final = 0.25


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
    candidates = find_candidates(question, chunks, options)
    if not candidates:
        return []
    analyzed = AnalyzedQuestion.from_text(question, chunks, term_weights or {})
    evidence = compute_evidence(analyzed, chunks, candidates, similarities, options)
    scored = [
        _score_candidate(analyzed, candidate, values, options)
        for candidate, values in zip(candidates, evidence, strict=True)
    ]
    ranks = [1 - candidate.chunk_index / len(chunks) for candidate in candidates]
    order = sorted(
        range(len(scored)),
        key=lambda index: -(scored[index].score + options.chunk_rank_weight * ranks[index]),
    )
    return [scored[index] for index in order]


def _score_candidate(
    question: AnalyzedQuestion,
    candidate: Candidate[ChunkT],
    evidence: Evidence,
    options: ExtractionOptions,
) -> ScoredSentence[ChunkT]:
    """Return the statement with its score and its support."""
    statement = candidate.statement
    answer_type = match_counted_type(question, candidate)
    is_named = is_value_named(question, statement)
    return ScoredSentence(
        chunk=candidate.chunk,
        statement=statement,
        score=_compute_score(evidence, answer_type, options),
        support=_compute_support(evidence, answer_type, options, is_named=is_named),
        answer_type=answer_type,
        question_terms=question.terms,
        language=question.language,
        # A value whose label, or whose row and column, the question names is an answer.
        can_answer=is_named
        or meets_requirements(question, statement, answer_type, evidence, options),
    )


def _compute_score(evidence: Evidence, answer_type: float, options: ExtractionOptions) -> float:
    return (
        options.similarity_weight * evidence.similarity
        + options.shared_terms_weight * evidence.shared
        + options.share_weight * evidence.share
        + options.answer_type_weight * answer_type
    )


def _compute_support(
    evidence: Evidence, answer_type: float, options: ExtractionOptions, *, is_named: bool
) -> float:
    return (
        options.similarity_weight * evidence.similarity
        + (_LABEL_BONUS if is_named else 0.0)
        + (options.missing_type_support if answer_type == 0.0 else 0.0)
        + options.shared_terms_support * evidence.shared
        + options.share_support * evidence.share
        + options.coverage_weight * evidence.coverage
    )
