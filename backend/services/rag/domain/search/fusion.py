"""Fusion of the dense and the keyword ranking into one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Number of hits taken from each ranking. The combination was better than either ranking alone and
# than reciprocal rank fusion on every question set measured; see docs/adr.
DEPTH = 100
KEYWORD_WEIGHT: Final = 0.45
# Weights in the logit of the probability that the answer is in the question's language: of the
# margin between the languages of the dense hits, of the match of the best keyword hit beyond
# _MIN_MATCH, and of the coverage beyond _MIN_COVERAGE.
_MARGIN_WEIGHT: Final = 15.0
_MATCH_WEIGHT: Final = 30.0
_MIN_MATCH: Final = 0.25
_COVERAGE_WEIGHT: Final = 8.0
_MIN_COVERAGE: Final = 0.8
# Added to the cosine similarity of a hit in the question's language if the answer is certain
# to be in that language. A translation of the answer has a similarity that differs by less.
_LANGUAGE_BONUS: Final = 0.06


@dataclass(frozen=True, slots=True)
class KeywordEvidence:
    """Properties of a keyword ranking in a library of several languages.

    Attributes:
        coverage: share of the question's terms that the collections contain, from 0 to 1.
        match: score of the best keyword hit, relative to the highest possible score.
        margin: cosine similarity of the best dense hit in the question's language minus that of
            the best hit in another one; -1 or 1 if there are hits in only one of them.
    """

    coverage: float
    match: float
    margin: float

    @property
    def same_language(self) -> float:
        """Probability, from 0 to 1, that the answer is in the question's language."""
        logit = (
            _MARGIN_WEIGHT * self.margin
            + _MATCH_WEIGHT * (self.match - _MIN_MATCH)
            + _COVERAGE_WEIGHT * (self.coverage - _MIN_COVERAGE)
        )
        return 1 / (1 + math.exp(-logit))

    @property
    def weight(self) -> float:
        """Weight of the keyword ranking: a question in another language has no words in common."""
        return KEYWORD_WEIGHT * self.coverage * self.same_language


def prefer_language(
    similarities: Mapping[str, float],
    languages: Mapping[str, str],
    question_language: str,
    evidence: KeywordEvidence,
) -> dict[str, float]:
    """Return *similarities* with higher values of hits in the question's language.

    Vectors are centred by language, so that the translations of a text have nearly the same
    similarity to a question. The reader prefers the one in the language of the question.
    """
    bonus = _LANGUAGE_BONUS * evidence.same_language
    return {
        key: similarity + (bonus if languages.get(key) == question_language else 0.0)
        for key, similarity in similarities.items()
    }


def compute_margin(
    dense: Mapping[str, float], languages: Mapping[str, str], question_language: str
) -> float:
    """Return the margin of `KeywordEvidence` from the languages of the hits by their key.

    Hits in an unknown language count as hits in the question's language.
    """
    in_language: dict[bool, float] = {}
    for key, similarity in dense.items():
        is_same = languages.get(key, "") in ("", question_language)
        in_language[is_same] = max(similarity, in_language.get(is_same, -1.0))
    if len(in_language) == 2:
        return in_language[True] - in_language[False]
    return 1.0 if True in in_language else -1.0


def fuse_rankings(
    dense: Mapping[str, float],
    keyword: Mapping[str, float],
    keyword_weight: float = KEYWORD_WEIGHT,
) -> dict[str, float]:
    """Return the convex combination of the scores, each relative to the best one, best first.

    A chunk that is only in *keyword* is not more similar than the last hit of *dense*. Keyword
    scores are relative to zero, and similarities to half of that of the last hit, between zero as
    in Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (2023), and the
    last hit itself: if all hits are similar, the similarity decides little.

    Args:
        dense: cosine similarities of the best hits.
        keyword: scores of the best hits, and of the hits of *dense* with a word of the question.
    """
    similarities, lowest = _normalise_similarities(dense)
    best_keyword = max(keyword.values(), default=0.0) or 1.0
    scores = {
        key: (1 - keyword_weight) * similarities.get(key, lowest)
        + keyword_weight * keyword.get(key, 0.0) / best_keyword
        for key in dense.keys() | keyword.keys()
    }
    return sort_by_score(scores)


def sort_by_score(scores: Mapping[str, float]) -> dict[str, float]:
    """Sort by descending score. Ties are sorted by key, so that results are reproducible."""
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


def _normalise_similarities(dense: Mapping[str, float]) -> tuple[dict[str, float], float]:
    """Return the similarities on a scale from 0 to 1, and the lowest of them."""
    if not dense:
        return {}, 0.0
    low, high = min(dense.values()), max(dense.values())
    floor = low / 2 if low > 0 else low
    span = high - floor or 1.0
    return {key: (value - floor) / span for key, value in dense.items()}, (low - floor) / span
