"""Quotes as running text, without bullets and half pairs of Markdown marks."""

import pytest

from backend.ai.text.quotes import escape_brackets, format_passage, format_statement
from backend.ai.text.statements import find_statements


def format_all(text):
    return [format_statement(text, statement) for statement in find_statements(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("• The docu-\nment  was\nread.", "The document was read."),
        ("-18 °C is the limit.", "-18 °C is the limit."),
        ("- It is cold.", "It is cold."),
        ("**Phone:** 0221 4455", "**Phone:** 0221 4455"),
        ("> Quoted text.", "Quoted text."),
        ("## Hotels ##", "Hotels"),
        ("Travel policy\n=====", "Travel policy"),
    ],
)
def test_passage_is_one_line_without_bullets_and_heading_marks(text, expected):
    assert format_passage(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**One is so. Two is so.** Three.", ["One is so.", "Two is so.", "Three."]),
        ("_Eins ist so. Zwei ist so._ Drei.", ["Eins ist so.", "Zwei ist so.", "Drei."]),
        ("~~Un est là. Deux aussi.~~ Trois.", ["Un est là.", "Deux aussi.", "Trois."]),
        ("Use `a. B` now.", ["Use a.", "B now."]),
        ("See [the page. Or this](http://a.b/c) now.", ["See the page.", "Or this now."]),
        ("**All of it.** The rest.", ["**All of it.**", "The rest."]),
        ("一。**二。三。**四。", ["一。", "二。", "三。", "四。"]),
        ("It is 2*3. And 4*5.", ["It is 2*3.", "And 4*5."]),
        ("Set snake_case here. And other_names.", ["Set snake_case here.", "And other_names."]),
        (r"A \*star. Another\* one.", [r"A \*star.", r"Another\* one."]),
    ],
)
def test_statement_contains_both_marks_of_a_pair_or_none(text, expected):
    assert format_all(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It reads [12].", r"It reads \[12\]."),
        ("See [4, 5] and [7-9].", r"See \[4, 5\] and \[7-9\]."),
        (r"Already \[4\].", r"Already \[4\]."),
        ("Left out [sic] and [a1].", "Left out [sic] and [a1]."),
    ],
)
def test_numbers_in_brackets_are_escaped(text, expected):
    assert escape_brackets(text) == expected


def test_table_row_is_formatted_with_the_names_of_its_columns():
    assert format_all("Part\tPrice\nNut\t0.75 [1]") == [r"Part: Nut; Price: 0.75 \[1\]"]
