"""Malicious files, generated on demand: small as files, large once unpacked."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from pypdf import PdfReader, PdfWriter

MIB = 2**20
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/'
    'content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-'
    'package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/{part}" ContentType="application/vnd.openxmlformats-officedocument.'
    '{kind}.main+xml"/></Types>'
)
_RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
    'relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/'
    'officeDocument/2006/relationships/{kind}" Target="{target}"{mode}/></Relationships>'
)
# "Billion laughs": each entity expands to twelve of the previous one.
LAUGHS = (
    "<!DOCTYPE x [<!ENTITY a 'bombbombbomb'>"
    + "".join(
        f"<!ENTITY {name} '{f'&{previous};' * 12}'>"
        for previous, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]>"
)
# Main part of each document type and its name in the content type.
OFFICE = {
    "docx": ("word/document.xml", "wordprocessingml.document"),
    "xlsx": ("xl/workbook.xml", "spreadsheetml.sheet"),
    "pptx": ("ppt/presentation.xml", "presentationml.presentation"),
}


def pdf(pages: int, words: str = "Nothing but a page.") -> bytes:
    """Return a PDF with *pages* pages of text."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(pages))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {pages}/Kids[{kids}]>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for number in range(pages):
        text = f"BT /F1 12 Tf 72 700 Td ({words} {number + 1}) Tj ET".encode()
        objects.append(_page(5 + 2 * number))
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(text), text))
    return _numbered(objects)


def pdf_bomb(size: int) -> bytes:
    """Return a PDF whose only page has *size* bytes and is compressed twice."""
    compressed = zlib.compress(_compress(b"BT ( ) Tj ET\n", size), 9)
    head = b"<</Length %d/Filter[/FlateDecode/FlateDecode]>>stream\n" % len(compressed)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[4 0 R]>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        _page(5),
        head + compressed + b"\nendstream",
    ]
    return _numbered(objects)


def encrypted_pdf(source: Path, password: str) -> bytes:
    """Return the PDF *source* encrypted with *password*."""
    writer = PdfWriter(clone_from=PdfReader(source))
    writer.encrypt(password, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def office_bomb(kind: str, size: int) -> bytes:
    """Return a DOCX, XLSX or PPTX whose main part expands to *size* bytes."""
    part, _ = OFFICE[kind]
    out = io.BytesIO()
    with _package(out, kind) as package, package.open(part, "w", force_zip64=True) as entry:
        entry.write(b"<?xml version='1.0'?><w:document xmlns:w='%s'><w:body>" % _W.encode())
        for piece in _pieces(b"<w:p><w:r><w:t>bomb</w:t></w:r></w:p>", size):
            entry.write(piece)
        entry.write(b"</w:body></w:document>")
    return out.getvalue()


def docx(body: str, before: str = "", link: str = "") -> bytes:
    """Return a DOCX with one paragraph, *before* in front of its root, and an external *link*."""
    out = io.BytesIO()
    with _package(out, "docx") as package:
        document = f"<w:document xmlns:w='{_W}'><w:body><w:p><w:r><w:t>{body}</w:t></w:r></w:p>"
        package.writestr(
            OFFICE["docx"][0], f"<?xml version='1.0'?>{before}{document}</w:body></w:document>"
        )
        if link:
            outward = _RELATIONS.format(
                kind="attachedTemplate", target=link, mode=' TargetMode="External"'
            )
            package.writestr("word/_rels/document.xml.rels", outward)
            package.writestr("word/_rels/settings.xml.rels", outward)
    return out.getvalue()


def picture(side: int) -> bytes:
    """Return a black PNG of *side* by *side* pixels, one bit each."""
    row = bytes(1 + (side + 7) // 8)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    pixels = _compress(row, len(row) * side)
    chunks = ((b"IHDR", head), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _page(content: int) -> bytes:
    box = "/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>"
    return f"<</Type/Page/Parent 2 0 R{box}/Contents {content} 0 R>>".encode()


def _numbered(objects: list[bytes]) -> bytes:
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
    out.write(trailer % (len(objects) + 1, table))
    return out.getvalue()


def _package(out: io.BytesIO, kind: str) -> zipfile.ZipFile:
    part, content_type = OFFICE[kind]
    package = zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9)
    package.writestr("[Content_Types].xml", _TYPES.format(part=part, kind=content_type))
    package.writestr("_rels/.rels", _RELATIONS.format(kind="officeDocument", target=part, mode=""))
    return package


def _compress(piece: bytes, size: int) -> bytes:
    compressor = zlib.compressobj(9)
    blocks = map(compressor.compress, _pieces(piece, size))
    return b"".join([*blocks, compressor.flush()])


def _pieces(piece: bytes, size: int) -> Iterator[bytes]:
    block = piece * (MIB // len(piece) + 1)
    while size > 0:
        yield block[: min(size, len(block))] if size < len(block) else block
        size -= len(block)
