"""The keyword index against BM25 as the books write it."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.services.rag.store.keywords import K1, B, Entry, KeywordIndex, KeywordIndexes
from backend.services.rag.store.words import words

TEXTS = {
    "a": "the quick brown fox jumps over the lazy dog",
    "b": "a quick answer about foxes and dogs, quick",
    "c": "nothing in common",
    "d": "dog dog dog",
}


def index_of(texts):
    index = KeywordIndex()
    index.add(Entry(key, f"doc_{key}", text) for key, text in texts.items())
    return index


def bm25(query, texts):
    """Slow and by the formula."""
    held = {key: Counter(words(text)) for key, text in texts.items()}
    mean = max(1.0, sum(sum(held[key].values()) for key in held) / len(held))
    scores = {}
    for key, counts in held.items():
        score = 0.0
        for term in words(query):
            frequency = sum(term in other for other in held.values())
            if frequency:
                rarity = math.log(1 + (len(held) - frequency + 0.5) / (frequency + 0.5))
                norm = K1 * (1 - B + B * sum(counts.values()) / mean)
                score += rarity * counts[term] * (K1 + 1) / (counts[term] + norm)
        if score:
            scores[key] = score
    return scores


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.lists(st.sampled_from(["fox", "dog", "cat", "owl"]), max_size=8).map(" ".join),
        min_size=1,
    ),
    st.lists(st.sampled_from(["fox", "dog", "cat", "elk"]), max_size=4).map(" ".join),
)
def test_scores_are_bm25(texts, query):
    assert index_of(texts).best(query, 100) == pytest.approx(bm25(query, texts), rel=1e-4)


def test_the_best_come_first_and_no_more_than_asked():
    found = index_of(TEXTS).best("quick dogs", 2)

    assert list(found) == sorted(found, key=lambda key: -found[key])
    assert len(found) == 2
    assert "c" not in found


def test_a_forgotten_document_is_not_found():
    index = index_of(TEXTS)

    index.forget("doc_d")

    assert "d" not in index.best("dog", 10)
    assert index.waste == 1


def test_only_named_documents_are_looked_in():
    assert set(index_of(TEXTS).best("dog", 10, {"doc_a", "doc_c"})) == {"a"}
    assert index_of(TEXTS).best("dog", 10, set()) == {}


def test_unknown_words_find_nothing():
    assert index_of(TEXTS).best("zebra", 10) == {}
    assert index_of({}).best("zebra", 10) == {}


class Shelf:
    """Passages of two collections, and how often each was read."""

    def __init__(self):
        self.passages = {
            "one": [Entry("a", "doc_a", "red fox"), Entry("b", "doc_b", "grey fox")],
            "two": [Entry("c", "doc_c", "fox cubs")],
        }
        self.read = Counter()

    def load(self, collection_id):
        self.read[collection_id] += 1
        return self.passages[collection_id]


def test_a_collection_is_read_once_and_then_kept_up_to_date():
    shelf = Shelf()
    indexes = KeywordIndexes(shelf.load, most=100)
    assert set(indexes.best("one", "fox", 10)) == {"a", "b"}

    indexes.replace("one", "doc_a", [Entry("a2", "doc_a", "no animals")])
    indexes.replace("one", "doc_n", [Entry("n", "doc_n", "arctic fox")])
    indexes.forget("one", "doc_b")

    assert set(indexes.best("one", "fox", 10)) == {"n"}
    indexes.best("one", "arctic", 10)
    assert shelf.read["one"] <= 2


def test_the_collection_asked_longest_ago_makes_room():
    shelf = Shelf()
    indexes = KeywordIndexes(shelf.load, most=2)

    for collection in ("one", "two", "two", "one"):
        indexes.best(collection, "fox", 10)

    assert shelf.read == {"one": 2, "two": 1}


def test_what_is_not_open_is_read_when_it_is_asked():
    shelf = Shelf()
    indexes = KeywordIndexes(shelf.load, most=100)

    indexes.replace("one", "doc_x", [Entry("x", "doc_x", "fox")])
    indexes.forget("two", "doc_c")
    indexes.drop("one")

    assert set(indexes.best("one", "fox", 10)) == {"a", "b"}
