"""Parser of image files by OCR. Each image of a TIFF file is a page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from backend.services.rag.extraction.content import (
    OCR_STARTED,
    UNREAD_SCRIPT,
    Content,
    Page,
    PageSignal,
    UnreadableFile,
)
from backend.services.rag.extraction.images import ocr
from backend.services.rag.extraction.images.text_lines.images import ImageArray

_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")
# An A3 page at 400 dpi has 31 million pixels.
_MAX_PIXELS = 50_000_000
_MAX_PAGES = 500
_MAX_SIDE_PIXELS = 3000


def parse_image(file: Path) -> Content:
    # Disable Pillow's limit: _MAX_PIXELS is lower, and its error message says what is wrong.
    Image.MAX_IMAGE_PIXELS = None
    with _open_image(file) as image:
        _check_pixel_count(image)
        page_count = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    if page_count > _MAX_PAGES:
        raise UnreadableFile(
            "too_many_pages",
            f"The TIFF file has {page_count} pages. At most {_MAX_PAGES} are supported.",
        )
    return Content(_iterate_pages(file, page_count), page_count=page_count)


def _iterate_pages(file: Path, page_count: int) -> Iterator[Page | PageSignal]:
    with _open_image(file) as image:
        for number in range(page_count):
            image.seek(number)
            _check_pixel_count(image)  # pages may differ in size
            yield OCR_STARTED
            recognized = ocr.recognize_text(_to_bgr_array(image))
            if recognized.is_unread:
                yield UNREAD_SCRIPT
            yield Page(recognized.text, lines=recognized.lines)


@contextmanager
def _open_image(file: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(file, formats=_FORMATS) as image:
            yield image
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        detail = "The image is damaged and cannot be read."
        raise UnreadableFile("unreadable_document", detail) from error


def _check_pixel_count(image: Image.Image) -> None:
    width, height = image.size
    if width * height > _MAX_PIXELS:
        raise UnreadableFile(
            "image_too_large",
            f"The image has {width} by {height} pixels. At most {_MAX_PIXELS:,} pixels are "
            "supported.",
        )


def _to_bgr_array(image: Image.Image) -> ImageArray:
    """Return the image as it is displayed: upright, on white, with at most _MAX_SIDE_PIXELS."""
    if image.format == "JPEG":
        image.draft("RGB", (_MAX_SIDE_PIXELS, _MAX_SIDE_PIXELS))
    if image.mode.startswith(("I", "F")):
        # Scale 16-bit gray values: Pillow's conversion would clip all but the darkest.
        values = np.asarray(image, dtype=np.float32)
        image = Image.fromarray((values / max(1.0, float(values.max())) * 255).astype(np.uint8))
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
    upright = upright.convert("RGB")
    upright.thumbnail((_MAX_SIDE_PIXELS, _MAX_SIDE_PIXELS))
    return np.ascontiguousarray(np.asarray(upright)[:, :, ::-1])
