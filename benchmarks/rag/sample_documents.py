"""Sample documents: abstracts as text files, and books of abstracts as PDF."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

_LINES_PER_PAGE = 52
_CHARACTERS_PER_LINE = 92


def write_documents(data: Path, folder: Path, texts: int, books: int, pages: int) -> list[Path]:
    """Write *texts* abstracts of SciFact and *books* PDFs of *pages* pages to *folder*."""
    rows = [json.loads(line) for line in (data / "scifact" / "corpus.jsonl").open()]
    paths = []
    for row in rows[:texts]:
        paths.append(folder / f"abstract-{row['_id']}.txt")
        paths[-1].write_text(f"{row['title']}\n\n{row['text']}\n")
    lines = _wrap_lines(row["text"] for row in rows[texts:])
    for number in range(books):
        paths.append(folder / f"book-{number}.pdf")
        sheets = [list(islice(lines, _LINES_PER_PAGE)) for _ in range(pages)]
        paths[-1].write_bytes(build_pdf(sheets))
    return paths


def _wrap_lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from textwrap.wrap(text, _CHARACTERS_PER_LINE)
        yield ""


def build_pdf(sheets: Sequence[Sequence[str]]) -> bytes:
    """Return a PDF of plain lines with the minimum of objects that the standard requires."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(sheets)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {len(sheets)} /Kids [{kids}] >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, sheet in enumerate(sheets):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
            b"/Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % (5 + 2 * number)
        )
        operators = b" ".join(b"(%s) Tj T*" % _escape_pdf_text(line) for line in sheet)
        stream = b"BT /F1 10 Tf 14 TL 56 790 Td " + operators + b" ET"
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    out += b"trailer << /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def _escape_pdf_text(line: str) -> bytes:
    encoded = line.encode("cp1252", "replace")
    return encoded.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
