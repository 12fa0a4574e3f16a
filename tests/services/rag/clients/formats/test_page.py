"""What is done to the text of every format."""

import pytest

from backend.services.rag.clients.formats.page import Page, cleaned, one_line


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("a\r\nb\rc\u2028d", "a\nb\nc\nd", id="line ends"),
        pytest.param("cafe\u0301", "café", id="composed"),
        pytest.param("a\x00b\x08c\x9fd\ud800e", "abcde", id="what can not be stored"),
        pytest.param("10\xa0%\u202fof", "10 % of", id="blanks of other widths"),
        pytest.param("Fuß\xadball\xad\nplatz", "Fußball-\nplatz", id="soft hyphens"),
        pytest.param("e\ufb03cient \ufb01n", "efficient fin", id="ligatures"),
        pytest.param("\ufefb", "لا", id="shapes of Arabic letters"),
        pytest.param("\uf0b7 item", "• item", id="bullets of symbol fonts"),
        pytest.param("safe\u202egpj.exe\u200b", "safegpj.exe", id="marks of direction"),
        pytest.param("a  \n\n\n\nb", "a\n\nb", id="blank lines"),
        pytest.param("می\u200cخواهم 👩\u200d🔬", "می\u200cخواهم 👩\u200d🔬", id="joiners stay"),  # noqa: RUF001
    ],
)
def test_text_is_normalised(text, kept):
    assert cleaned(Page(text)).text == kept


def test_headings_stay_where_they_are():
    page = cleaned(Page("\x00\x00One\r\n\r\nTwo\r\n", [(2, "One"), (9, "T\nwo")]))

    assert [(page.text[at : at + 3], title) for at, title in page.headings] == [
        ("One", "One"),
        ("Two", "T wo"),
    ]


def test_a_title_is_one_line():
    assert one_line(" The\nmanual \u202e" + "x" * 400) == "The manual " + "x" * 289
