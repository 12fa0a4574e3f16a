"""Ranking metrics as defined by trec_eval and reported by BEIR, and percentiles."""

import math
from collections.abc import Iterable, Mapping, Sequence

Grades = Mapping[str, int]


def compute_ndcg(ranking: Sequence[str], grades: Grades, depth: int) -> float:
    """Return the normalised discounted cumulative gain of the first *depth* documents.

    The gain of a document is its grade, as in trec_eval. Other definitions use 2**grade - 1.
    """
    ideal_gains = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    ideal = _compute_dcg(ideal_gains[:depth])
    actual = _compute_dcg(max(0, grades.get(document, 0)) for document in ranking[:depth])
    return actual / ideal if ideal else 0.0


def compute_recall(ranking: Sequence[str], grades: Grades, depth: int) -> float:
    """Return the share of all documents with a positive grade that are in the first *depth*."""
    relevant = {key for key, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant) if relevant else 0.0


def compute_reciprocal_rank(ranking: Sequence[str], grades: Grades) -> float:
    """Return 1 / rank of the first relevant document, or 0 if *ranking* contains none."""
    ranks = (rank for rank, key in enumerate(ranking, 1) if grades.get(key, 0) > 0)
    return 1 / next(ranks, math.inf)


def compute_percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of *values* v such that at least *share* (0 to 1) of them are <= v."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _compute_dcg(gains: Iterable[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
