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


def test_scripts_without_blanks_are_taken_by_character():
    assert words("東京都 2020") == ["東", "京", "都", "2020"]


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_words_without_blanks(text):
    assert all(word and not any(letter.isspace() for letter in word) for word in words(text))
