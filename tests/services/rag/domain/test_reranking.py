"""The second look by words."""

from dataclasses import replace

from backend.services.rag.domain.found import Found
from backend.services.rag.domain.reranking import RERANKED, by_words

RARITY = {"refund": 3.0, "policy": 1.0, "polici": 1.0, "store": 0.5}


def found(key, text, score):
    return Found(key, f"doc_{key}", 1, "a.txt", "", "", None, 0, len(text), text, score)


def order(query, *passages):
    return [each.chunk_id for each in by_words(query, passages, RARITY)]


def test_a_passage_with_all_of_the_rare_words_comes_first():
    assert order(
        "refund policy of the store",
        found("common", "The store has a policy for the store.", 0.5),
        found("rare", "A refund and the store's policy.", 0.45),
    ) == ["rare", "common"]


def test_words_that_stand_together_count_more():
    assert order(
        "refund policy",
        found("apart", "The policy says nothing about any refund.", 0.5),
        found("together", "Our refund policy says much.", 0.45),
    ) == ["together", "apart"]


def test_what_was_not_looked_at_stays_behind():
    many = [found(f"p{n:02}", "nothing", 1 - n / 100) for n in range(RERANKED + 5)]
    many[-1] = replace(many[-1], text="refund policy")

    assert order("refund policy", *many)[-1] == many[-1].chunk_id


def test_unknown_words_change_nothing():
    passages = [found("a", "one", 0.5), found("b", "two", 0.4)]

    assert by_words("zebra", passages, {}) == passages
