"""Tokens and the characters they cover."""

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ai.embedding import MAX_TOKENS, Tokens

TOKENS = Tokens()


def test_a_token_names_the_characters_it_stands_for():
    text = "Čapek's 12 robots"

    assert [text[start:end] for start, end in TOKENS.spans(text)] == [
        "Čape", "k", "'", "s", "12", "robots",
    ]  # fmt: skip


def test_counting_does_not_stop_where_the_model_stops_reading():
    assert TOKENS.count("word " * 1000) == 1000
    assert len(TOKENS.encode("word " * 1000).ids) == MAX_TOKENS


@settings(deadline=None)
@given(st.text())
def test_spans_lie_in_the_text_and_in_order(text):
    spans = TOKENS.spans(text.encode("utf-8", "replace").decode())

    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert spans == sorted(spans)
