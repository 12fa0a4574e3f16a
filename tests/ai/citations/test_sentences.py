"""Sentences know where they stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ai.citations.sentences import LONGEST, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Miller came. He left.", ["Dr. Miller came.", "He left."]),
        ("See Fig. 3 for e.g. this. Then go.", ["See Fig. 3 for e.g. this.", "Then go."]),
        ("It costs 3.50 today. Fine.", ["It costs 3.50 today.", "Fine."]),
        ("Heading\n\nText goes on\nhere.", ["Heading", "Text goes on\nhere."]),
        ("List:\n- one\n- two", ["List:", "- one", "- two"]),
        (
            "The Birth of Printing (1440)\nThe first press stood in\nMainz. It was slow.",
            [
                "The Birth of Printing (1440)",
                "The first press stood in\nMainz.",
                "It was slow.",
            ],
        ),
        (
            "However OTSL\nyields more. See Table 1. It is",
            ["However OTSL\nyields more.", "See Table 1.", "It is"],
        ),
        ("Team\tCity\nblues\tSTL\nFlyers\tPHI", ["Team\tCity", "blues\tSTL", "Flyers\tPHI"]),
        ("1. First do this. 2. Then that.", ["1. First do this.", "2. Then that."]),
        ("  ", []),
    ],
)
def test_text_is_cut_where_a_sentence_ends(text, expected):
    assert [each.text for each in sentences(text)] == expected


@given(st.text("ab .\n!-3D", max_size=1_500))
def test_every_sentence_stands_where_it_says_and_nothing_is_lost(text):
    found = sentences(text)

    assert all(text[each.start : each.end] == each.text for each in found)
    assert all(0 < len(each.text) <= LONGEST for each in found)
    assert "".join("".join(each.text.split()) for each in found) == "".join(text.split())
