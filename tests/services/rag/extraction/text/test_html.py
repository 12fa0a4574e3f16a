"""Visible text of HTML."""

import pytest

from backend.services.rag.extraction.text import html
from tests.services.rag.conftest import DATA


def test_hidden_elements_are_skipped(parse_with):
    parsed = parse_with(
        html.parse_html,
        "<p>seen</p><div hidden>no</div><div style='display: none'><div>no</div></div>"
        "<select><option>no</option></select><input hidden><p>too</p>"
        "<template><p>no</p></template>",
    )

    assert parsed.text == "seen\n\ntoo"


def test_cells_of_table_row_stay_on_one_line(parse_with):
    parsed = parse_with(
        html.parse_html,
        "<table><tr><th>Item<th></th><th colspan=2>Price</tr>"
        "<tr><td rowspan=2><p>Nut</p>hex<td></td><td>1</td><td>2</td></tr>"
        "<tr><td></td><td>3</td><td>4</td></tr></table>",
    )

    assert parsed.text == "Item\tPrice\nNut hex\t1\t2\n\t3\t4"


def test_layout_table_is_read_as_paragraphs(parse_with):
    parsed = parse_with(
        html.parse_html,
        "<table><tr><td><h2>Menu</h2></td><td><p>First.</p><p>Second.</p>"
        "<table><tr><td>a</td><td>b</td></tr></table></td></tr></table>",
    )

    assert parsed.text == "Menu\n\nFirst.\n\nSecond.\n\na\tb"
    assert parsed.text_at_headings == ["Menu"]


def test_declared_encoding_is_used(parse_with):
    parsed = parse_with(html.parse_html, (DATA / "fake-html-cp1252.html").read_bytes())
    cyrillic = '<?xml version="1.0" encoding="koi8-r"?><html><p>Договор</p>'.encode("koi8-r")

    assert "Die schöne Frau" in parsed.text
    assert "15,50 €" in parsed.text
    assert parse_with(html.parse_html, cyrillic).text == "Договор"


def test_preformatted_text_keeps_line_breaks(parse_with):
    assert parse_with(html.parse_html, "<pre>a\n  b</pre>").text == "a\n  b"


@pytest.mark.parametrize("page", ["<table>" * 5000, "<td>x", "</table></tr><p>x", "<svg><p>x"])
def test_malformed_html_is_parsed(parse_with, page):
    assert parse_with(html.parse_html, page).text in ("", "x")
