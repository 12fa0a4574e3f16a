"""Cells of PDF tables whose text wraps, with and without ruling lines."""

from itertools import pairwise

import pytest

from backend.services.rag.extraction.pdf.parser import parse_pdf
from backend.services.rag.extraction.table_grids import RulingLine, find_grids
from tests.documents import Stroke, TextLine
from tests.documents import pdf as make_pdf

LINE, PADDING = 12, 4
LEFTS = (60, 180, 330)
RIGHT = 450
# Rows of cells, each a list of lines that fill their column.
TABLE = [
    [["Part"], ["Supplier and", "country"], ["Price"]],
    [["Hexagonal nut of", "stainless steel"], ["Weber & Söhne GmbH,", "Lübeck"], ["1.20"]],
    [["Bolt"], ["Forges de la Loire,", "Saint-Étienne"], ["3.00"]],
    [["Washer, galvanised,", "with a spring"], ["Nordic"], ["0.10"]],
    [["Cotter pin"], ["Nordic"], ["0.05"]],
]
TEXT = [
    "Part\tSupplier and country\tPrice",
    "Hexagonal nut of stainless steel\tWeber & Söhne GmbH, Lübeck\t1.20",
    "Bolt\tForges de la Loire, Saint-Étienne\t3.00",
    "Washer, galvanised, with a spring\tNordic\t0.10",
    "Cotter pin\tNordic\t0.05",
]


def place(table, lefts=LEFTS, row_padding=PADDING, top=700):
    """Return the lines of each cell, and the y positions of the borders of the rows."""
    cells, borders, y = [], [top], top
    for row in table:
        for left, lines in zip(lefts, row, strict=True):
            cells.append(
                [
                    TextLine(left + PADDING, y - row_padding - LINE * (number + 1) + 3, line)
                    for number, line in enumerate(lines)
                ]
            )
        y -= 2 * row_padding + LINE * max(map(len, row))
        borders.append(y)
    return cells, borders


def draw(cells, order):
    lines = [line for cell in cells for line in cell]
    if order == "by line":
        return sorted(lines, key=lambda line: (-line.y, line.x))
    if order == "by column":
        return sorted(lines, key=lambda line: (line.x, -line.y))
    return lines


def rule(borders, style="lines"):
    xs, bottom, top = (*LEFTS, RIGHT), borders[-1], borders[0]
    if style == "cells":
        return [
            Stroke(left, below, right, above)
            for left, right in pairwise(xs)
            for above, below in pairwise(borders)
        ]
    if style == "columns":
        return [Stroke(x, bottom, x, top) for x in xs] + [
            Stroke(xs[0], y, xs[-1], y) for y in (top, borders[1], bottom)
        ]
    sides = xs[1:-1] if style == "open" else xs
    return [Stroke(x, bottom, x, top) for x in sides] + [
        Stroke(xs[0], y, xs[-1], y) for y in borders
    ]


@pytest.mark.parametrize("order", ["by cell", "by line", "by column"])
@pytest.mark.parametrize("style", ["lines", "cells", "columns", "open"])
def test_wrapped_cell_of_ruled_table_is_one_cell(parse_with, style, order):
    cells, borders = place(TABLE)

    parsed = parse_with(parse_pdf, make_pdf(rule(borders, style) + draw(cells, order)))

    assert parsed.text.split("\n") == TEXT


@pytest.mark.parametrize("order", ["by cell", "by line", "by column"])
def test_wrapped_cell_of_table_without_lines_is_one_cell(parse_with, order):
    cells, _ = place(TABLE)

    parsed = parse_with(parse_pdf, make_pdf(draw(cells, order)))

    assert [line for line in parsed.text.split("\n") if line] == TEXT


def test_rows_of_equal_distance_are_joined_if_the_next_word_does_not_fit(parse_with):
    table = [
        [["Country"], ["Capital and remark"], ["Since"]],
        [["Deutschland"], ["Berlin, davor lange Bonn am", "Rhein"], ["1990"]],
        [["France"], ["Paris"], ["987"]],
        [["Österreich"], ["Wien, in den Jahren der", "Besatzung geteilt"], ["1955"]],
    ]
    cells, _ = place(table, row_padding=0)

    parsed = parse_with(parse_pdf, make_pdf(draw(cells, "by line")))

    assert parsed.text.split("\n") == [
        "Country\tCapital and remark\tSince",
        "Deutschland\tBerlin, davor lange Bonn am Rhein\t1990",
        "France\tParis\t987",
        "Österreich\tWien, in den Jahren der Besatzung geteilt\t1955",
    ]


@pytest.mark.parametrize("with_lines", [True, False])
def test_rows_with_empty_cells_stay_apart(parse_with, with_lines):
    table = [
        [["Group"], ["Item"], ["Price"]],
        [["Fasteners"], [], []],
        [["Nut"], ["hexagonal"], ["1.20"]],
        [[], ["square"], ["1.30"]],
        [["Tools"], [], []],
        [["Rasp"], ["coarse"], ["9.80"]],
    ]
    cells, borders = place(table)

    parsed = parse_with(
        parse_pdf, make_pdf((rule(borders) if with_lines else []) + draw(cells, "by line"))
    )

    lines = [line for line in parsed.text.split("\n") if line]
    assert lines == ["\t".join(cell[0] for cell in row if cell) for row in table]


def test_merged_cells_are_read_once(parse_with):
    lines = [
        *rule([700, 680, 660, 640]),
        TextLine(64, 686, "Prices of the year"),
        TextLine(64, 666, "Nut"), TextLine(184, 666, "1.20"), TextLine(334, 666, "1.40"),
        TextLine(64, 646, "Bolt"), TextLine(184, 646, "3.00"), TextLine(334, 646, "3.10"),
    ]  # fmt: skip

    parsed = parse_with(parse_pdf, make_pdf(lines))

    assert parsed.text == "Prices of the year\nNut\t1.20\t1.40\nBolt\t3.00\t3.10"


def test_words_on_both_sides_of_a_line_are_two_cells(parse_with):
    table = [[["Name"], ["Id"], ["Sum"]], [["Ada"], ["7"], ["1"]], [["Bob"], ["8"], ["2"]]]
    cells, borders = place(table, lefts=LEFTS)
    narrow = [TextLine(155, line.y, line.text) if line.x == 64 else line for [line] in cells]

    parsed = parse_with(parse_pdf, make_pdf(rule(borders) + narrow))

    assert parsed.text == "Name\tId\tSum\nAda\t7\t1\nBob\t8\t2"


def test_text_around_a_table_keeps_its_place(parse_with):
    cells, borders = place(TABLE)
    before = TextLine(60, 740, "The following parts are in stock at all times of the year.")
    after = TextLine(60, borders[-1] - 40, "Prices include the tax.")

    parsed = parse_with(
        parse_pdf, make_pdf([before, *rule(borders), *draw(cells, "by cell"), after])
    )

    assert [line for line in parsed.text.split("\n") if line] == [before.text, *TEXT, after.text]


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_table_on_rotated_page_is_read(parse_with, rotate):
    cells, borders = place(TABLE)

    parsed = parse_with(parse_pdf, make_pdf(rule(borders) + draw(cells, "by cell"), rotate=rotate))

    assert parsed.text.split("\n") == TEXT


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_table_with_text_in_any_direction_is_read(parse_with, turns):
    def turn(x, y):
        x, y = x - 300, y - 600
        for _ in range(turns):
            x, y = -y, x
        return x + 300, y + 400

    cells, borders = place(TABLE)
    matrix = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)][turns]
    strokes = [Stroke(*turn(each.x1, each.y1), *turn(each.x2, each.y2)) for each in rule(borders)]
    lines = [
        TextLine(*turn(line.x, line.y), line.text, matrix=matrix) for line in draw(cells, "by cell")
    ]

    assert parse_with(parse_pdf, make_pdf(strokes + lines)).text.split("\n") == TEXT


def test_frame_around_text_is_no_table(parse_with):
    lines = [TextLine(70, 690 - 12 * n, f"line {n} of the framed note") for n in range(4)]

    parsed = parse_with(parse_pdf, make_pdf([Stroke(60, 640, 300, 710), *lines]))

    assert parsed.text.split("\n") == [line.text for line in lines]


def test_list_items_that_wrap_keep_their_lines(parse_with):
    lines = []
    for number in range(3):
        y = 700 - 30 * number
        lines += [
            TextLine(60, y, f"{number + 1}."),
            TextLine(80, y, "An item that goes on to the end of"),
            TextLine(80, y - 12, "the line and then continues."),
        ]

    parsed = parse_with(parse_pdf, make_pdf(lines))

    assert "1. An item that goes on to the end of\nthe line and then continues." in parsed.text


def test_grid_of_very_many_lines_is_no_table():
    lines = [RulingLine(n, 0, 500) for n in range(300)]

    assert find_grids(lines, lines) == []


@pytest.mark.parametrize(
    "table",
    [
        [[["Option"], ["Meaning"]], [["-c, --check"], ["checks only"]], [["-n, --name"], ["name"]],
         [["-o, --output"], ["output file"]]],
        [[["Année"], ["Débit"]], [["2019"], ["1.250"]], [["2020"], ["1.310"]], [["2021"], ["990"]]],
    ],
)  # fmt: skip
def test_rows_of_short_cells_are_not_joined(parse_with, table):
    cells, _ = place(table, lefts=LEFTS[:2], row_padding=0)

    parsed = parse_with(parse_pdf, make_pdf(draw(cells, "by line")))

    assert parsed.text.split("\n") == ["\t".join(cell[0] for cell in row) for row in table]
