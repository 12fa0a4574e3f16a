"""Ranking metrics compared with values calculated by hand from trec_eval's definitions."""

import pytest

from backend.services.rag.domain.evaluation.ranking_metrics import (
    compute_ndcg,
    compute_percentile,
    compute_recall,
    compute_reciprocal_rank,
)

GRADES = {"a": 3, "b": 2, "c": 3, "e": 1, "f": 2, "d": 0, "x": -1}


def test_ndcg_discounts_graded_gains_by_rank():
    # Gains 3 2 3 0 1 2 divided by the ideal order 3 3 2 2 1.
    assert compute_ndcg(list("abcdef"), GRADES, 10) == pytest.approx(6.861127 / 7.141023, rel=1e-5)
    assert compute_ndcg(["x", "d", "?"], GRADES, 10) == 0
    assert compute_ndcg(["a"], {}, 10) == 0


def test_ndcg_and_recall_ignore_ranks_below_depth():
    assert compute_ndcg(["?", "?", "a"], {"a": 1}, 2) == 0
    assert compute_ndcg(["?", "a"], {"a": 1}, 2) == pytest.approx(0.63093, rel=1e-4)
    assert compute_recall(["?", "a", "b"], {"a": 1, "b": 2, "c": 1, "d": 0}, 2) == pytest.approx(
        1 / 3
    )


def test_reciprocal_rank_uses_the_first_relevant_document():
    assert compute_reciprocal_rank(["d", "x", "e", "a"], GRADES) == pytest.approx(1 / 3)
    assert compute_reciprocal_rank(["?"], GRADES) == 0


def test_percentile_is_one_of_the_values():
    assert compute_percentile([4, 1, 3, 2], 0.5) == 2
    assert compute_percentile([4, 1, 3, 2], 0.99) == 4
    assert compute_percentile([7], 0.5) == 7
