"""The keyword index against BM25 as the books write it."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.services.rag.store import keywords, segments
from backend.services.rag.store.keywords import K1, B, KeywordIndex, KeywordIndexes, Update
from backend.services.rag.store.postings import counted
from backend.services.rag.store.words import words

TEXTS = {
    "a": "the quick brown fox jumps over the lazy dog",
    "b": "a quick answer about foxes and dogs, quick",
    "c": "nothing in common",
    "d": "dog dog dog",
}


def index_of(texts):
    return KeywordIndex(counted(f"doc_{key}", 1, [text]) for key, text in texts.items())


def best(index, query, limit=100, documents=None):
    """Scores by the texts' keys."""
    scores = index.best(query, limit, documents)
    return {key.removeprefix("chk_").split(".")[0]: score for key, score in scores.items()}


def bm25(query, texts):
    """Slow and by the formula."""
    held = {key: Counter(words(text)) for key, text in texts.items()}
    mean = max(1.0, sum(sum(held[key].values()) for key in held) / max(1, len(held)))
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
    assert best(index_of(texts), query) == pytest.approx(bm25(query, texts), rel=1e-4)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.lists(st.sampled_from(["fox", "dog", "cat", "owl"]), max_size=8).map(" ".join),
        ),
        max_size=30,
    )
)
def test_scores_are_bm25_of_what_stands_after_any_changes(changes):
    index, texts = KeywordIndex(), {}
    for key, text in changes:
        if text:
            index.add([counted(f"doc_{key}", 1, [text])])
            texts[key] = text
        else:
            index.forget(f"doc_{key}")
            texts.pop(key, None)

    assert best(index, "fox dog") == pytest.approx(bm25("fox dog", texts), rel=1e-4)
    assert len(index) <= 2 * max(1, len(texts)) + 1


def test_passages_are_named_by_document_generation_and_place():
    index = KeywordIndex(
        [counted("doc_x", 3, ["owl", "fox", "owl fox"]), counted("doc_y", 1, ["", "fox"])]
    )

    assert set(index.best("fox", 10)) == {"chk_x.3.1", "chk_x.3.2", "chk_y.1.1"}


def test_segments_that_are_full_stay_apart_and_are_searched_together(monkeypatch):
    monkeypatch.setattr(segments, "MOST_POSTINGS", 4)
    monkeypatch.setattr(keywords, "MOST_POSTINGS", 4)
    texts = {letter: f"fox {letter * 3} {'dog ' * n}" for n, letter in enumerate("abcdefgh")}

    assert best(index_of(texts), "dog fox ccc") == pytest.approx(
        bm25("dog fox ccc", texts), rel=1e-4
    )


def test_the_best_come_first_and_no_more_than_asked():
    found = best(index_of(TEXTS), "quick dogs", 2)

    assert list(found) == sorted(found, key=lambda key: -found[key])
    assert len(found) == 2
    assert "c" not in found


def test_a_forgotten_document_is_not_found():
    index = index_of(TEXTS)

    index.forget("doc_d")

    assert "d" not in best(index, "dog")


def test_only_named_documents_are_looked_in():
    assert set(best(index_of(TEXTS), "dog", 10, {"doc_a", "doc_c"})) == {"a"}
    assert index_of(TEXTS).best("dog", 10, set()) == {}


def test_unknown_words_find_nothing():
    assert index_of(TEXTS).best("zebra", 10) == {}
    assert index_of({}).best("zebra", 10) == {}


class Shelf:
    """Passages of two collections as they change, and how often each was read in whole."""

    def __init__(self):
        self.passages = {
            "one": {"doc_a": "red fox", "doc_b": "grey fox"},
            "two": {"doc_c": "fox cubs"},
        }
        self.changes = {"one": [], "two": []}
        self.read = Counter()

    def version(self, collection_id):
        return len(self.changes[collection_id])

    def put(self, collection_id, document_id, text):
        self.passages[collection_id][document_id] = text
        self.changes[collection_id].append(document_id)

    def delete(self, collection_id, document_id):
        del self.passages[collection_id][document_id]
        self.changes[collection_id].append(document_id)

    def update(self, collection_id, version):
        shown = [counted(key, 1, [text]) for key, text in self.passages[collection_id].items()]
        latest = self.version(collection_id)
        if version is None:
            self.read[collection_id] += 1
            return Update(latest, None, shown)
        changed = set(self.changes[collection_id][version:])
        return Update(latest, changed, [each for each in shown if each.document_id in changed])


def found(indexes, shelf, collection_id, query):
    scores = indexes.best(collection_id, shelf.version(collection_id), query, 10)
    return {key.split(".")[0] for key in scores}


def test_a_collection_is_read_once_and_then_catches_up():
    shelf = Shelf()
    indexes = KeywordIndexes(shelf.update, most=100)
    assert found(indexes, shelf, "one", "fox") == {"chk_a", "chk_b"}

    shelf.put("one", "doc_a", "no animals")
    shelf.put("one", "doc_n", "arctic fox")
    shelf.delete("one", "doc_b")

    assert found(indexes, shelf, "one", "fox") == {"chk_n"}
    assert found(indexes, shelf, "one", "animals") == {"chk_a"}
    assert shelf.read["one"] == 1


def test_an_index_that_is_ahead_of_its_asker_stays_as_it_is():
    shelf = Shelf()
    indexes = KeywordIndexes(shelf.update, most=100)
    shelf.put("one", "doc_n", "arctic fox")
    assert "chk_n" in found(indexes, shelf, "one", "fox")

    assert {key.split(".")[0] for key in indexes.best("one", 0, "arctic", 10)} == {"chk_n"}
    assert shelf.read["one"] == 1


def test_the_collection_asked_longest_ago_makes_room():
    shelf = Shelf()
    indexes = KeywordIndexes(shelf.update, most=2)

    for collection in ("one", "two", "two", "one"):
        found(indexes, shelf, collection, "fox")

    assert shelf.read == {"one": 2, "two": 1}
