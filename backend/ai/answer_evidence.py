"""Compute how much of a question the statements of document chunks contain.

Their weights and thresholds are in `ExtractionOptions`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain
from math import log
from typing import Final, Self

from backend.ai.answer_candidates import Candidate
from backend.ai.answer_options import ExtractionOptions, detect_answer_language
from backend.ai.chunk_statements import AnswerChunk, ChunkT, analyze_chunk
from backend.ai.sentence_similarities import SentenceSimilarities
from backend.ai.term_coverage import (
    TextTerms,
    compute_weighted_coverage,
    find_required_terms,
    find_shared_terms,
)
from backend.ai.text.function_words import extract_subject_terms
from backend.ai.text.terms import extract_terms

# Languages whose sentences are separated by spaces, like clauses: a statement may continue another.
_CLAUSE_LANGUAGES: Final = frozenset({"th"})


@dataclass(frozen=True, slots=True)
class AnalyzedQuestion:
    """A question with its language ("" if unknown) and its terms.

    `required_terms` are those that an answer must contain, with their weights. `term_weights` are
    the inverse document frequencies of terms; a missing one is 1.
    """

    text: str
    language: str
    terms: AbstractSet[str]
    required_terms: Mapping[str, float]
    term_weights: Mapping[str, float]

    @classmethod
    def from_text(
        cls, text: str, chunks: Sequence[AnswerChunk], term_weights: Mapping[str, float]
    ) -> Self:
        language = detect_answer_language(text, chunks)
        return cls(
            text=text,
            language=language,
            terms=frozenset(extract_terms(text, language)),
            required_terms=find_required_terms(text, language),
            term_weights=term_weights,
        )

    def compute_coverage(self, text_terms: TextTerms) -> float:
        """Return the weighted share of the required terms that a text contains."""
        return compute_weighted_coverage(
            self.required_terms, text_terms, self.term_weights, self.language
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """Measures of what a statement and its chunk have in common with a question.

    `similarity` is the cosine similarity. The others are shares from 0 to 1: `shared` of the
    question's terms in the statement, where a term counts less the more statements contain it;
    `share` of the required terms in the statement, and `coverage` in its chunk; `missing_share` of
    the question's own terms that neither the statement nor the title of its document contains.
    """

    similarity: float
    shared: float
    share: float
    coverage: float
    missing_share: float


def compute_evidence(
    question: AnalyzedQuestion,
    chunks: Sequence[ChunkT],
    candidates: Sequence[Candidate[ChunkT]],
    similarities: SentenceSimilarities[ChunkT],
    options: ExtractionOptions,
) -> list[Evidence]:
    """Return the evidence of each of *candidates*. A value that *options* do not use is 0."""
    coverages = _compute_coverages(question, chunks, options)
    cosines = (
        similarities.compute_similarities(question.text, candidates)
        if options.similarity_weight
        else [0.0] * len(candidates)
    )
    values = zip(
        cosines,
        _compute_shared(question, candidates),
        _compute_shares(question, candidates, options),
        [coverages[candidate.chunk_index] for candidate in candidates],
        _compute_missing_shares(question, candidates, options),
        strict=True,
    )
    return [
        Evidence(similarity, shared, share, coverage, missing_share)
        for similarity, shared, share, coverage, missing_share in values
    ]


def _compute_shared(
    question: AnalyzedQuestion, candidates: Sequence[Candidate[ChunkT]]
) -> Sequence[float]:
    """Return the share of the question's terms in each of *candidates*, by rarity among them."""
    shared_terms = [
        find_shared_terms(question.terms, candidate.analyzed.terms) for candidate in candidates
    ]
    weights = _weigh_terms(question.terms, shared_terms)
    total_weight = sum(weights.values()) or 1.0
    return [sum(map(weights.__getitem__, terms)) / total_weight for terms in shared_terms]


def _weigh_terms(
    question_terms: AbstractSet[str], shared_terms: Sequence[AbstractSet[str]]
) -> dict[str, float]:
    """Return the weight of each term, which is lower the more sentences contain the term."""
    counts = Counter(chain.from_iterable(shared_terms))
    return {term: log(1 + len(shared_terms) / (counts[term] + 1)) for term in question_terms}


def _compute_coverages(
    question: AnalyzedQuestion, chunks: Sequence[ChunkT], options: ExtractionOptions
) -> Sequence[float]:
    """Return the weighted share of the question's terms that each of *chunks* contains."""
    if not options.coverage_weight:
        return [0.0] * len(chunks)
    return [
        question.compute_coverage(
            analyze_chunk(chunk, options.max_sentence_chars, question.language).terms
        )
        for chunk in chunks
    ]


def _compute_shares(
    question: AnalyzedQuestion,
    candidates: Sequence[Candidate[ChunkT]],
    options: ExtractionOptions,
) -> Sequence[float]:
    """Return the weighted share of the question's terms that each of *candidates* contains."""
    if not (options.share_weight or options.share_support):
        return [0.0] * len(candidates)
    return [question.compute_coverage(candidate.analyzed.terms) for candidate in candidates]


def _compute_missing_shares(
    question: AnalyzedQuestion,
    candidates: Sequence[Candidate[ChunkT]],
    options: ExtractionOptions,
) -> Sequence[float]:
    """Return the share of the question's own terms that candidate and title lack, by weight.

    Words that `rewrite_follow_up` added are not the question's own.
    """
    if min(options.max_missing_share, options.max_missing_entity_share) >= 1.0:
        return [0.0] * len(candidates)
    language = question.language
    subject_terms = extract_subject_terms(question.text.partition(" (")[0], language)
    own_terms = {
        term: weight for term, weight in question.required_terms.items() if term in subject_terms
    }
    if not own_terms:
        return [0.0] * len(candidates)
    shares = []
    titles = {candidate.chunk.title for candidate in candidates}
    title_terms = {title: TextTerms.from_text(title, language) for title in titles}
    previous: Candidate[ChunkT] | None = None
    for candidate in candidates:
        terms = candidate.analyzed.terms.join(title_terms[candidate.chunk.title])
        if language in _CLAUSE_LANGUAGES and previous and previous.chunk is candidate.chunk:
            terms = terms.join(previous.analyzed.terms)
        coverage = compute_weighted_coverage(own_terms, terms, question.term_weights, language)
        shares.append(1.0 - coverage)
        previous = candidate
    return shares
