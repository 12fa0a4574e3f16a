"""Parser of CSV with any delimiter."""

import pytest

from backend.services.rag.extraction.text import plain
from tests.services.rag.conftest import DATA


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_cells_of_csv_row_stay_on_one_line(parse_with, delimiter):
    table = '"Name","Price"\n"Nut, hex","1,20"\n"Bolt\nlong",3\n'.replace('","', f'"{delimiter}"')
    table = table.replace('",3', f'"{delimiter}3')

    parsed = parse_with(plain.parse_csv, table)

    assert parsed.text == "Name\tPrice\nNut, hex\t1,20\nBolt long\t3"


def test_delimiter_in_quotes_is_ignored(parse_with):
    parsed = parse_with(plain.parse_csv, (DATA / "csv-semicolon.csv").read_bytes())

    rows = [line.split("\t") for line in parsed.text.splitlines()]
    assert {len(row) for row in rows} == {12}
    assert rows[4][4] == "Dominguez;Mcmillan and Donovan"


def test_sep_line_of_excel_sets_delimiter(parse_with):
    assert parse_with(plain.parse_csv, "sep=:\na:b\n").text == "a\tb"


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_line_separator_of_unicode_does_not_end_a_row(parse_with, separator):
    table = f"Code;Text;Preis\nA1;Griff{separator}aus Eiche;1,50\nA2;Öl;2\n"

    assert parse_with(plain.parse_csv, table).text == (
        "Code\tText\tPreis\nA1\tGriff aus Eiche\t1,50\nA2\tÖl\t2"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_each_line_end_ends_a_row(parse_with, end):
    table = end.join(["sep=|", "a|b", "c|\u2028d", ""])

    assert parse_with(plain.parse_csv, table).text == "a\tb\nc\td"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_headings_are_found_with_each_line_end(parse_with, end):
    parsed = parse_with(plain.parse_markdown, end.join(["# Titel", "a", "## Zwei ##", "b"]))

    assert parsed.title == "Titel"
    assert parsed.headings == ["Titel", "Zwei"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[32mINFO\x1b[0m prêt", "INFO prêt"),
        ("\x1b[1;31mЖ1\x1b[m: 12", "Ж1: 12"),
        ("\x1b[38;2;10;20;30m色\x1b[39;49m", "色"),
        ("\x1b[38:5:196mred\x1b[K", "red"),
        ("\x9b31mred\x9b0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://a.test\x1b\\link\x1b]8;;\x1b\\ end", "link end"),
        ("\x1b(B\x1b7a\x1b8\x1b=b", "ab"),
        ("\x1b]0;never ended\nnext", "0;never ended\nnext"),
        ("N\x08NA\x08AM\x08ME\x08E _\x08u", "NAME u"),
        ("array[32m] [0m", "array[32m] [0m"),
    ],
)
def test_terminal_sequences_are_left_out(parse_with, text, expected):
    assert parse_with(plain.parse_text, text).text == expected
    assert parse_with(plain.parse_markdown, text).text == expected
