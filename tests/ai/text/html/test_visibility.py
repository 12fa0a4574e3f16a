"""Which parts of a page are visible: end tags, hidden elements, comments."""

import pytest

from backend.ai.text.html import extract_html_text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<ul><li>Lampe<li hidden>alt<li>Tor</ul>Ende", "• Lampe\n• Tor\n\nEnde"),
        ("<p style='display:none'>caché<p>visible", "visible"),
        ("<p hidden>скрыто<div>видно</div>", "видно"),
        ("<dl><dt>a<dd style='display: none'>b<dt>c<dd>d</dl>e", "a\nc\nd\n\ne"),
        (
            "<table><tr><td>1<td hidden>2<tr hidden><td>3<td>4<tr><td>5<td>6</table>z",
            "1\n5\t6\n\nz",
        ),
        ("<select><option hidden>a<option>b</select>c", "c"),
        ("<ruby>語<rt hidden>ご</ruby>です", "語です"),
        ("<div hidden/>hidden</div>shown", "shown"),
        ("<p data-display:none>a", "a"),
        ("<p style='x-display:none'>a", "a"),
    ],
)
def test_hidden_element_ends_where_the_standard_ends_it(markup, text):
    assert extract_html_text(markup).text == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("a<svg width='1'/>b", "ab"),
        ("<p>Karte</p><svg><g><path/></g></svg><p>Legende</p>", "Karte\n\nLegende"),
        ("a<svg><svg/><circle/></svg>b", "ab"),
        ("a<math/>b", "ab"),
        ("a<svg><text>no</text><p>b", "a\n\nb"),
        ("<script>x</script type=text/javascript>b", "b"),
        ("<style>x</style\n/>b", "b"),
        ("<title>t</title x>b", "b"),
        ("<script><!--<script>a</script>b</script>c", "c"),
        ("<textarea>a</textarea y>b", "ab"),
        ("a<!-- x --!>b", "ab"),
        ("a<!-->b<!--->c", "abc"),
        ("a<!-- x", "a"),
        ("a<!-- x -- > y", "a"),
        ("a<!doctype>b<?php echo 1 ?>c<![CDATA[x]]>d", "abcd"),
        ("a<noframes><p>x</noframes>b", "ab"),
    ],
)
def test_tags_and_comments_end_where_the_standard_ends_them(markup, text):
    assert extract_html_text(markup).text == text


def test_only_the_first_title_is_the_title():
    html = extract_html_text("<title>a &amp; b</title><svg><title>c</title></svg><title>d</title>x")

    assert (html.title, html.text) == ("a & b", "x")


def test_heading_contains_its_inline_elements():
    html = extract_html_text("<h1>H<sub>2</sub>O and <b>CO</b>\n levels</h1>x")

    assert list(html.headings) == [(0, "H₂O and CO levels")]
