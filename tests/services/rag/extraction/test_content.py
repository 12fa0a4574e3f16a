"""Normalization of extracted text."""
# ruff: noqa: RUF001 - non-Latin letters are intended

import pytest

from backend.services.rag.extraction.content import Page, clean_page, normalize_title


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        pytest.param("a\r\nb\rc\u2028d", "a\nb\nc\nd", id="line separators"),
        pytest.param("cafe\u0301", "café", id="decomposed letter"),
        pytest.param("a\x00b\x08c\x9fd\ud800e", "abcde", id="control characters"),
        pytest.param("10\xa0%\u202fof", "10 % of", id="non-ASCII spaces"),
        pytest.param("Fuß\xadball\xad\nplatz", "Fußball-\nplatz", id="soft hyphens"),
        pytest.param("e\ufb03cient \ufb01n", "efficient fin", id="ligatures"),
        pytest.param("\ufefb", "لا", id="Arabic presentation forms"),
        pytest.param("\uf0b7 item", "• item", id="bullets of symbol fonts"),
        pytest.param("safe\u202egpj.exe\u200b", "safegpj.exe", id="direction marks"),
        pytest.param("a  \n\n\n\nb", "a\n\nb", id="blank lines"),
        pytest.param("می\u200cخواهم 👩\u200d🔬", "می\u200cخواهم 👩\u200d🔬", id="joiners kept"),
    ],
)
def test_clean_page_normalizes_text(text, normalized):
    assert clean_page(Page(text)).text == normalized


def test_clean_page_adjusts_heading_positions():
    page = clean_page(Page("\x00\x00One\r\n\r\nTwo\r\n", [(2, "One"), (9, "T\nwo")]))

    assert [(page.text[position : position + 3], title) for position, title in page.headings] == [
        ("One", "One"),
        ("Two", "T wo"),
    ]


def test_normalize_title_returns_one_bounded_line():
    assert normalize_title(" The\nmanual \u202e" + "x" * 400) == "The manual " + "x" * 289
