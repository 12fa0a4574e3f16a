"""Detection of scanned PDF pages, and OCR of them."""

from typing import TYPE_CHECKING

import pypdfium2
import pypdfium2.raw as pdfium

if TYPE_CHECKING:
    from backend.services.rag.extraction.images.ocr import RecognizedText

# A scanned page may carry a short text layer, such as a stamped line, in addition to the image.
_MIN_IMAGE_COVERAGE = 0.5
_MIN_IMAGE_COVERAGE_WITHOUT_TEXT = 0.1
_MAX_LETTERS = 100
# Fonts without a character map yield replacement and private-use characters.
_MAX_UNMAPPED_RATIO = 0.3
_MIN_CHARACTERS_FOR_RATIO = 20
# Text that was converted to outlines consists of many paths.
_MIN_OUTLINES = 20
_MAX_SIDE_PIXELS = 2200
_MAX_SCALE = 4.0


def needs_ocr(page: pypdfium2.PdfPage, text: str) -> bool:
    """Return True if *text*, the text layer of *page*, lacks text that the page shows."""
    characters = [char for char in text if not char.isspace()]
    letters = sum(char.isalnum() for char in characters)
    unmapped = sum(char == "\ufffd" or "\ue000" <= char <= "\uf8ff" for char in characters)
    if (
        unmapped > _MAX_UNMAPPED_RATIO * len(characters)
        and len(characters) > _MIN_CHARACTERS_FOR_RATIO
    ):
        return True
    if letters >= _MAX_LETTERS:
        return False
    coverage, outlines = _measure_graphics(page)
    if coverage >= _MIN_IMAGE_COVERAGE:
        return True
    return letters == 0 and (
        coverage > _MIN_IMAGE_COVERAGE_WITHOUT_TEXT or outlines >= _MIN_OUTLINES
    )


def _measure_graphics(page: pypdfium2.PdfPage) -> tuple[float, int]:
    """Return the fraction of the page that images cover, and the number of paths."""
    covered, outlines = 0.0, 0
    for item in page.get_objects(
        filter=(pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_PATH), max_depth=3
    ):
        if item.type == pdfium.FPDF_PAGEOBJ_PATH:
            outlines += 1
            continue
        left, bottom, right, top = item.get_bounds()
        covered += abs((right - left) * (top - bottom))
    return covered / max(1.0, page.get_width() * page.get_height()), outlines


def recognize_page(page: pypdfium2.PdfPage) -> "RecognizedText":
    """Render *page* as it is displayed, and return its text by OCR."""
    # Imported here: loading the models takes a second and 300 MB.
    from backend.services.rag.extraction.images import ocr

    scale = min(_MAX_SCALE, _MAX_SIDE_PIXELS / max(1.0, page.get_width(), page.get_height()))
    bitmap = page.render(scale=scale, maybe_alpha=False)
    try:
        return ocr.recognize_text(bitmap.to_numpy()[:, :, :3].copy())
    finally:
        bitmap.close()
