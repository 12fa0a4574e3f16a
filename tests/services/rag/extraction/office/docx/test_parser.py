"""Parser of DOCX: headings, lists, tables, notes and hidden text."""

import pytest

from backend.services.rag.extraction.content import UnreadableFile
from backend.services.rag.extraction.office.docx.parser import parse_docx
from tests.documents import W, package, paragraph
from tests.documents import docx as make_docx
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


def list_item(text, list_id=7, level=0):
    list_level = f'<w:ilvl w:val="{level}"/><w:numId w:val="{list_id}"/>'
    return paragraph(text, extra_properties=f"<w:numPr>{list_level}</w:numPr>")


def table_row(*cells):
    return f"<w:tr>{''.join(f'<w:tc>{cell}</w:tc>' for cell in cells)}</w:tr>"


def test_headings_are_detected_by_style_name(parse_with):
    body = paragraph("Manual", "Titel") + paragraph("Setup", "berschrift1") + paragraph("x", "Own")

    parsed = parse_with(
        parse_docx,
        make_docx(body, {"word/styles.xml": STYLES}, [("r2", "styles", "styles.xml")]),
    )

    assert parsed.title == "Manual"
    assert parsed.headings == ["Setup", "x"]
    assert parsed.text_at_headings == ["Setup", "x"]


def test_list_items_have_their_numbers(parse_with):
    body = "".join(
        [
            list_item("a"),
            list_item("b", level=1),
            list_item("c", level=1),
            list_item("d"),
            list_item("e", list_id=8),
        ]
    )

    parsed = parse_with(
        parse_docx,
        make_docx(body, {"word/numbering.xml": NUMBERING}, [("r2", "numbering", "numbering.xml")]),
    )

    assert parsed.text == "1. a\n1.a) b\n1.b) c\n2. d\n• e"


def test_nested_table_is_read_once(parse_with):
    nested = f"<w:tbl>{table_row(paragraph('x'), paragraph('y'))}</w:tbl>"
    body = (
        f"<w:tbl>{table_row(paragraph('a') + paragraph('b'), nested)}</w:tbl>{paragraph('after')}"
    )

    assert parse_with(parse_docx, make_docx(body)).text == "a b\tx y\n\nafter"


def test_footnote_follows_its_paragraph(parse_with):
    body = (
        '<w:p><w:r><w:t>Due in May</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
        + paragraph("Next.")
    )
    notes = f'<w:footnotes xmlns:w="{W}"><w:footnote w:id="2">{paragraph("Or June.")}</w:footnote>'

    parsed = parse_with(
        parse_docx,
        make_docx(
            body,
            {"word/footnotes.xml": f"{notes}</w:footnotes>"},
            [("r2", "footnotes", "footnotes.xml")],
        ),
    )

    assert parsed.text == "Due in May[1]\n\n[1] Or June.\n\nNext."


def test_deleted_and_hidden_text_is_skipped(parse_with):
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

    assert parse_with(parse_docx, make_docx(body)).text == "new\n\nbox"


def test_main_part_with_any_name_is_found(parse_with):
    body = f'<w:document xmlns:w="{W}"><w:body>{paragraph("x")}</w:body></w:document>'

    assert (
        parse_with(parse_docx, package("word/document2.xml", {"word/document2.xml": body})).text
        == "x"
    )


def test_strict_ooxml_is_parsed(parse_with):
    strict = "http://purl.oclc.org/ooxml/wordprocessingml/main"
    body = f'<w:document xmlns:w="{strict}"><w:body>{paragraph("x")}</w:body></w:document>'

    assert parse_with(parse_docx, make_docx(body)).text == "x"


def test_headers_and_footers_of_real_document_are_read(parse_with):
    parsed = parse_with(parse_docx, (DATA / "handbook-1p.docx").read_bytes())

    assert parsed.text.startswith("US Trustee Handbook\n\nCHAPTER 1\n\nINTRODUCTION")
    assert parsed.text.endswith("Copyright")


BOMB = "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"
UTF16_BOMB = '<?xml version="1.0" encoding="utf-16"?>' + BOMB


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(BOMB, id="entities"),
        pytest.param(UTF16_BOMB.encode("utf-16"), id="UTF-16"),
        pytest.param("<!--" + "x" * 70_000 + "-->" + BOMB, id="after a long comment"),
        pytest.param("<w:document", id="not XML"),
        pytest.param("<a>" * 100_000, id="deeply nested"),
        pytest.param("", id="empty"),
        pytest.param('<?xml version="1.0" encoding="x-own"?><a/>', id="unknown encoding"),
    ],
)
def test_hostile_xml_is_rejected(parse_with, body):
    with pytest.raises(UnreadableFile) as failure:
        parse_with(parse_docx, package("word/document.xml", {"word/document.xml": body}))

    assert failure.value.code == "unreadable_document"


def test_decompression_bomb_is_rejected(parse_with):
    body = f'<w:document xmlns:w="{W}"><!--' + "x" * (120 * MIB) + "--></w:document>"

    with pytest.raises(UnreadableFile, match="more text"):
        parse_with(parse_docx, make_docx(body))


def test_external_parts_are_ignored(parse_with):
    links = [("r2", "styles", "http://127.0.0.1:9/styles.xml"), ("r3", "footnotes", "../../../x")]

    assert parse_with(parse_docx, make_docx(paragraph("x"), {}, links)).text == "x"
