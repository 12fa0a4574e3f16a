"""Render a page of a PDF, or find the boxes of a quote on it. Runs in an extraction process."""

import io
from base64 import b64encode
from pathlib import Path
from typing import Any

import pypdfium2
from PIL import Image
from pypdfium2 import PdfiumError

from backend.services.rag.extraction.content import UnreadableFile
from backend.services.rag.extraction.pdf.documents import open_document
from backend.services.rag.extraction.pdf.quote_boxes import find_quote_boxes

_MAX_PIXELS = 12_000_000
_WEBP_QUALITY = 80
# Higher methods take up to four times as long and save a tenth of the size.
_WEBP_METHOD = 2
_PNG_LEVEL = 4


def answer_request(file: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Return the page that *request* selects by its `page`, from 1.

    With `width` the answer contains the image in the `format` webp or png, in base64. Otherwise it
    contains the size of the page and the boxes of the characters `start` to `end` of `text`.
    `password` opens encrypted files.

    Raises:
        UnreadableFile: pdfium cannot open the file or the page.
    """
    password = request.get("password")
    try:
        document = open_document(file, password)
    except PdfiumError as error:
        code = "unreadable_document"
        if "password" in str(error).lower():
            code = "wrong_password" if password else "password_required"
        raise UnreadableFile(code, "The PDF cannot be opened.") from error
    try:
        page = document[request["page"] - 1]
        if "width" in request:
            return {"image": _render(page, request["width"], request["format"])}
        return _describe(page, request) | {"pages": len(document)}
    except (PdfiumError, IndexError, ValueError) as error:
        raise UnreadableFile("unreadable_page", "The page cannot be rendered.") from error
    finally:
        document.close()


def _describe(page: pypdfium2.PdfPage, request: dict[str, Any]) -> dict[str, Any]:
    width, height = page.get_size()
    size = {"width": width, "height": height}
    if request.get("text") is None:
        return size | {"boxes": [], "exact": False, "coverage": 0.0}
    found = find_quote_boxes(page, request["text"], request["start"], request["end"])
    return size | {"boxes": found.boxes, "exact": found.exact, "coverage": found.coverage}


def _render(page: pypdfium2.PdfPage, pixels: int, image_format: str) -> str:
    width, height = (max(1.0, side) for side in page.get_size())
    scale = min(pixels / width, (_MAX_PIXELS / (width * height)) ** 0.5)
    bitmap = page.render(scale=scale, maybe_alpha=False, rev_byteorder=True)
    try:
        image: Image.Image = bitmap.to_pil().convert("RGB")
        content = io.BytesIO()
        if image_format == "webp":
            image.save(content, "WEBP", quality=_WEBP_QUALITY, method=_WEBP_METHOD)
        else:
            image.save(content, "PNG", compress_level=_PNG_LEVEL)
        return b64encode(content.getbuffer()).decode("ascii")
    finally:
        bitmap.close()
