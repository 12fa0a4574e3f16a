"""How good a ranking is, in the measures of trec_eval that BEIR reports."""

import math
from collections.abc import Iterable, Mapping, Sequence

Grades = Mapping[str, int]


def ndcg(ranking: Sequence[str], grades: Grades, depth: int) -> float:
    """Discounted gain of the first *depth*, as a share of the best that was possible.

    A document's gain is its grade, as in trec_eval; others take two to the power of it.
    """
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    ideal = _discounted(best[:depth])
    found = _discounted(max(0, grades.get(each, 0)) for each in ranking[:depth])
    return found / ideal if ideal else 0.0


def recall(ranking: Sequence[str], grades: Grades, depth: int) -> float:
    """The share of the documents with any positive grade that are among the first *depth*."""
    relevant = {key for key, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], grades: Grades) -> float:
    """One divided by the place of the first relevant document; 0 where none was found."""
    places = (place for place, key in enumerate(ranking, 1) if grades.get(key, 0) > 0)
    return 1 / next(places, math.inf)


def percentile(values: Sequence[float], share: float) -> float:
    """The least of *values* that *share* of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _discounted(gains: Iterable[int]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, 1))
