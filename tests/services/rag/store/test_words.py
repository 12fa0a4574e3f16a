"""What counts as the same word."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.services.rag.store.words import words


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
    ],
)
def test_forms_of_a_word_meet(one, other):
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"), [("news", "new york"), ("bus", "bu"), ("1997", "1998"), ("sing", "s")]
)
def test_different_words_stay_apart(one, other):
    assert words(one) != words(other)


def test_stop_words_and_punctuation_are_left_out():
    assert words("What is the capital-city of France?") == ["capital", "citi", "franc"]


def test_scripts_without_blanks_are_taken_by_pairs_of_characters():
    assert words("東京都 2020") == ["東京", "京都", "2020"]
    assert words("京") == ["京"]
    assert words("第2章") == ["第", "2", "章"]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Die Prüfung der Straße", "PRÜFUNG straße"),
        ("Les élèves étudient à l'école", "eleve ecole"),
        ("Документы библиотеки хранятся здесь", "документ библиотека"),
        ("東京都の図書館は九時に開きます", "図書館"),
        ("\u0e2b\u0e49\u0e2d\u0e07\u0e2a\u0e21\u0e38\u0e14", "\u0e2a\u0e21\u0e38\u0e14"),
        ("تفتح المكتبة في التاسعة", "مكتبة"),
        ("\ufb01le \u2460 \uff26ull", "file 1 full"),
        ("हिन्दी की किताब", "किताब"),
    ],
    ids=["German", "French", "Russian", "Japanese", "Thai", "Arabic", "compatibility", "Hindi"],
)
def test_words_of_many_languages_are_found(text, query):
    assert set(words(query)) <= set(words(text))


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_words_without_blanks(text):
    assert all(word and not any(letter.isspace() for letter in word) for word in words(text))
