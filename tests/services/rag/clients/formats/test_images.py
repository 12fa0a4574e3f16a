"""Pictures of text."""

import io
import struct
import zlib

import pytest
from PIL import Image

from backend.services.rag.clients.formats import images, pdf
from backend.services.rag.clients.formats.page import Unreadable
from tests.documents import Words, picture
from tests.documents import pdf as made

LINES = "The notice period is three months.\nPayment is due on the last day of each month."


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_picture_is_read_however_it_lies(read_with, turn):
    assert read_with(images.read, picture(LINES, turn=turn)).text == LINES


def test_each_picture_of_a_tiff_is_a_page(read_with):
    pages = [Image.open(io.BytesIO(picture(text, (700, 120)))) for text in ("First page", "Second")]
    whole = io.BytesIO()
    pages[0].save(whole, "TIFF", save_all=True, append_images=pages[1:])

    read = read_with(images.read, whole.getvalue())

    assert read.pages == ["First page", "Second"]
    assert read.total == 2


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        ("JPEG", "CMYK"),
        ("WEBP", "RGB"),
        ("BMP", "L"),
        ("GIF", "P"),
        ("PNG", "RGBA"),
        ("PNG", "I;16"),
    ],
)
def test_pictures_of_all_makes_are_read(read_with, form, mode):
    page = Image.open(io.BytesIO(picture("Notice period", (500, 100))))
    if mode == "RGBA":
        # Black letters on nothing at all.
        ink = page.convert("L").point(lambda value: 255 - value)
        page = Image.new("RGBA", page.size, (0, 0, 0, 0))
        page.putalpha(ink)
    elif mode == "I;16":
        page = page.convert("I").point(lambda value: value * 256).convert("I;16")
    else:
        page = page.convert(mode)
    whole = io.BytesIO()
    page.save(whole, form)

    assert read_with(images.read, whole.getvalue()).text == "Notice period"


def test_a_scanned_page_among_others_is_read(read_with):
    letter = picture(LINES, (1020, 1320), 28, form="JPEG")

    read = read_with(pdf.read, made([Words(60, 700, "A page of text.")], letter))

    assert read.pages[0] == "A page of text."
    assert read.pages[1] == LINES


def png(width, height):
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def test_a_huge_picture_is_refused_before_it_is_unpacked(read_with):
    with pytest.raises(Unreadable, match="50000 by 50000") as failure:
        read_with(images.read, png(50_000, 50_000))

    assert failure.value.code == "image_too_large"


@pytest.mark.parametrize("content", [png(100, 100), b"\xff\xd8\xff\xe0", picture(LINES)[:900]])
def test_a_broken_picture_is_unreadable(read_with, content):
    with pytest.raises(Unreadable, match="damaged"):
        read_with(images.read, content)
