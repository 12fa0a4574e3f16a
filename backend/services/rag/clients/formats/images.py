"""Pictures: their text by OCR. Each picture of a TIFF is a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from backend.services.rag.clients.formats import ocr
from backend.services.rag.clients.formats.page import SCAN, Content, Page, Scan, Unreadable

_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")
# A page of A3 in 400 dots an inch has 31 million.
_MOST_PIXELS = 50_000_000
_MOST_PAGES = 500
_LONGEST_SIDE = 3000


def read(file: Path) -> Content:
    Image.MAX_IMAGE_PIXELS = None  # ours is lower, and its message says what is wrong
    with _opened(file) as picture:
        _refuse_huge(picture)
        pages = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
    if pages > _MOST_PAGES:
        raise Unreadable("too_many_pages", f"A TIFF of more than {_MOST_PAGES} pages is not read.")
    return Content(_pages(file, pages), total=pages)


def _pages(file: Path, count: int) -> Iterator[Page | Scan]:
    with _opened(file) as picture:
        for number in range(count):
            picture.seek(number)
            _refuse_huge(picture)  # each may have a size of its own
            yield SCAN
            yield Page(ocr.read(_pixels(picture)))


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(file, formats=_FORMATS) as picture:
            yield picture
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        detail = "This picture is damaged beyond reading."
        raise Unreadable("unreadable_document", detail) from error


def _refuse_huge(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > _MOST_PIXELS:
        raise Unreadable(
            "image_too_large",
            f"This picture has {width} by {height} pixels; at most {_MOST_PIXELS:,} are read.",
        )


def _pixels(frame: Image.Image) -> ocr.Picture:
    """The picture as it is meant to be seen: upright, on white, not larger than helps."""
    if frame.format == "JPEG":
        frame.draft("RGB", (_LONGEST_SIDE, _LONGEST_SIDE))
    if frame.mode.startswith(("I", "F")):
        # Sixteen bits of grey; converting would cut all but the darkest off.
        values = np.asarray(frame, dtype=np.float32)
        frame = Image.fromarray((values / max(1.0, float(values.max())) * 255).astype(np.uint8))
    shown = ImageOps.exif_transpose(frame)
    if shown.has_transparency_data:
        shown = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown.convert("RGBA"))
    shown = shown.convert("RGB")
    shown.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return np.ascontiguousarray(np.asarray(shown)[:, :, ::-1])
