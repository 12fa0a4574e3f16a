"""Pages of a PDF that are pictures: told from those with text, and read by OCR."""

import pypdfium2
import pypdfium2.raw as pdfium

# A page that a picture covers may carry a stamped line of real text all the same.
_COVERED = 0.5
_LITTLE_TEXT = 100
# Fonts without names for their letters give signs that are none.
_NO_LETTERS = 0.3
# Text that was turned into outlines is many of them.
_MANY_OUTLINES = 20
_LONGEST_SIDE = 2200
_MOST_SCALE = 4.0


def is_scanned(page: pypdfium2.PdfPage, text: str) -> bool:
    """Whether what the page shows is not in *text*."""
    signs = [char for char in text if not char.isspace()]
    letters = sum(char.isalnum() for char in signs)
    strange = sum(char == "\ufffd" or "\ue000" <= char <= "\uf8ff" for char in signs)
    if strange > _NO_LETTERS * len(signs) and len(signs) > 20:
        return True
    if letters >= _LITTLE_TEXT:
        return False
    covered, outlines = _drawn(page)
    return covered >= _COVERED or (letters == 0 and (covered > 0.1 or outlines >= _MANY_OUTLINES))


def _drawn(page: pypdfium2.PdfPage) -> tuple[float, int]:
    """How much of the page pictures cover, and how many outlines are on it."""
    covered, outlines = 0.0, 0
    for thing in page.get_objects(
        filter=(pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_PATH), max_depth=3
    ):
        if thing.type == pdfium.FPDF_PAGEOBJ_PATH:
            outlines += 1
            continue
        left, bottom, right, top = thing.get_bounds()
        covered += abs((right - left) * (top - bottom))
    return covered / max(1.0, page.get_width() * page.get_height()), outlines


def read_picture(page: pypdfium2.PdfPage) -> str:
    # Loaded for the first picture alone: the models take a second and 300 MB.
    from backend.services.rag.clients.formats import ocr

    scale = min(_MOST_SCALE, _LONGEST_SIDE / max(1.0, page.get_width(), page.get_height()))
    bitmap = page.render(scale=scale, maybe_alpha=False)
    try:
        return ocr.read(bitmap.to_numpy()[:, :, :3].copy())
    finally:
        bitmap.close()
