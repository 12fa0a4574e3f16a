"""Text with headings and tables."""

import pytest

from backend.ai.text.text_builder import StructuredText, TextBuilder, TextTooLong


def test_lines_paragraphs_and_tables_are_separated():
    builder = TextBuilder()
    builder.break_line()
    builder.add_text("a")
    builder.break_line()
    builder.break_line()
    builder.add_paragraph("b")
    builder.add_paragraph("")
    builder.add_table([["x", "y \n z"], ["", ""], ["1", ""]])

    assert builder.build().text == "a\nb\n\nx\ty z\n1\n\n"


def test_headings_have_their_position_also_in_added_text():
    builder = TextBuilder()
    builder.add_text("ab")
    builder.add_structured_text(StructuredText("cd", [(1, "D")]))
    builder.add_heading("End")

    assert builder.build() == StructuredText("abcd", [(3, "D"), (4, "End")])


def test_text_beyond_the_maximum_is_rejected():
    builder = TextBuilder(max_chars=2)
    builder.add_text("ab")

    with pytest.raises(TextTooLong):
        builder.add_text("c")
