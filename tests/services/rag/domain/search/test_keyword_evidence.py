"""Weight of keywords in a library of several languages."""

import pytest

from backend.services.rag.domain.search.fusion import (
    KEYWORD_WEIGHT,
    KeywordEvidence,
    compute_margin,
    fuse_rankings,
    prefer_language,
)


def test_known_words_of_an_answer_in_the_same_language_have_full_weight():
    evidence = KeywordEvidence(coverage=1.0, match=0.6, margin=1.0)

    assert evidence.weight == pytest.approx(KEYWORD_WEIGHT, abs=0.01)


def test_words_have_no_weight_over_documents_in_another_language():
    assert KeywordEvidence(coverage=0.5, match=0.2, margin=-1.0).weight < 0.01


def test_unknown_words_reduce_the_weight():
    assert KeywordEvidence(coverage=0.5, match=0.6, margin=1.0).weight < 0.3


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        ({"a": "de", "b": "ru"}, 0.3),
        ({"a": "ru", "b": "de"}, -0.3),
        ({"a": "de", "b": "de"}, 1.0),
        ({"a": "ru", "b": "th"}, -1.0),
        ({}, 1.0),
    ],
)
def test_margin_compares_the_best_hits_in_and_outside_the_language(languages, expected):
    assert compute_margin({"a": 0.7, "b": 0.4}, languages, "de") == pytest.approx(expected)


def test_margin_without_hits_is_that_of_another_language():
    assert compute_margin({}, {}, "de") == -1.0


def test_fusion_without_keyword_weight_is_the_dense_ranking():
    assert list(fuse_rankings({"a": 0.9, "b": 0.5}, {"c": 9.0, "b": 3.0}, 0.0)) == ["a", "b", "c"]


def test_translation_in_the_language_of_the_question_is_preferred():
    evidence = KeywordEvidence(coverage=1.0, match=0.5, margin=0.0)
    languages = {"russian": "ru", "german": "de"}

    dense = prefer_language({"russian": 0.53, "german": 0.5}, languages, "de", evidence)

    assert max(dense, key=dense.__getitem__) == "german"


def test_better_text_in_another_language_stays_first():
    evidence = KeywordEvidence(coverage=0.4, match=0.1, margin=-0.1)
    languages = {"russian": "ru", "german": "de"}

    dense = prefer_language({"russian": 0.53, "german": 0.5}, languages, "de", evidence)

    assert max(dense, key=dense.__getitem__) == "russian"
