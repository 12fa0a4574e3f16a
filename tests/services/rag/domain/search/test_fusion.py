"""Fusion of the dense and the keyword ranking."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.rag.domain.search.fusion import fuse_rankings

SCORES = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 50), max_size=8)


def test_hit_of_both_rankings_precedes_hits_of_one():
    ranking = fuse_rankings(
        {"both": 0.8, "dense": 0.9, "low": 0.1}, {"both": 12.0, "word": 13.0, "x": 1.0}
    )

    assert next(iter(ranking)) == "both"


def test_scores_are_the_mean_of_normalised_scores():
    assert fuse_rankings({"a": 1.0, "b": 0.5, "c": 0.0}, {"a": 4.0, "d": 2.0}) == pytest.approx(
        {"a": 1.0, "b": 0.25, "c": 0.0, "d": 0.0}
    )


@pytest.mark.parametrize(("dense", "keyword"), [({}, {}), ({"a": 0.3}, {}), ({}, {"a": 7.0})])
def test_empty_rankings_are_accepted(dense, keyword):
    assert set(fuse_rankings(dense, keyword)) == {*dense, *keyword}


@given(SCORES, SCORES)
def test_every_hit_is_ranked_once_with_score_between_0_and_1(dense, keyword):
    ranking = fuse_rankings(dense, keyword)

    assert set(ranking) == {*dense, *keyword}
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in ranking.values())
    assert list(ranking.values()) == sorted(ranking.values(), reverse=True)


@given(SCORES)
def test_single_ranking_keeps_its_order(dense):
    ranking = list(fuse_rankings(dense, {}))

    assert all(
        dense[a] >= dense[b] or abs(dense[a] - dense[b]) < 1e-9 for a, b in pairwise(ranking)
    )
