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
