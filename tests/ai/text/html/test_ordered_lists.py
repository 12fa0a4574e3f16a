"""Markers of list items."""

import pytest

from backend.ai.text.html import extract_html_text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<ol><li>eins<li>zwei</ol>", "1. eins\n2. zwei"),
        ("<ol start=0><li>a<li>b</ol>", "0. a\n1. b"),
        ("<ol start=-1><li>a<li>b<li>c</ol>", "-1. a\n0. b\n1. c"),
        ("<ol start=' 7th'><li>a</ol>", "7. a"),
        ("<ol start=x><li>a</ol>", "1. a"),
        ("<ol reversed><li>a<li>b<li>c</ol>", "3. a\n2. b\n1. c"),
        ("<ol reversed start=9><li>a<li>b</ol>", "9. a\n8. b"),
        ("<ol><li>a<li value=8>b<li>c</ol>", "1. a\n8. b\n9. c"),
        ("<ol type=a start=26><li>x<li>y</ol>", "z. x\naa. y"),
        ("<ol type=A><li>x</ol>", "A. x"),
        ("<ol type=i start=4><li>x<li>y</ol>", "iv. x\nv. y"),
        ("<ol type=I start=1994><li>x</ol>", "MCMXCIV. x"),
        ("<ol type=I start=4000><li>x</ol>", "4000. x"),
        ("<ol type=a start=0><li>x</ol>", "0. x"),
        ("<ol><li type=a>x<li>y</ol>", "a. x\n2. y"),
        ("<ol style='list-style: lower-greek'><li>x</ol>", "\u03b1. x"),
        ("<ol style='list-style-type:decimal-leading-zero'><li>x</ol>", "01. x"),
        ("<ol style='list-style:none'><li>x</ol>", "x"),
        ("<ul type=a><li>x</ul>", "• x"),
        ("<menu><li>x</menu>", "• x"),
        ("<li>x", "• x"),
    ],
)
def test_item_has_the_number_of_a_browser(markup, text):
    assert extract_html_text(markup).text == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (
            "<ol start=3><li>a<ol type=a><li>b<li>c</ol><li>d</ol>",
            "3. a\n\na. b\nb. c\n\n4. d",
        ),
        ("<ol><li>a<ul><li>b</ul><li>c</ol>", "1. a\n\n• b\n\n2. c"),
        ("<ol reversed><li>a<ol reversed><li>b<li>c</ol><li>d</ol>", "2. a\n\n2. b\n1. c\n\n1. d"),
        ("<ol hidden reversed><li>x</ol><ol reversed><li>a<li hidden>y<li>b</ol>", "2. a\n1. b"),
        ("<ol><li><ul><li>deep</ul></ol>", "1. • deep"),
        ("<ol><li><p>a</p><p>b</p><li><div>c</div></ol>", "1. a\n\nb\n\n2. c"),
        ("<ol><li><h2>Title</h2>a</ol>", "1. Title\n\na"),
        ("<ol><li></li><li>b</ol>", "1. \n2. b"),
        ("<table><tr><td><ol><li>a<li>b</ol><td>c</table>", "1. a 2. b\tc"),
    ],
)
def test_nested_lists_and_blocks_keep_the_numbers(markup, text):
    assert extract_html_text(markup).text == text
