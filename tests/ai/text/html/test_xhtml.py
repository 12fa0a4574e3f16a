"""XHTML pages are parsed as XML."""

import pytest

from backend.ai.text.html import extract_html_text

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
STRICT = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" '
    '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">'
)
ROOT = '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr">'


def page(body, start=DECLARATION + ROOT):
    return f"{start}<head><title/></head><body>{body}</body></html>"


@pytest.mark.parametrize(
    "start",
    [
        DECLARATION + ROOT,
        f"\ufeff{DECLARATION}\n<!-- x -->\n<!DOCTYPE html>\n{ROOT}",
        STRICT + ROOT,
        f"\n<!DOCTYPE html>{ROOT}",
        ROOT,
    ],
)
def test_empty_elements_end_themselves(start):
    body = "<p>avant</p><script src='a.js'/><style/><div hidden='hidden'/><iframe/><p>après</p>"

    assert extract_html_text(page(body, start)).text == "avant\n\naprès"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("a&nbsp;&eacute;&mdash;&#x42f;", "a é\u2014\u042f"),
        ("<![CDATA[<b> & ]]>c", "<b> & c"),
        ("<p title='&eacute;'>x</p>", "x"),
        ("<ol start='2'><li>a</li></ol>", "2. a"),
        (
            "<m:math xmlns:m='http://www.w3.org/1998/Math/MathML'><m:mi>q</m:mi></m:math>",
            "q",
        ),
        ("<table><tr><td>a</td><td>b<td>c</td></td></tr></table>", "a\tc\tb"),
        ("<svg xmlns='http://www.w3.org/2000/svg'/>x", "x"),
    ],
)
def test_xml_syntax_is_supported(body, text):
    assert extract_html_text(page(body)).text == text


@pytest.mark.parametrize(
    "markup",
    [
        page("<p>shown<br>more"),
        page("a < b, shown"),
        page("<p>shown</p>", f"{DECLARATION}<!DOCTYPE html [<!ENTITY a 'b'>]>{ROOT}"),
        page("<div>" * 600 + "shown" + "</div>" * 600),
    ],
)
def test_other_pages_are_parsed_as_html(markup):
    assert "shown" in extract_html_text(markup.replace("<title/>", "")).text


def test_entities_are_not_expanded():
    entities = "".join(f"<!ENTITY e{i} '{f'&e{i - 1};' * 10}'>" for i in range(1, 12))
    start = f"{DECLARATION}<!DOCTYPE html [<!ENTITY e0 'boom'>{entities}]>{ROOT}"

    assert "boomboom" not in extract_html_text(page("&e11;", start)).text


def test_external_files_are_not_read(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    start = f'{DECLARATION}<!DOCTYPE html SYSTEM "{secret.as_uri()}">{ROOT}'

    assert extract_html_text(page("&x;a", start)).text == "&x;a"
