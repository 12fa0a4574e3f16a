"""PDF: the order in which a page is read."""

import pytest

from backend.services.rag.clients.formats import pdf
from tests.documents import Words
from tests.documents import pdf as made
from tests.services.rag.conftest import DATA

LEFT = [f"left line {n} runs on to the end of it" for n in range(12)]
RIGHT = [f"right line {n} goes on to the very end" for n in range(12)]


def column(x, lines, top=700):
    return [Words(x, top - 12 * n, line) for n, line in enumerate(lines)]


def rows_of(page, width=100):
    return [
        Words(60 + width * column, 700 - 14 * row, cell)
        for row, cells in enumerate(page)
        for column, cell in enumerate(cells)
        if cell
    ]


@pytest.mark.parametrize("drawn", ["side by side", "one after the other"])
def test_columns_are_read_one_after_the_other(read_with, drawn):
    title = [Words(60, 740, "A title that runs across both of the columns of this page", 14)]
    left, right = column(60, LEFT), column(320, RIGHT)
    lines = left + right
    if drawn == "side by side":
        lines = [one for pair in zip(left, right, strict=True) for one in pair]
    footer = [Words(250, 60, "A footnote across the columns, below of them both")]

    read = read_with(pdf.read, made(title + lines + footer))

    assert read.text.split("\n") == [title[0].text, "", *LEFT, "", *RIGHT, "", footer[0].text]


def test_three_columns_are_read_one_after_the_other(read_with):
    thirds = [[f"{name} {n} fills its third" for n in range(9)] for name in "abc"]
    lines = [column(60 + 180 * place, third) for place, third in enumerate(thirds)]

    read = read_with(pdf.read, made([one for row in zip(*lines, strict=True) for one in row]))

    assert read.text.split("\n") == [*thirds[0], "", *thirds[1], "", *thirds[2]]


def test_the_cells_of_a_row_stay_on_its_line(read_with):
    table = [["Item", "Weight", "Price"], ["Nut, hexagonal", "", "1.20"], ["Bolt", "14 g", "3.00"],
             ["Washer", "2 g", "0.10"], ["Cotter pin", "1 g", "0.05"]]  # fmt: skip

    read = read_with(pdf.read, made(rows_of(table)))

    assert read.text.split("\n") == ["\t".join(cell for cell in row if cell) for row in table]


def test_paragraphs_are_told_apart_and_wide_blanks_are_blanks(read_with):
    lines = [
        Words(60, 700, "The first paragraph has a sentence."),
        Words(235, 700, "And another one behind it, to the very end."),
        Words(60, 688, "It goes on."),
        Words(60, 660, "The second."),
        Words(60, 648, "1."),
        Words(80, 648, "An item"),
    ]

    assert read_with(pdf.read, made(lines)).text == (
        "The first paragraph has a sentence. And another one behind it, to the very end.\n"
        "It goes on.\n\nThe second.\n1. An item"
    )


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_page_may_lie_on_any_side(read_with, rotate):
    assert read_with(pdf.read, made(column(60, LEFT), rotate=rotate)).text == "\n".join(LEFT)


@pytest.mark.parametrize(
    ("matrix", "place"),
    [
        pytest.param((0, 1, -1, 0), lambda n: (100 + 12 * n, 100), id="upwards"),
        pytest.param((0, -1, 1, 0), lambda n: (500 - 12 * n, 700), id="downwards"),
        pytest.param((-1, 0, 0, -1), lambda n: (500, 100 + 12 * n), id="upside down"),
    ],
)
def test_text_may_run_in_any_direction(read_with, matrix, place):
    lines = [Words(*place(n), line, matrix=matrix) for n, line in enumerate(LEFT)]
    aside = [Words(300, 400, "A word the other way")]

    read = read_with(pdf.read, made(lines + aside))

    assert read.text.split("\n") == [*LEFT, "", "A word the other way"]


def test_a_word_in_two_lines_keeps_its_hyphen(read_with):
    read = read_with(pdf.read, (DATA / "multi_page.pdf").read_bytes())

    assert "paved the way for self-\npublishing" in read.pages[3]
    assert read.total == 5


def test_a_real_page_is_read_with_its_table(read_with):
    read = read_with(pdf.read, (DATA / "2305.03393v1-pg9.pdf").read_bytes())

    assert "6\t6\tOTSL\t0.965\t0.934\t0.955\t0.88\t2.73\n" in read.text
    assert "5.1 Hyper Parameter Optimization\nWe have chosen" in read.text
    assert read.headings == ["Optimized Table Tokenization for Table Structure Recognition"]


def test_arabic_is_read_from_the_right_and_its_letters_stand_right(read_with):
    read = read_with(pdf.read, (DATA / "right_to_left_01.pdf").read_bytes())

    assert read.text.startswith("تحسين الإنتاجية وحل المشكلات من خلال البرمجة بلغة R وPython\n\n")
    assert "\t" not in read.text
