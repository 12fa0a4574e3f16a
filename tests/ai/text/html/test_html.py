"""Visible text, headings, tables and links of HTML."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.ai.text.html import decode_html, extract_html_text
from backend.ai.text.text_builder import TextTooLong


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        pytest.param("<p>a</p>b", "a\n\nb", id="paragraph"),
        pytest.param("a<br>b<div>c</div>d", "a\nb\nc\nd", id="lines"),
        pytest.param("<b>a</b> <i>b</i>c", "a bc", id="inline elements"),
        pytest.param("<ul><li>one<li>two</ul>", "• one\n• two", id="list"),
        pytest.param("<pre>a\n  b</pre>", "a\n  b", id="preformatted"),
        pytest.param("1 &lt; 2 &amp;&nbsp;3", "1 < 2 & 3", id="character references"),
        pytest.param("<!-- no -->yes", "yes", id="comment"),
        pytest.param("a\0b", "ab", id="NUL character"),
        pytest.param("", "", id="empty"),
    ],
)
def test_text_has_the_lines_and_paragraphs_of_the_page(markup, text):
    assert extract_html_text(markup).text == text


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>no</script>",
        "<style>no</style>",
        "<template><p>no</p></template>",
        "<noscript>no</noscript>",
        "<svg><text>no</text></svg>",
        "<select><option>no</option></select>",
        "<div hidden>no</div>",
        "<div style='display: none'><div>no</div></div>",
        "<span style='VISIBILITY:hidden'>no</span>",
        "<input hidden>",
    ],
)
def test_hidden_elements_are_omitted(hidden):
    assert extract_html_text(f"<p>seen</p>{hidden}<p>too</p>").text == "seen\n\ntoo"


def test_cells_of_a_row_are_on_one_line():
    markup = (
        "<table><tr><th>Item<th></th><th colspan=2>Price</tr>"
        "<tr><td rowspan=2><p>Nut</p>hex<td></td><td>1</td><td>2</td></tr>"
        "<tr><td></td><td>3</td><td>4</td></tr></table>"
    )

    assert extract_html_text(markup).text == "Item\tPrice\nNut hex\t1\t2\n\t3\t4"


def test_layout_table_is_not_a_data_table():
    html = extract_html_text(
        "<table><tr><td><h2>Menu</h2></td><td><p>First.</p><p>Second.</p>"
        "<table><tr><td>a</td><td>b</td></tr></table></td></tr></table>"
    )

    assert html.text == "Menu\n\nFirst.\n\nSecond.\n\na\tb"
    assert list(html.headings) == [(0, "Menu")]


def test_title_and_headings_are_returned():
    html = extract_html_text(
        "<html><head><title> A \n B </title></head><body><p>x</p><h1> One <b>two</b></h1>y</body>"
    )

    assert html.title == "A B"
    assert html.text == "x\n\nOne two\n\ny"
    assert [html.text[position:] for position, _ in html.headings] == ["One two\n\ny"]


def test_visible_links_are_absolute_and_distinct():
    html = extract_html_text(
        "<a href='/b#top'>b</a><a href='b'>b</a><a href=' https://c.test/ '>c</a>"
        "<a href='mailto:a@b.test'>mail</a><a href='http://['>bad</a><a>none</a>"
        "<div hidden><a href='/hidden'>no</a></div>",
        base_url="https://a.test/x/",
    )

    assert list(html.links) == ["https://a.test/b", "https://a.test/x/b", "https://c.test/"]


def test_links_are_limited_and_not_collected_without_a_base_url():
    markup = "".join(f"<a href='/{number}'>x</a>" for number in range(300))

    assert len(extract_html_text(markup, base_url="https://a.test/").links) == 200
    assert extract_html_text(markup).links == ()


def test_text_beyond_the_maximum_is_rejected():
    assert extract_html_text("<p>abc", max_chars=5).text == "abc"
    with pytest.raises(TextTooLong):
        extract_html_text("<p>abcdef", max_chars=5)


@pytest.mark.parametrize(
    "markup", ["<table>" * 5000, "<td>x", "</table></tr><p>x", "<svg><p>x", "<a href="]
)
def test_malformed_page_is_parsed_as_far_as_possible(markup):
    assert extract_html_text(markup).text in ("", "x")


@pytest.mark.parametrize(
    "piece", ["<!", "<a ", "</", "&#", '<a x="', "<tr><td rowspan=100 colspan=100>x<td>y"]
)
def test_work_is_proportional_to_the_length_of_malformed_pages(piece):
    def count_calls(length):
        page = "<table>" + piece * (length // len(piece))
        calls = 0

        def count(_frame, event, _argument):
            nonlocal calls
            calls += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            extract_html_text(page)
        finally:
            sys.setprofile(None)
        return calls

    # Quadratic work would be 16 times as much.
    assert count_calls(40_000) <= 5 * count_calls(10_000)


@pytest.mark.parametrize("markup", ["a\ud800b", "<p \ud800=a>b", "<a href='\udfff'>c", "<\ud800"])
def test_lone_surrogates_are_replaced(markup):
    assert "\ud800" not in extract_html_text(markup, base_url="https://a.test/").text


@given(st.text(st.sampled_from("<>/=ab p'\"&;!-\0\ud800\n"), max_size=80))
def test_any_markup_is_parsed(markup):
    html = extract_html_text(markup, base_url="https://a.test/")

    assert "\0" not in html.text
    assert all(0 <= position <= len(html.text) + 2 for position, _ in html.headings)


@pytest.mark.parametrize(
    ("content", "declared", "text"),
    [
        pytest.param("Grüße".encode(), None, "Grüße", id="UTF-8"),
        pytest.param(
            "<meta charset=koi8-r><p>Договор".encode("koi8-r"),
            None,
            "<meta charset=koi8-r><p>Договор",
            id="meta element",
        ),
        pytest.param(
            '<?xml version="1.0" encoding="koi8-r"?>Договор'.encode("koi8-r"),
            None,
            '<?xml version="1.0" encoding="koi8-r"?>Договор',
            id="XML declaration",
        ),
        pytest.param("Договор".encode("koi8-r"), "koi8-r", "Договор", id="header"),
        pytest.param("Grüße".encode("cp1252"), "no-such-encoding", "Grüße", id="unknown encoding"),
    ],
)
def test_page_is_decoded_with_its_declared_encoding(content, declared, text):
    assert decode_html(content, declared) == text
