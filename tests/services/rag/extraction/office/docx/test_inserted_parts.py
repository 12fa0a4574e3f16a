"""Files that other programs inserted into a DOCX file (altChunk)."""

import io
import zipfile

import pytest

from backend.services.rag.extraction.content import UnreadableFile
from backend.services.rag.extraction.office import ooxml
from backend.services.rag.extraction.office.docx.parser import parse_docx
from tests.documents import RELATIONS, docx, paragraph

CHUNK = f'<w:altChunk xmlns:r="{RELATIONS}" r:id="c1"/>'
HTML = "<html><body><h2>Anhang</h2><p>Größe &lt; 5 m</p><table><tr><td>a<td>b</table>"
MHT = """MIME-Version: 1.0
Content-Type: multipart/related; type="text/html"; boundary="=b1"

--=b1
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

<html><body><p>Caf=E9 at 9 o=
clock</p></body></html>
--=b1
Content-Type: image/png
Content-Transfer-Encoding: base64

iVBORw0=
--=b1--
"""


def insert(name, content, media_type, body=None):
    """Return a DOCX file with an inserted file between two paragraphs."""
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        f'<Override PartName="/word/{name}" ContentType="{media_type}"/></Types>'
    )
    return docx(
        body or paragraph("Before") + CHUNK + paragraph("After"),
        {f"word/{name}": content, "[Content_Types].xml": types},
        [("c1", "aFChunk", name)],
    )


@pytest.mark.parametrize(
    ("name", "content", "media_type", "expected"),
    [
        ("a.html", HTML, "text/html", "Anhang\n\nGröße < 5 m\n\na\tb"),
        ("a.xhtml", HTML, "application/xhtml+xml", "Anhang\n\nGröße < 5 m\n\na\tb"),
        ("a.htm", HTML.encode("cp1252").replace(b"<html>", b'<html><meta charset="cp1252">'),
         "text/html; charset=windows-1252", "Anhang\n\nGröße < 5 m\n\na\tb"),
        ("a.mht", MHT, "message/rfc822", "Café at 9 oclock"),
        ("a.mht", MHT, "application/octet-stream", "Café at 9 oclock"),
        ("a.html", MHT, "text/html", "Café at 9 oclock"),
        ("a.htm", HTML, "", "Anhang\n\nGröße < 5 m\n\na\tb"),
        ("a.rtf", rb"{\rtf1\ansi\ansicpg1252 Caf\'e9}", "application/rtf", "Café"),
        ("a.txt", "Ноль".encode("utf-16"), "text/plain", "Ноль"),
        ("a.docx", docx(paragraph("Inner")),
         "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
         "Inner"),
        ("a.bin", b"\x01", "application/x-own", "Inserted file: a.bin (application/x-own)"),
    ],
)  # fmt: skip
def test_inserted_file_is_read_at_its_place(parse_with, name, content, media_type, expected):
    parsed = parse_with(parse_docx, insert(name, content, media_type))

    assert parsed.text == f"Before\n\n{expected}\n\nAfter"


def test_inserted_file_in_a_cell_is_read(parse_with):
    body = f"<w:tbl><w:tr><w:tc>{CHUNK}{paragraph('x')}</w:tc></w:tr></w:tbl>"

    assert parse_with(parse_docx, insert("a.html", "<p>In", "text/html", body)).text == "In x"


def test_headings_of_inserted_files_are_kept(parse_with):
    parsed = parse_with(parse_docx, insert("a.html", HTML, "text/html"))

    assert parsed.headings == parsed.text_at_headings == ["Anhang"]


def test_missing_part_is_ignored(parse_with):
    assert parse_with(parse_docx, docx(CHUNK + paragraph("x"))).text == "x"


def test_insertions_are_limited_in_depth_and_size(parse_with):
    content = docx(paragraph("innermost"))
    for level in range(6):
        content = insert("a.docx", content, "", paragraph(f"level {level}") + CHUNK)

    assert parse_with(parse_docx, content).text == "level 5\n\nlevel 4\n\nlevel 3\n\nlevel 2"


def test_inserted_files_share_the_limit_on_the_size(parse_with, monkeypatch):
    monkeypatch.setattr(ooxml, "_MAX_PACKAGE_BYTES", 100_000)
    inserted = docx(paragraph("x" * 30_000))

    assert parse_with(parse_docx, insert("a.docx", inserted, "")).text.count("x") == 30_000
    with pytest.raises(UnreadableFile, match="more text"):
        parse_with(parse_docx, insert("a.docx", inserted, "", CHUNK * 20))


def test_damaged_embedded_file_is_rejected(parse_with):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x", "y")

    with pytest.raises(UnreadableFile, match="damaged"):
        parse_with(parse_docx, insert("a.docx", out.getvalue(), ""))
