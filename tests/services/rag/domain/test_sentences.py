"""Where sentences begin and end, in text as it comes out of files."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.services.rag.domain.sentences import sentences


def cut(text):
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"], id="marks"),
        pytest.param(
            'He said "stop." Then he left.', ['He said "stop."', "Then he left."], id="quotes"
        ),
        pytest.param(
            "Dr. Ada met Prof. B. Crane at 5 p.m. in St. Ives.",
            ["Dr. Ada met Prof. B. Crane at 5 p.m. in St. Ives."],
            id="abbreviations",
        ),
        pytest.param("It costs 3.50 e.g. today.", ["It costs 3.50 e.g. today."], id="numbers"),
        pytest.param("これは文。次の文。終", ["これは文。", "次の文。", "終"], id="Japanese"),
        pytest.param(
            "A line that is broken by the width of\nthe page goes on. Next.",
            ["A line that is broken by the width of\nthe page goes on.", "Next."],
            id="soft breaks",
        ),
        pytest.param(
            "Opening hours\nThe library is open from nine in the morning until noon.",
            ["Opening hours", "The library is open from nine in the morning until noon."],
            id="a heading without a full stop",
        ),
        pytest.param("# Title\nText of it.", ["# Title", "Text of it."], id="Markdown heading"),
        pytest.param("- one\n- two\n1. three", ["- one", "- two", "1. three"], id="a list"),
        pytest.param("First\n\nSecond", ["First", "Second"], id="paragraphs"),
        pytest.param(" \n \t", [], id="blanks"),
        pytest.param("", [], id="nothing"),
    ],
)  # fmt: skip
def test_sentences_are_what_a_reader_would_say(text, expected):
    assert cut(text) == expected


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("ab A.!?\n\t-#1(\"'。”\u2028\x1c"), max_size=200))
def test_every_character_that_is_not_blank_is_in_exactly_one_sentence(text):
    spans = sentences(text)

    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))
    inside = "".join(text[start:end] for start, end in spans)
    assert "".join(inside.split()) == "".join(text.split())
