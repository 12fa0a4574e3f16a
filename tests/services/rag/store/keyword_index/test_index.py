"""Keyword index, compared with a plain implementation of BM25."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ai.text.terms import extract_terms
from backend.services.rag.store.keyword_index import index as index_module
from backend.services.rag.store.keyword_index import segments
from backend.services.rag.store.keyword_index.index import (
    K1,
    B,
    IndexUpdate,
    KeywordIndex,
    KeywordIndexCache,
)
from backend.services.rag.store.keyword_index.postings import build_postings, hash_term

TEXTS = {
    "a": "the quick brown fox jumps over the lazy dog",
    "b": "a quick answer about foxes and dogs, quick",
    "c": "nothing in common",
    "d": "dog dog dog",
}


def build_index(texts):
    return KeywordIndex(build_postings(f"doc_{key}", 1, [text]) for key, text in texts.items())


def search(index, query, limit=100, document_ids=None):
    """Return scores by the keys of the texts."""
    scores = index.search_chunks(query, limit, document_ids)
    return {key.removeprefix("chk_").split(".")[0]: score for key, score in scores.items()}


def bm25(query, texts):
    """Return BM25 scores, computed directly from the formula."""
    term_counts = {key: Counter(extract_terms(text)) for key, text in texts.items()}
    total = sum(sum(counts.values()) for counts in term_counts.values())
    mean = max(1.0, total / max(1, len(term_counts)))
    scores = {}
    for key, counts in term_counts.items():
        score = 0.0
        for term in extract_terms(query):
            frequency = sum(term in other for other in term_counts.values())
            if frequency:
                count = len(term_counts)
                idf = math.log(1 + (count - frequency + 0.5) / (frequency + 0.5))
                norm = K1 * (1 - B + B * sum(counts.values()) / mean)
                score += idf * counts[term] * (K1 + 1) / (counts[term] + norm)
        if score:
            scores[key] = score
    return scores


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.lists(st.sampled_from(["fox", "dog", "cat", "owl"]), max_size=8).map(" ".join),
        min_size=1,
    ),
    st.lists(st.sampled_from(["fox", "dog", "cat", "elk"]), max_size=4).map(" ".join),
)
def test_scores_equal_bm25(texts, query):
    assert search(build_index(texts), query) == pytest.approx(bm25(query, texts), rel=1e-4)


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.lists(st.sampled_from(["fox", "dog", "cat", "owl"]), max_size=8).map(" ".join),
        ),
        max_size=30,
    )
)
def test_scores_equal_bm25_after_any_changes(changes):
    index, texts = KeywordIndex(), {}
    for key, text in changes:
        if text:
            index.add_documents([build_postings(f"doc_{key}", 1, [text])])
            texts[key] = text
        else:
            index.delete_document(f"doc_{key}")
            texts.pop(key, None)

    assert search(index, "fox dog") == pytest.approx(bm25("fox dog", texts), rel=1e-4)
    assert len(index) <= 2 * max(1, len(texts)) + 1


def test_chunk_ids_contain_document_generation_and_ordinal():
    index = KeywordIndex(
        [
            build_postings("doc_x", 3, ["owl", "fox", "owl fox"]),
            build_postings("doc_y", 1, ["", "fox"]),
        ]
    )

    assert set(index.search_chunks("fox", 10)) == {"chk_x.3.1", "chk_x.3.2", "chk_y.1.1"}


def test_full_segments_are_not_merged_and_all_searched(monkeypatch):
    monkeypatch.setattr(segments, "MAX_SEGMENT_POSTINGS", 4)
    monkeypatch.setattr(index_module, "MAX_SEGMENT_POSTINGS", 4)
    texts = {letter: f"fox {letter * 3} {'dog ' * n}" for n, letter in enumerate("abcdefgh")}

    assert search(build_index(texts), "dog fox ccc") == pytest.approx(
        bm25("dog fox ccc", texts), rel=1e-4
    )


def test_search_returns_at_most_limit_hits_best_first():
    scores = search(build_index(TEXTS), "quick dogs", 2)

    assert list(scores) == sorted(scores, key=lambda key: -scores[key])
    assert len(scores) == 2
    assert "c" not in scores


def test_scores_of_given_chunks_are_returned_beyond_the_limit():
    index = KeywordIndex(
        [
            build_postings("doc_x", 3, ["owl", "fox", "fox fox owl"]),
            build_postings("doc_y", 1, ["fox cat dog", "cat"]),
        ]
    )
    index.add_documents([build_postings("doc_z", 1, ["fox cat"])])
    index.delete_document("doc_z")
    every = index.search_chunks("fox", 10)
    (best,) = index.search_chunks("fox", 1)
    further = {"chk_y.1.0", "chk_x.3.1"} - {best}
    unknown = {"chk_y.1.1", "chk_y.2.0", "chk_y.1.2", "chk_z.1.0", "chk_none.1.0"}

    scores = index.search_chunks("fox", 1, None, further | unknown)

    assert scores == {key: every[key] for key in (best, *further)}


def test_deleted_document_is_not_found():
    index = build_index(TEXTS)

    index.delete_document("doc_d")

    assert "d" not in search(index, "dog")


@pytest.mark.parametrize(
    ("terms", "count"), [(["dog"], 3), (["dog", "fox"], 3), (["lazi", "common"], 2), (["owl"], 0)]
)
def test_chunks_with_any_of_several_terms_are_counted_once(terms, count):
    assert build_index(TEXTS).count_chunks(map(hash_term, terms)) == count


@pytest.mark.parametrize(("terms", "count"), [(["dog"], 2), (["dog", "fox"], 2)])
def test_chunks_of_deleted_documents_are_not_counted(terms, count):
    index = build_index(TEXTS)

    index.delete_document("doc_d")

    assert index.count_chunks(map(hash_term, terms)) == count


def test_search_is_restricted_to_given_documents():
    assert set(search(build_index(TEXTS), "dog", 10, {"doc_a", "doc_c"})) == {"a"}
    assert build_index(TEXTS).search_chunks("dog", 10, set()) == {}


def test_unknown_terms_have_no_hits():
    assert build_index(TEXTS).search_chunks("zebra", 10) == {}
    assert build_index({}).search_chunks("zebra", 10) == {}


class Collections:
    """Texts of two collections, their changes, and the number of complete loads of each."""

    def __init__(self):
        self.texts = {
            "one": {"doc_a": "red fox", "doc_b": "grey fox"},
            "two": {"doc_c": "fox cubs"},
        }
        self.changes = {"one": [], "two": []}
        self.loads = Counter()

    def get_version(self, collection_id):
        return len(self.changes[collection_id])

    def put_document(self, collection_id, document_id, text):
        self.texts[collection_id][document_id] = text
        self.changes[collection_id].append(document_id)

    def delete_document(self, collection_id, document_id):
        del self.texts[collection_id][document_id]
        self.changes[collection_id].append(document_id)

    def load_update(self, collection_id, version):
        postings = [
            build_postings(key, 1, [text]) for key, text in self.texts[collection_id].items()
        ]
        latest = self.get_version(collection_id)
        if version is None:
            self.loads[collection_id] += 1
            return IndexUpdate(latest, None, postings)
        changed = set(self.changes[collection_id][version:])
        return IndexUpdate(
            latest, changed, [document for document in postings if document.document_id in changed]
        )


def find_documents(cache, collections, collection_id, query):
    scores = cache.search_chunks(
        collection_id, collections.get_version(collection_id), query, limit=10
    )
    return {chunk_id.split(".")[0] for chunk_id in scores}


def test_collection_is_loaded_once_and_then_updated():
    collections = Collections()
    cache = KeywordIndexCache(collections.load_update, max_chunks=100)
    assert find_documents(cache, collections, "one", "fox") == {"chk_a", "chk_b"}

    collections.put_document("one", "doc_a", "no animals")
    collections.put_document("one", "doc_n", "arctic fox")
    collections.delete_document("one", "doc_b")

    assert find_documents(cache, collections, "one", "fox") == {"chk_n"}
    assert find_documents(cache, collections, "one", "animals") == {"chk_a"}
    assert collections.loads["one"] == 1


def test_index_is_not_reloaded_for_an_older_version():
    collections = Collections()
    cache = KeywordIndexCache(collections.load_update, max_chunks=100)
    collections.put_document("one", "doc_n", "arctic fox")
    assert "chk_n" in find_documents(cache, collections, "one", "fox")

    scores = cache.search_chunks("one", 0, "arctic", 10)

    assert {chunk_id.split(".")[0] for chunk_id in scores} == {"chk_n"}
    assert collections.loads["one"] == 1


def test_least_recently_searched_collection_is_evicted():
    collections = Collections()
    cache = KeywordIndexCache(collections.load_update, max_chunks=2)

    for collection_id in ("one", "two", "two", "one"):
        find_documents(cache, collections, collection_id, "fox")

    assert collections.loads == {"one": 2, "two": 1}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("Verwaltung", ["a", "b"], id="part of a compound, after the word itself"),
        pytest.param("Krankenhaus", ["b"], id="first part"),
        pytest.param("Gebühr", ["b"], id="last part with an ending"),
        pytest.param("Gartenverwaltung", ["a", "c"], id="words of a compound"),
        pytest.param("Krankheit", [], id="similar word"),
    ],
)
def test_compounds_match_their_parts(query, expected):
    index = build_index(
        {"a": "die Verwaltung", "b": "Krankenhausverwaltungsgebühren", "c": "der Garten"}
    )

    assert list(search(index, query)) == expected


def test_compounds_are_found_after_segments_are_merged():
    index = build_index({"a": "Hausverwaltungen"})
    for number in range(5):
        index.add_documents([build_postings(f"doc_{number}", 1, ["some other words"])])
    index.delete_document("doc_0")

    assert list(search(index, "Verwaltung")) == ["a"]


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [
        pytest.param("grey fox", 1.0, 1.0, id="all terms"),
        pytest.param("fox kennel", 0.05, 0.4, id="only the frequent term"),
        pytest.param("Fuchsbau", 0.0, 0.0, id="no term"),
        pytest.param("", 0.0, 0.0, id="no words"),
    ],
)
def test_term_coverage_is_weighted_share_of_known_terms(query, low, high):
    collections = Collections()
    cache = KeywordIndexCache(collections.load_update, max_chunks=100)

    assert low <= cache.weigh_terms({"one": 0, "two": 0}, query).coverage <= high


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Die Mieter haben die Häuser gestrichen und nicht bezahlt.", "Wer streicht das Haus?"),
        ("Los inquilinos pintaron las casas y no pagaron.", "¿Quién pintó la casa?"),
        ("Арендаторы покрасили дома и не заплатили за аренду.", "Сколько стоит аренда дома?"),
        ("Οι ενοικιαστές έβαψαν τα σπίτια και δεν πλήρωσαν.", "Ποιος έβαψε το σπίτι;"),
        ("Çalışanlar evleri boyadı ve ücretleri ödemediler.", "Çalışan ücreti ne kadar?"),
        ("किरायेदारों ने घरों को रंगा और किराया नहीं दिया।", "किरायेदार ने क्या रंगा?"),
        ("Chiriașii au vopsit casele și nu au plătit chiria.", "Cine a vopsit casa?"),
        ("قام المستأجرون بطلاء البيوت ولم يدفعوا الإيجار.", "كم الإيجار على المستأجر؟"),
        ("租户粉刷了房屋，没有支付租金。", "租金是多少？"),
        ("ผู้เช่าทาสีบ้านและไม่จ่ายค่าเช่า", "ค่าเช่าเท่าไร"),
        ("Người thuê đã sơn nhà và không trả tiền thuê.", "tien thue la bao nhieu"),
    ],
)
def test_other_forms_of_words_are_found_in_many_languages(text, query):
    index = build_index({"a": text, "b": "The weather was fine in 1998.", "c": "Ein Hund bellt."})

    assert list(search(index, query)) == ["a"]


def test_names_are_found_across_languages():
    index = build_index({"a": "Johannes Kepler wurde in Weil der Stadt geboren und war Astronom."})

    assert list(search(index, "Where was Johannes Kepler born?")) == ["a"]
