"""Reranking of search hits by terms and by sentences."""

from dataclasses import replace

from backend.services.rag.domain.search.reranking import (
    RERANK_DEPTH,
    rerank_by_sentences,
    rerank_by_terms,
)
from backend.services.rag.model import SearchHit

TERM_WEIGHTS = {"refund": 3.0, "policy": 1.0, "polici": 1.0, "store": 0.5}


def build_hit(key, text, score):
    return SearchHit(key, f"doc_{key}", 1, "a.txt", "", "", None, 0, len(text), text, score)


def rank_ids(query, *hits):
    return [hit.chunk_id for hit in rerank_by_terms(query, hits, TERM_WEIGHTS)]


def test_hit_with_all_rare_terms_is_first():
    assert rank_ids(
        "refund policy of the store",
        build_hit("common", "The store has a policy for the store.", 0.5),
        build_hit("rare", "A refund and the store's policy.", 0.45),
    ) == ["rare", "common"]


def test_adjacent_terms_raise_the_score():
    assert rank_ids(
        "refund policy",
        build_hit("apart", "The policy says nothing about any refund.", 0.5),
        build_hit("together", "Our refund policy says much.", 0.45),
    ) == ["together", "apart"]


def test_hits_below_rerank_depth_stay_last():
    hits = [build_hit(f"p{n:02}", "nothing", 1 - n / 100) for n in range(RERANK_DEPTH + 5)]
    hits[-1] = replace(hits[-1], text="refund policy")

    assert rank_ids("refund policy", *hits)[-1] == hits[-1].chunk_id


def test_unknown_terms_do_not_change_the_order():
    hits = [build_hit("a", "one", 0.5), build_hit("b", "two", 0.4)]

    assert rerank_by_terms("zebra", hits, {}) == hits


def test_chunk_of_a_table_with_the_row_of_the_question_is_first():
    weights = {"extension": 0.1, "olga": 1.0, "hahn": 1.0}
    separate = build_hit("a", "Olga Ek\tSales\t1\nIda Hahn\tSales\t2", 1.0)
    together = build_hit("b", "Ida Ek\tSales\t3\nOlga Hahn\tSales\t4", 0.6)

    ranked = rerank_by_terms("extension of Olga Hahn", [separate, together], weights)

    assert [hit.chunk_id for hit in ranked] == ["b", "a"]


def test_hit_with_the_most_similar_sentences_is_first():
    hits = [build_hit("topic", "", 0.9), build_hit("answer", "", 0.7)]

    ranked = rerank_by_sentences(hits, {"topic": 0.3, "answer": 0.6})

    assert [hit.chunk_id for hit in ranked] == ["answer", "topic"]


def test_similar_sentences_do_not_raise_hits_below_rerank_depth():
    hits = [build_hit(f"p{n:02}", "", 1 - n / 100) for n in range(RERANK_DEPTH + 2)]
    similarities = {hit.chunk_id: 0.1 for hit in hits[:RERANK_DEPTH]} | {hits[-1].chunk_id: 1.0}

    assert rerank_by_sentences(hits, similarities)[-2:] == hits[-2:]
