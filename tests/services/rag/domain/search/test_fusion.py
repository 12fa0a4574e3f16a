"""Fusion of the dense and the keyword ranking."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.services.rag.domain.search.fusion import fuse_rankings

KEYS = st.sampled_from("abcdefgh")
SIMILARITIES = st.dictionaries(KEYS, st.floats(-1, 1), max_size=8)
SCORES = st.dictionaries(KEYS, st.floats(0, 50), max_size=8)


def test_hit_of_both_rankings_precedes_hits_of_one():
    ranking = fuse_rankings(
        {"both": 0.8, "dense": 0.9, "low": 0.1}, {"both": 12.0, "word": 13.0, "x": 1.0}
    )

    assert next(iter(ranking)) == "both"


def test_scores_are_weighted_and_relative_to_the_best():
    assert fuse_rankings({"a": 0.8, "b": 0.4}, {"a": 4.0, "d": 2.0}) == pytest.approx(
        {"a": 1.0, "d": 0.55 / 3 + 0.225, "b": 0.55 / 3}
    )


def test_similarities_below_zero_are_relative_to_the_lowest():
    assert fuse_rankings({"a": 0.3, "b": 0.0, "c": -0.1}, {}) == pytest.approx(
        {"a": 0.55, "b": 0.1375, "c": 0.0}
    )


def test_similarity_decides_little_if_all_hits_are_similar():
    dense = {"a": 0.80, "b": 0.75}

    assert next(iter(fuse_rankings(dense, {"b": 9.0, "a": 6.0}))) == "b"
    assert next(iter(fuse_rankings(dense | {"b": 0.2}, {"b": 9.0, "a": 6.0}))) == "a"


@pytest.mark.parametrize(("dense", "keyword"), [({}, {}), ({"a": 0.3}, {}), ({}, {"a": 7.0})])
def test_empty_rankings_are_accepted(dense, keyword):
    assert set(fuse_rankings(dense, keyword)) == {*dense, *keyword}


@given(SIMILARITIES, SCORES)
def test_every_hit_is_ranked_once_with_score_between_0_and_1(dense, keyword):
    ranking = fuse_rankings(dense, keyword)

    assert set(ranking) == {*dense, *keyword}
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in ranking.values())
    assert list(ranking.values()) == sorted(ranking.values(), reverse=True)


@given(SIMILARITIES)
def test_single_ranking_keeps_its_order(dense):
    ranking = list(fuse_rankings(dense, {}))

    assert all(
        dense[a] >= dense[b] or abs(dense[a] - dense[b]) < 1e-9 for a, b in pairwise(ranking)
    )
