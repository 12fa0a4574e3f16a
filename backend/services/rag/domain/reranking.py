"""A second look at the best passages: more than what an index can weigh.

Measured in benchmarks/rag/retrieval.py: by words it gains on every set and costs a few
milliseconds, so a hybrid search does it unasked.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol, TypeVar

from backend.services.rag.domain.found import Found
from backend.services.rag.errors import RerankerFailed
from backend.services.rag.store.words import words

T = TypeVar("T")
_log = logging.getLogger(__name__)
# Deeper gained nothing.
RERANKED = 20
# Against scores from 0 to 1. Half of it is for words that are there, half for pairs of them.
_WEIGHT = 0.2


class Reranker(Protocol):
    """A model that reads question and passage together."""

    def scores(self, question: str, passages: Sequence[str]) -> Sequence[float]:
        """One score for each passage, higher for better; RerankerFailed if there are none."""
        ...


def by_words(question: str, found: Sequence[Found], rarity: Mapping[str, float]) -> list[Found]:
    """*found* with a bonus for rare words of the question, and for those that stand together.

    BM25 counts words one by one and lets many of one make up for another that is missing.
    """
    asked = words(question)
    held = [words(f"{each.title} {each.section}\n{each.text}") for each in found[:RERANKED]]
    # What none of them says tells nothing about their order.
    known = set().union(*held)
    terms = {term: rarity.get(term, 0.0) for term in asked if term in known}
    pairs = {pair: min(terms.get(each, 0.0) for each in pair) for pair in pairwise(asked)}
    lifted = [
        replace(each, score=each.score + _WEIGHT * _said(said, terms, pairs))
        for each, said in zip(found[:RERANKED], held, strict=True)
    ]
    # What was not looked at stays behind: its score was lower, and nothing was taken away.
    return [*sorted(lifted, key=lambda each: -each.score), *found[RERANKED:]]


def by_model(question: str, found: Sequence[Found], model: Reranker) -> list[Found] | None:
    """The first of *found* in the model's order and with its scores; None if it has none."""
    looked_at = found[:RERANKED]
    try:
        scores = model.scores(question, [f"{each.title}\n{each.text}" for each in looked_at])
    except RerankerFailed as failure:
        # A search without it is still a good one.
        _log.warning("the reranker was left out: %s", failure)
        return None
    scored = [
        replace(each, score=float(score)) for each, score in zip(looked_at, scores, strict=True)
    ]
    return sorted(scored, key=lambda each: -each.score)


def _said(
    held: Sequence[str], terms: Mapping[str, float], pairs: Mapping[tuple[str, str], float]
) -> float:
    """The share of the question's words and neighbouring words among *held*, from 0 to 1."""
    return 0.5 * _share(terms, set(held)) + 0.5 * _share(pairs, set(pairwise(held)))


def _share(wanted: Mapping[T, float], held: set[T]) -> float:
    whole = sum(wanted.values())
    return sum(weight for each, weight in wanted.items() if each in held) / whole if whole else 0.0
