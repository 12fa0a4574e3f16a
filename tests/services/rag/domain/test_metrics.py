"""The measures, against values worked out by hand with trec_eval's definitions."""

import pytest

from backend.services.rag.domain.metrics import ndcg, percentile, recall, reciprocal_rank

GRADES = {"a": 3, "b": 2, "c": 3, "e": 1, "f": 2, "d": 0, "x": -1}


def test_ndcg_discounts_graded_gains():
    # Gains 3 2 3 0 1 2 at their places, by the best order 3 3 2 2 1.
    assert ndcg(list("abcdef"), GRADES, 10) == pytest.approx(6.861127 / 7.141023, rel=1e-5)
    assert ndcg(["x", "d", "?"], GRADES, 10) == 0
    assert ndcg(["a"], {}, 10) == 0


def test_only_the_first_count():
    assert ndcg(["?", "?", "a"], {"a": 1}, 2) == 0
    assert ndcg(["?", "a"], {"a": 1}, 2) == pytest.approx(0.63093, rel=1e-4)
    assert recall(["?", "a", "b"], {"a": 1, "b": 2, "c": 1, "d": 0}, 2) == pytest.approx(1 / 3)


def test_the_reciprocal_rank_is_that_of_the_first_relevant_document():
    assert reciprocal_rank(["d", "x", "e", "a"], GRADES) == pytest.approx(1 / 3)
    assert reciprocal_rank(["?"], GRADES) == 0


def test_percentiles_are_values_that_were_measured():
    assert percentile([4, 1, 3, 2], 0.5) == 2
    assert percentile([4, 1, 3, 2], 0.99) == 4
    assert percentile([7], 0.5) == 7
