"""OCR of images and scanned pages."""

import io
import struct
import zlib

import pypdfium2
import pytest
from PIL import Image

from backend.services.rag.extraction.content import UnreadableFile
from backend.services.rag.extraction.images.parser import parse_image
from backend.services.rag.extraction.pdf.parser import parse_pdf
from tests.documents import TextLine, picture
from tests.documents import pdf as make_pdf
from tests.services.rag.conftest import DATA

LINES = "The notice period is three months.\nPayment is due on the last day of each month."


@pytest.mark.parametrize(
    "turn", [1, *(pytest.param(turn, marks=pytest.mark.slow) for turn in (0, 2, 3))]
)
def test_text_is_recognized_in_any_rotation(parse_with, turn):
    assert parse_with(parse_image, picture(LINES, turn=turn)).text == LINES


def test_each_image_of_tiff_is_a_page(parse_with):
    pages = [Image.open(io.BytesIO(picture(text, (700, 120)))) for text in ("First page", "Second")]
    tiff = io.BytesIO()
    pages[0].save(tiff, "TIFF", save_all=True, append_images=pages[1:])

    parsed = parse_with(parse_image, tiff.getvalue())

    assert parsed.pages == ["First page", "Second"]
    assert parsed.page_count == 2


@pytest.mark.parametrize(
    ("image_format", "mode"),
    [
        ("JPEG", "CMYK"),
        ("WEBP", "RGB"),
        ("BMP", "L"),
        ("GIF", "P"),
        ("PNG", "RGBA"),
        ("PNG", "I;16"),
    ],
)
def test_text_is_recognized_in_all_formats_and_modes(parse_with, image_format, mode):
    page = Image.open(io.BytesIO(picture("Notice period", (500, 100))))
    if mode == "RGBA":
        # Black letters on a transparent background.
        ink = page.convert("L").point(lambda value: 255 - value)
        page = Image.new("RGBA", page.size, (0, 0, 0, 0))
        page.putalpha(ink)
    elif mode == "I;16":
        page = page.convert("I").point(lambda value: value * 256).convert("I;16")
    else:
        page = page.convert(mode)
    content = io.BytesIO()
    page.save(content, image_format)

    assert parse_with(parse_image, content.getvalue()).text == "Notice period"


def test_scanned_page_of_pdf_is_recognized(parse_with):
    scan = picture(LINES, (1020, 1320), 28, form="JPEG")

    parsed = parse_with(parse_pdf, make_pdf([TextLine(60, 700, "A page of text.")], scan))

    assert parsed.pages[0] == "A page of text."
    assert parsed.pages[1] == LINES


def make_png(width, height):
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def test_huge_image_is_rejected_before_decompression(parse_with):
    with pytest.raises(UnreadableFile, match="50000 by 50000") as failure:
        parse_with(parse_image, make_png(50_000, 50_000))

    assert failure.value.code == "image_too_large"


@pytest.mark.parametrize("content", [make_png(100, 100), b"\xff\xd8\xff\xe0", picture(LINES)[:900]])
def test_damaged_image_is_rejected(parse_with, content):
    with pytest.raises(UnreadableFile, match="damaged"):
        parse_with(parse_image, content)


def scan_page(content, crop=(0, 0, 0, 0)):
    """Return a PNG of the first page of a PDF, without the margins *crop* in points."""
    page = pypdfium2.PdfDocument(content)[0]
    png = io.BytesIO()
    page.render(scale=2, crop=crop).to_pil().save(png, "PNG")
    return png.getvalue()


def scan_arabic_page():
    return scan_page(DATA / "right_to_left_01.pdf", crop=(0, 620, 0, 0))


@pytest.mark.slow
def test_page_in_unsupported_script_is_reported_without_garbage(parse_with):
    parsed = parse_with(parse_image, scan_arabic_page())

    assert parsed.has_unread_script
    assert parsed.text == ""


@pytest.mark.slow
def test_letters_with_accents_are_recognized(parse_with):
    lines = ["Größere Mengen Öl für Äpfel", "L'été à Besançon où naît", "Niños y años en España"]
    page = make_pdf([TextLine(60, 700 - 30 * n, line, 16) for n, line in enumerate(lines)])

    parsed = parse_with(parse_image, scan_page(page, crop=(0, 560, 200, 0)))

    assert parsed.text.split("\n") == lines
    assert not parsed.has_unread_script
