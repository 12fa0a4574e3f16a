"""One ranking out of two."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.services.rag.domain.fusion import fused

SCORES = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 50), max_size=8)


def test_what_both_find_comes_before_what_one_finds():
    ranking = fused({"both": 0.8, "dense": 0.9, "low": 0.1}, {"both": 12.0, "word": 13.0, "x": 1.0})

    assert next(iter(ranking)) == "both"


def test_scores_are_the_mean_of_both_ranges():
    assert fused({"a": 1.0, "b": 0.5, "c": 0.0}, {"a": 4.0, "d": 2.0}) == pytest.approx(
        {"a": 1.0, "b": 0.25, "c": 0.0, "d": 0.0}
    )


@pytest.mark.parametrize(("dense", "keyword"), [({}, {}), ({"a": 0.3}, {}), ({}, {"a": 7.0})])
def test_one_side_or_both_may_be_empty(dense, keyword):
    assert set(fused(dense, keyword)) == {*dense, *keyword}


@settings(deadline=None)
@given(SCORES, SCORES)
def test_every_candidate_is_ranked_once_between_nought_and_one(dense, keyword):
    ranking = fused(dense, keyword)

    assert set(ranking) == {*dense, *keyword}
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in ranking.values())
    assert list(ranking.values()) == sorted(ranking.values(), reverse=True)


@settings(deadline=None)
@given(SCORES)
def test_alone_a_ranking_keeps_its_order(dense):
    ranking = list(fused(dense, {}))

    assert all(
        dense[a] >= dense[b] or abs(dense[a] - dense[b]) < 1e-9 for a, b in pairwise(ranking)
    )
