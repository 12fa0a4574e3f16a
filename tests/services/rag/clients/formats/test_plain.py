"""CSV with any delimiter."""

import pytest

from backend.services.rag.clients.formats import plain
from tests.services.rag.conftest import DATA


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_cells_of_a_row_stay_on_its_line(read_with, delimiter):
    table = '"Name","Price"\n"Nut, hex","1,20"\n"Bolt\nlong",3\n'.replace('","', f'"{delimiter}"')
    table = table.replace('",3', f'"{delimiter}3')

    read = read_with(plain.read_csv, table)

    assert read.text == "Name\tPrice\nNut, hex\t1,20\nBolt long\t3"


def test_a_delimiter_inside_of_quotes_is_none(read_with):
    read = read_with(plain.read_csv, (DATA / "csv-semicolon.csv").read_bytes())

    rows = [line.split("\t") for line in read.text.splitlines()]
    assert {len(row) for row in rows} == {12}
    assert rows[4][4] == "Dominguez;Mcmillan and Donovan"


def test_excels_own_first_line_is_obeyed(read_with):
    assert read_with(plain.read_csv, "sep=:\na:b\n").text == "a\tb"
