"""Reranking of the best search hits with signals that the indexes do not have.

Reranking by terms and by sentences improves every measured question set and takes a few
milliseconds, so hybrid searches do it by default; see ADR 21 and ADR 112.
"""

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeVar

from backend.ai.text.languages import detect_language
from backend.ai.text.tables import is_header_row, is_table_row
from backend.ai.text.terms import extract_terms
from backend.services.rag.errors import RerankerFailed
from backend.services.rag.model import SearchHit

T = TypeVar("T")
_log = logging.getLogger(__name__)
# Reranking more hits did not improve results.
RERANK_DEPTH = 20
# Weight relative to scores from 0 to 1: half for matching terms, half for matching term pairs.
_WEIGHT = 0.2
# Weight of the similarity of the best sentences, a cosine similarity.
SENTENCE_WEIGHT = 0.9
# Weight of the best table row. A row with only some of the terms gets a small part of it.
_ROW_WEIGHT = 0.8
_ROW_EXPONENT = 4
# Recent hits whose terms are cached. The text of a hit has about 1,000 characters.
_MAX_KEPT_HITS = 1024


class _HitTerms(NamedTuple):
    """The terms of a hit in order, and for each of its table rows the terms of row and header."""

    in_order: Sequence[str]
    by_row: Sequence[AbstractSet[str]]


class Reranker(Protocol):
    """A model that reads question and chunk together (cross-encoder)."""

    def score_chunks(self, question: str, chunks: Sequence[str]) -> Sequence[float]:
        """Return one score per chunk; higher is better. Raises RerankerFailed."""
        ...


def rerank_by_terms(
    question: str, hits: Sequence[SearchHit], term_weights: Mapping[str, float]
) -> list[SearchHit]:
    """Return *hits* reordered, with a bonus for rare terms and adjacent term pairs of the question.

    BM25 counts terms independently, so many occurrences of one term can outweigh a missing one. The
    chunks of a table resemble each other, so a bonus for their best row tells them apart.

    Args:
        term_weights: inverse document frequencies of the question's terms.
    """
    language = detect_language(question)
    question_terms = extract_terms(question, language)
    terms_by_hit = [
        _extract_terms(hit.title, hit.section, hit.table_header, hit.text, language)
        for hit in hits[:RERANK_DEPTH]
    ]
    # Terms that no hit contains do not influence the order.
    known_terms = set().union(*(terms.in_order for terms in terms_by_hit))
    weights = {term: term_weights.get(term, 0.0) for term in question_terms if term in known_terms}
    pair_weights = {
        pair: min(weights.get(term, 0.0) for term in pair) for pair in pairwise(question_terms)
    }
    reranked = [
        replace(
            hit,
            score=hit.score
            + _WEIGHT * _compute_overlap(terms.in_order, weights, pair_weights)
            + _ROW_WEIGHT * _compute_row_share(terms.by_row, weights) ** _ROW_EXPONENT,
        )
        for hit, terms in zip(hits[:RERANK_DEPTH], terms_by_hit, strict=True)
    ]
    # The remaining hits stay last: their scores were lower, and no score was reduced.
    return [*sorted(reranked, key=lambda hit: -hit.score), *hits[RERANK_DEPTH:]]


def rerank_by_sentences(
    hits: Sequence[SearchHit], similarities: Mapping[str, float]
) -> list[SearchHit]:
    """Return *hits* reordered, with a bonus for sentences that are similar to the question.

    The vector of a chunk represents all of its topics, so that a chunk with one matching sentence
    is less similar to the question than a chunk that is about related topics throughout.

    Args:
        similarities: similarity of the best sentences of the first RERANK_DEPTH hits, by chunk id.
    """
    reranked = [
        replace(hit, score=hit.score + SENTENCE_WEIGHT * similarities[hit.chunk_id])
        for hit in hits[:RERANK_DEPTH]
    ]
    return [*sorted(reranked, key=lambda hit: -hit.score), *hits[RERANK_DEPTH:]]


def rerank_by_model(
    question: str, hits: Sequence[SearchHit], model: Reranker
) -> list[SearchHit] | None:
    """Return the first RERANK_DEPTH *hits* with the model's scores, best first.

    Returns None if the model fails: the hits are usable without it.
    """
    candidates = hits[:RERANK_DEPTH]
    try:
        scores = model.score_chunks(
            question, [f"{hit.title}\n{hit.table_header}\n{hit.text}" for hit in candidates]
        )
    except RerankerFailed as error:
        _log.warning("reranker failed, hits keep their order: %s", error)
        return None
    reranked = [
        replace(hit, score=float(score)) for hit, score in zip(candidates, scores, strict=True)
    ]
    return sorted(reranked, key=lambda hit: -hit.score)


def _compute_overlap(
    terms: Sequence[str],
    weights: Mapping[str, float],
    pair_weights: Mapping[tuple[str, str], float],
) -> float:
    """Return the weighted share of the question's terms and pairs in *terms*, from 0 to 1."""
    term_share = _compute_weighted_share(weights, set(terms))
    pair_share = _compute_weighted_share(pair_weights, set(pairwise(terms)))
    return 0.5 * term_share + 0.5 * pair_share


def _compute_row_share(
    terms_by_row: Sequence[AbstractSet[str]], weights: Mapping[str, float]
) -> float:
    """Return the largest weighted share of the question's terms in a table row with its header."""
    return max((_compute_weighted_share(weights, terms) for terms in terms_by_row), default=0.0)


@lru_cache(maxsize=_MAX_KEPT_HITS)
def _extract_terms(
    title: str, section: str, table_header: str, text: str, language: str
) -> _HitTerms:
    rows = list(filter(is_table_row, text.splitlines()))
    has_header = len(rows) > 1 and is_header_row(rows[0], rows[1])
    header_terms = extract_terms(table_header or (rows[0] if has_header else ""), language)
    return _HitTerms(
        extract_terms(f"{title} {section}\n{table_header}\n{text}", language),
        [frozenset(header_terms).union(extract_terms(row, language)) for row in rows],
    )


def _compute_weighted_share(weights: Mapping[T, float], present: AbstractSet[T]) -> float:
    total = sum(weights.values())
    if not total:
        return 0.0
    return sum(weight for key, weight in weights.items() if key in present) / total
