"""Tokens and their positions in the text."""

from hypothesis import given
from hypothesis import strategies as st

from backend.ai.embedding import MAX_TOKENS, EmbeddingTokenizer

TOKENIZER = EmbeddingTokenizer()


def test_token_spans_are_the_characters_of_the_tokens():
    text = "Čapek's 12 robots"

    assert [text[start:end] for start, end in TOKENIZER.find_token_spans(text)] == [
        "Čape", "k", "'", "s", "12", "robots",
    ]  # fmt: skip


def test_token_count_is_not_limited_by_the_sequence_length():
    assert TOKENIZER.count_tokens("word " * 1000) == 1000
    assert len(TOKENIZER.encode("word " * 1000)) == MAX_TOKENS


def test_truncated_text_ends_with_the_token_that_marks_the_end():
    short, long = TOKENIZER.encode("word"), TOKENIZER.encode("word " * 1000)

    assert long == [short[0], *[short[1]] * (MAX_TOKENS - 2), short[-1]]


@given(st.text())
def test_token_spans_are_within_the_text_and_ordered(text):
    spans = TOKENIZER.find_token_spans(text.encode("utf-8", "replace").decode())

    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert spans == sorted(spans)
