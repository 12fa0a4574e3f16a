"""Term extraction: which texts match, and which do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ai.text.terms import extract_content_terms, extract_terms


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("policies", "policy"),
        ("Refunds", "refund"),
        ("stopped", "stopping"),
        ("running", "run"),
        ("classes", "class"),
        ("Café", "cafe"),
        ("quickly", "quick"),
        ("\u0130brahim", "ibrahim"),
        ("\u0130BRAHIM", "Ibrahim"),
        ("\u0131\u015f\u0131k", "I\u015eIK"),
        ("Diyarbak\u0131r", "DIYARBAKIR"),
    ],
)
def test_forms_of_a_word_have_the_same_term(one, other):
    assert extract_terms(one) == extract_terms(other)


@pytest.mark.parametrize(
    ("one", "other"), [("news", "new york"), ("bus", "bu"), ("1997", "1998"), ("sing", "s")]
)
def test_different_words_have_different_terms(one, other):
    assert extract_terms(one) != extract_terms(other)


def test_stop_words_and_punctuation_are_removed():
    assert extract_terms("What is the capital-city of France?") == ["capital", "citi", "franc"]


def test_scripts_without_spaces_are_split_into_characters_and_pairs():
    assert extract_terms("東京都 2020") == ["東", "京", "都", "東京", "京都", "2020"]
    assert extract_terms("京") == ["京"]
    assert extract_terms("第2章") == ["第", "2", "章"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        pytest.param("Die Prüfung der Straße", "PRÜFUNG straße", id="German"),
        pytest.param("Les élèves étudient à l'école", "eleve ecole", id="French"),
        pytest.param("Документы библиотеки хранятся здесь", "документ библиотека", id="Russian"),
        pytest.param("東京都の図書館は九時に開きます", "図書館", id="Japanese"),
        pytest.param(
            "\u0e2b\u0e49\u0e2d\u0e07\u0e2a\u0e21\u0e38\u0e14",
            "\u0e2a\u0e21\u0e38\u0e14",
            id="Thai",
        ),
        pytest.param("تفتح المكتبة في التاسعة", "مكتبة", id="Arabic"),
        pytest.param("\ufb01le \u2460 \uff26ull", "file 1 full", id="compatibility characters"),
        pytest.param("हिन्दी की किताब", "किताब", id="Hindi"),
    ],
)
def test_query_terms_are_found_in_text_of_many_languages(text, query):
    assert set(extract_terms(query)) <= set(extract_terms(text))


def test_content_terms_are_distinct_and_exclude_common_words():
    assert extract_content_terms("Some other refunds, and a refund about this") == {"refund"}
    assert "about" in extract_terms("about")


@given(st.text(max_size=200))
def test_terms_of_any_text_are_not_empty_and_contain_no_white_space(text):
    for term in extract_terms(text):
        assert term
        assert not any(char.isspace() for char in term)
