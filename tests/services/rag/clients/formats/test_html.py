"""HTML as a reader sees it."""

import pytest

from backend.services.rag.clients.formats import html
from tests.services.rag.conftest import DATA


def test_what_is_hidden_is_not_read(read_with):
    read = read_with(
        html.read,
        "<p>seen</p><div hidden>no</div><div style='display: none'><div>no</div></div>"
        "<select><option>no</option></select><input hidden><p>too</p>"
        "<template><p>no</p></template>",
    )

    assert read.text == "seen\n\ntoo"


def test_the_cells_of_a_row_stay_on_its_line(read_with):
    read = read_with(
        html.read,
        "<table><tr><th>Item<th></th><th colspan=2>Price</tr>"
        "<tr><td rowspan=2><p>Nut</p>hex<td></td><td>1</td><td>2</td></tr>"
        "<tr><td></td><td>3</td><td>4</td></tr></table>",
    )

    assert read.text == "Item\tPrice\nNut hex\t1\t2\n\t3\t4"


def test_a_page_laid_out_in_a_table_is_no_table(read_with):
    read = read_with(
        html.read,
        "<table><tr><td><h2>Menu</h2></td><td><p>First.</p><p>Second.</p>"
        "<table><tr><td>a</td><td>b</td></tr></table></td></tr></table>",
    )

    assert read.text == "Menu\n\nFirst.\n\nSecond.\n\na\tb"
    assert read.placed == ["Menu"]


def test_the_declared_encoding_is_used(read_with):
    read = read_with(html.read, (DATA / "fake-html-cp1252.html").read_bytes())
    cyrillic = '<?xml version="1.0" encoding="koi8-r"?><html><p>Договор</p>'.encode("koi8-r")

    assert "Die schöne Frau" in read.text
    assert "15,50 €" in read.text
    assert read_with(html.read, cyrillic).text == "Договор"


def test_preformatted_text_keeps_its_lines(read_with):
    assert read_with(html.read, "<pre>a\n  b</pre>").text == "a\n  b"


@pytest.mark.parametrize("page", ["<table>" * 5000, "<td>x", "</table></tr><p>x", "<svg><p>x"])
def test_broken_pages_are_read_as_far_as_they_go(read_with, page):
    assert read_with(html.read, page).text in ("", "x")
