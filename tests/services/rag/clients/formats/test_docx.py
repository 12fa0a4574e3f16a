"""DOCX: lists, tables, notes, and what its readers do not see."""

import pytest

from backend.services.rag.clients.formats import docx
from backend.services.rag.clients.formats.page import Unreadable
from tests.documents import W, package, paragraph
from tests.documents import docx as made
from tests.services.rag.conftest import DATA, MIB

STYLES = f"""<w:styles xmlns:w="{W}">
<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>
<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>
<w:style w:styleId="Own"><w:name w:val="Own"/><w:basedOn w:val="berschrift1"/></w:style>
</w:styles>"""
NUMBERING = f"""<w:numbering xmlns:w="{W}">
<w:abstractNum w:abstractNumId="0">
<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
<w:lvl w:ilvl="1"><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/></w:lvl>
</w:abstractNum>
<w:abstractNum w:abstractNumId="1">
<w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/></w:lvl>
</w:abstractNum>
<w:num w:numId="7"><w:abstractNumId w:val="0"/></w:num>
<w:num w:numId="8"><w:abstractNumId w:val="1"/></w:num>
</w:numbering>"""


def item(text, number=7, level=0):
    place = f'<w:ilvl w:val="{level}"/><w:numId w:val="{number}"/>'
    return paragraph(text, more=f"<w:numPr>{place}</w:numPr>")


def row(*cells):
    return f"<w:tr>{''.join(f'<w:tc>{cell}</w:tc>' for cell in cells)}</w:tr>"


def test_headings_are_known_by_name_in_any_language(read_with):
    body = paragraph("Manual", "Titel") + paragraph("Setup", "berschrift1") + paragraph("x", "Own")

    read = read_with(
        docx.read,
        made(body, {"word/styles.xml": STYLES}, [("r2", "styles", "styles.xml")]),
    )

    assert read.title == "Manual"
    assert read.headings == ["Setup", "x"]
    assert read.placed == ["Setup", "x"]


def test_list_items_carry_their_numbers(read_with):
    body = item("a") + item("b", level=1) + item("c", level=1) + item("d") + item("e", number=8)

    read = read_with(
        docx.read,
        made(body, {"word/numbering.xml": NUMBERING}, [("r2", "numbering", "numbering.xml")]),
    )

    assert read.text == "1. a\n1.a) b\n1.b) c\n2. d\n• e"


def test_a_table_within_a_table_is_read_once(read_with):
    inner = f"<w:tbl>{row(paragraph('x'), paragraph('y'))}</w:tbl>"
    body = f"<w:tbl>{row(paragraph('a') + paragraph('b'), inner)}</w:tbl>{paragraph('after')}"

    assert read_with(docx.read, made(body)).text == "a b\tx y\n\nafter"


def test_a_footnote_follows_its_paragraph(read_with):
    body = (
        '<w:p><w:r><w:t>Due in May</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
        + paragraph("Next.")
    )
    notes = f'<w:footnotes xmlns:w="{W}"><w:footnote w:id="2">{paragraph("Or June.")}</w:footnote>'

    read = read_with(
        docx.read,
        made(
            body,
            {"word/footnotes.xml": f"{notes}</w:footnotes>"},
            [("r2", "footnotes", "footnotes.xml")],
        ),
    )

    assert read.text == "Due in May[2]\n\n[2] Or June.\n\nNext."


def test_what_its_readers_do_not_see_is_not_read(read_with):
    body = (
        "<w:p><w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>new</w:t></w:r></w:ins>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>"
        "<w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
        '<w:p><w:r><mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/'
        'markup-compatibility/2006"><mc:Choice><w:txbxContent>'
        f"{paragraph('box')}</w:txbxContent></mc:Choice><mc:Fallback><w:txbxContent>"
        f"{paragraph('box')}</w:txbxContent></mc:Fallback></mc:AlternateContent></w:r></w:p>"
    )

    assert read_with(docx.read, made(body)).text == "new\n\nbox"


def test_the_main_part_may_have_any_name(read_with):
    body = f'<w:document xmlns:w="{W}"><w:body>{paragraph("x")}</w:body></w:document>'

    assert (
        read_with(docx.read, package("word/document2.xml", {"word/document2.xml": body})).text
        == "x"
    )


def test_the_stricter_edition_of_the_standard_is_read(read_with):
    strict = "http://purl.oclc.org/ooxml/wordprocessingml/main"
    body = f'<w:document xmlns:w="{strict}"><w:body>{paragraph("x")}</w:body></w:document>'

    assert read_with(docx.read, made(body)).text == "x"


def test_a_real_document_is_read_with_its_headers(read_with):
    read = read_with(docx.read, (DATA / "handbook-1p.docx").read_bytes())

    assert read.text.startswith("US Trustee Handbook\n\nCHAPTER 1\n\nINTRODUCTION")
    assert read.text.endswith("Copyright")


BOMB = "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"
WIDE = '<?xml version="1.0" encoding="utf-16"?>' + BOMB


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(BOMB, id="entities"),
        pytest.param(WIDE.encode("utf-16"), id="UTF-16"),
        pytest.param("<!--" + "x" * 70_000 + "-->" + BOMB, id="behind a comment"),
        pytest.param("<w:document", id="no XML"),
        pytest.param("<a>" * 100_000, id="deep"),
        pytest.param("", id="empty"),
    ],
)
def test_hostile_xml_is_unreadable(read_with, body):
    with pytest.raises(Unreadable) as failure:
        read_with(docx.read, package("word/document.xml", {"word/document.xml": body}))

    assert failure.value.code == "unreadable_document"


def test_a_small_archive_does_not_become_a_large_text(read_with):
    body = f'<w:document xmlns:w="{W}"><!--' + "x" * (120 * MIB) + "--></w:document>"

    with pytest.raises(Unreadable, match="more text"):
        read_with(docx.read, made(body))


def test_parts_outside_of_the_archive_are_never_asked_for(read_with):
    links = [("r2", "styles", "http://127.0.0.1:9/styles.xml"), ("r3", "footnotes", "../../../x")]

    assert read_with(docx.read, made(paragraph("x"), {}, links)).text == "x"
