"""Reading order of PDF pages."""

import pytest

from backend.services.rag.extraction.pdf.parser import parse_pdf
from tests.documents import TextLine
from tests.documents import pdf as make_pdf
from tests.services.rag.conftest import DATA

LEFT = [f"left line {n} runs on to the end of it" for n in range(12)]
RIGHT = [f"right line {n} goes on to the very end" for n in range(12)]


def column_lines(x, lines, top=700):
    return [TextLine(x, top - 12 * n, line) for n, line in enumerate(lines)]


def table_lines(table, width=100):
    return [
        TextLine(60 + width * column, 700 - 14 * row, cell)
        for row, cells in enumerate(table)
        for column, cell in enumerate(cells)
        if cell
    ]


@pytest.mark.parametrize("drawing_order", ["side by side", "one after the other"])
def test_two_columns_are_read_one_after_the_other(parse_with, drawing_order):
    title = [TextLine(60, 740, "A title that runs across both of the columns of this page", 14)]
    left, right = column_lines(60, LEFT), column_lines(320, RIGHT)
    lines = left + right
    if drawing_order == "side by side":
        lines = [line for pair in zip(left, right, strict=True) for line in pair]
    footer = [TextLine(250, 60, "A footnote across the columns, below of them both")]

    parsed = parse_with(parse_pdf, make_pdf(title + lines + footer))

    assert parsed.text.split("\n") == [title[0].text, "", *LEFT, "", *RIGHT, "", footer[0].text]


def test_three_columns_are_read_one_after_the_other(parse_with):
    thirds = [[f"{name} {n} fills its third" for n in range(9)] for name in "abc"]
    columns = [column_lines(60 + 180 * index, third) for index, third in enumerate(thirds)]
    lines = [line for row in zip(*columns, strict=True) for line in row]

    parsed = parse_with(parse_pdf, make_pdf(lines))

    assert parsed.text.split("\n") == [*thirds[0], "", *thirds[1], "", *thirds[2]]


def test_cells_of_table_row_stay_on_one_line(parse_with):
    table = [["Item", "Weight", "Price"], ["Nut, hexagonal", "", "1.20"], ["Bolt", "14 g", "3.00"],
             ["Washer", "2 g", "0.10"], ["Cotter pin", "1 g", "0.05"]]  # fmt: skip

    parsed = parse_with(parse_pdf, make_pdf(table_lines(table)))

    assert parsed.text.split("\n") == ["\t".join(cell for cell in row if cell) for row in table]


def test_paragraphs_are_separated_and_wide_spaces_are_no_tabs(parse_with):
    lines = [
        TextLine(60, 700, "The first paragraph has a sentence."),
        TextLine(235, 700, "And another one behind it, to the very end."),
        TextLine(60, 688, "It goes on."),
        TextLine(60, 660, "The second."),
        TextLine(60, 648, "1."),
        TextLine(80, 648, "An item"),
    ]

    assert parse_with(parse_pdf, make_pdf(lines)).text == (
        "The first paragraph has a sentence. And another one behind it, to the very end.\n"
        "It goes on.\n\nThe second.\n1. An item"
    )


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_rotated_page_is_read_upright(parse_with, rotate):
    assert parse_with(parse_pdf, make_pdf(column_lines(60, LEFT), rotate=rotate)).text == "\n".join(
        LEFT
    )


@pytest.mark.parametrize(
    ("matrix", "position"),
    [
        pytest.param((0, 1, -1, 0), lambda n: (100 + 12 * n, 100), id="upwards"),
        pytest.param((0, -1, 1, 0), lambda n: (500 - 12 * n, 700), id="downwards"),
        pytest.param((-1, 0, 0, -1), lambda n: (500, 100 + 12 * n), id="upside down"),
    ],
)
def test_text_in_any_direction_is_read(parse_with, matrix, position):
    lines = [TextLine(*position(n), line, matrix=matrix) for n, line in enumerate(LEFT)]
    aside = [TextLine(300, 400, "A word the other way")]

    parsed = parse_with(parse_pdf, make_pdf(lines + aside))

    assert parsed.text.split("\n") == [*LEFT, "", "A word the other way"]


def test_hyphen_at_line_end_is_preserved(parse_with):
    parsed = parse_with(parse_pdf, (DATA / "multi_page.pdf").read_bytes())

    assert "paved the way for self-\npublishing" in parsed.pages[3]
    assert parsed.page_count == 5


def test_table_of_real_page_is_read(parse_with):
    parsed = parse_with(parse_pdf, (DATA / "2305.03393v1-pg9.pdf").read_bytes())

    assert "6\t6\tOTSL\t0.965\t0.934\t0.955\t0.88\t2.73\n" in parsed.text
    assert "5.1 Hyper Parameter Optimization\nWe have chosen" in parsed.text
    assert parsed.headings == ["Optimized Table Tokenization for Table Structure Recognition"]


def test_arabic_is_read_in_logical_order(parse_with):
    parsed = parse_with(parse_pdf, (DATA / "right_to_left_01.pdf").read_bytes())

    assert parsed.text.startswith("تحسين الإنتاجية وحل المشكلات من خلال البرمجة بلغة R وPython\n\n")
    assert "\t" not in parsed.text
