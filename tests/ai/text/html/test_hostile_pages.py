"""Pages that are made to take much time or memory."""

import pytest

from backend.ai.text.html import extract_html_text
from tests.hostile_texts import is_linear

UNITS = [
    "<!--", "<!-- x", "</", "<!", "<?", "&#", "<div>", "<p>", "</p>", "<b><p>x", "<ul><li>",
    "<table><tr><td>x", "<table>x", "<svg>", "<math><mfrac>", "<math><msup><mi>x</mi>",
    "<ruby><rt>", "<sup>1", "<h1>x", "<select><option>", "<template>", "<button><p>", "<a><div>",
    "<dd><dt>", "<title>x", "<script><!--<script>", "<svg><![CDATA[", "<frameset>",
    "<li value=1>", "<ol reversed><li>",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_repeated_markup_takes_linear_time(unit):
    assert is_linear(extract_html_text, unit)


def number_tags(template, count):
    return "".join(template.replace("#", str(number)) for number in range(count))


PAGES = {
    "attributes of one tag": lambda count: f"<p {number_tags('a# ', count)}>x",
    "attributes of the root": lambda count: number_tags("<html a#=1>", count) + "x",
    "attributes of the body": lambda count: number_tags("<body a#=1>", count) + "x",
    "open fonts in paragraphs": lambda count: number_tags("<font size=#><p>", count) + "x",
    "open letters in items": lambda count: number_tags("<li><b id=#>", count) + "x",
    "misnested letters": lambda count: (
        number_tags("<b #>", count) + number_tags("<i #>", count) + "x</b>" * count
    ),
    "closed divisions": lambda count: "<div>" * count + "</p></x>" * count + "x",
    "deep elements": lambda count: "<div>" * count + "x" + "</div>" * count,
}


@pytest.mark.parametrize("name", PAGES)
def test_page_with_many_different_tags_takes_linear_time(name):
    def extract_page(text):
        assert "x" in extract_html_text(PAGES[name](len(text) // 4)).text

    assert is_linear(extract_page, "x")


def test_hidden_formatting_elements_of_a_large_page_stay_hidden():
    markup = number_tags("<p><b id=# hidden>a</b>b", 3000)

    assert "a" not in extract_html_text(markup).text
