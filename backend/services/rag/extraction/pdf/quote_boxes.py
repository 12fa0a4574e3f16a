"""Find the boxes of a quote on a PDF page.

The stored text of a page is compared with the characters that pdfium returns, both without white
space. If they are equal, positions map one to one. Otherwise the stored text has another order,
because extraction reorders columns and table cells: the quote is then divided into the longest
parts that occur among pdfium's characters.
"""

import ctypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium

from backend.services.rag.extraction.content import Page, clean_page
from backend.services.rag.extraction.pdf.page_text import iterate_words, read_char_box
from backend.services.rag.extraction.quote_alignment import align_quote, count_signs

Box = tuple[float, float, float, float]
"""Left, top, right and bottom as fractions of the displayed page."""

_PdfBox = tuple[float, float, float, float]
# pdfium converts positions to integers: fine enough for every screen.
_GRID = 100_000
# Minimum overlap of two boxes of a line, and maximum gap between them, in line heights.
_MIN_LINE_OVERLAP = 0.5
_MAX_GAP = 1.5


@dataclass(frozen=True, slots=True)
class QuoteBoxes:
    """The boxes of a quote, one for each line it touches.

    Attributes:
        exact: True if the page's characters equal its stored text.
        coverage: fraction of the quote's characters that have a box.
    """

    boxes: list[Box]
    exact: bool
    coverage: float


def find_quote_boxes(page: pypdfium2.PdfPage, text: str, start: int, end: int) -> QuoteBoxes:
    """Return the boxes of the characters *start* to *end* of *text*, the stored text of *page*."""
    signs = "".join(text.split())
    first, last = count_signs(text[:start]), count_signs(text[:end])
    if first == last:
        return QuoteBoxes([], exact=False, coverage=0.0)
    view = page.get_textpage()
    try:
        glyphs = list(_list_glyphs(view.raw))
        drawn = "".join(sign for sign, _, _ in glyphs)
        exact = signs == drawn
        positions = list(range(first, last)) if exact else align_quote(signs, drawn, first, last)
        boxes = [
            (read_char_box(view.raw, glyphs[position][1]), glyphs[position][2])
            for position in positions
        ]
    finally:
        view.close()
    return QuoteBoxes(
        [_to_displayed(page, box) for box in _join_lines(boxes)],
        exact,
        len(positions) / (last - first),
    )


def _list_glyphs(view: pdfium.FPDF_TEXTPAGE) -> Iterator[tuple[str, int, int]]:
    """Yield each sign of the page's words, pdfium's index of its character, and its direction."""
    for word, first, last, turns in iterate_words(view):
        signs = "".join(clean_page(Page(word)).text.split())
        length = last - first + 1
        for position, sign in enumerate(signs):
            # One glyph may stand for several letters, which then share its box.
            offset = position if len(signs) == length else position * length // len(signs)
            yield sign, first + offset, turns


def _join_lines(boxes: Sequence[tuple[_PdfBox, int]]) -> Iterator[_PdfBox]:
    """Yield consecutive boxes of a line as one box."""
    joined: _PdfBox | None = None
    direction = 0
    for box, turns in boxes:
        if joined is not None and turns == direction and _is_same_line(joined, box, turns):
            joined = (
                min(joined[0], box[0]),
                min(joined[1], box[1]),
                max(joined[2], box[2]),
                max(joined[3], box[3]),
            )
            continue
        if joined is not None:
            yield joined
        joined, direction = box, turns
    if joined is not None:
        yield joined


def _is_same_line(joined: _PdfBox, box: _PdfBox, turns: int) -> bool:
    # Index of the axis along which the text runs: x, or y for text turned by 90 degrees.
    along = turns % 2
    across = 1 - along
    height = max(1e-6, min(joined[across + 2] - joined[across], box[across + 2] - box[across]))
    overlap = min(joined[across + 2], box[across + 2]) - max(joined[across], box[across])
    gap = max(box[along] - joined[along + 2], joined[along] - box[along + 2])
    return overlap > _MIN_LINE_OVERLAP * height and gap < _MAX_GAP * height


def _to_displayed(page: pypdfium2.PdfPage, box: _PdfBox) -> Box:
    """Return *box* as fractions of the page as it is displayed: rotated and cropped."""
    one, other = _to_device(page, box[0], box[1]), _to_device(page, box[2], box[3])
    return (
        max(0.0, min(one[0], other[0])),
        max(0.0, min(one[1], other[1])),
        min(1.0, max(one[0], other[0])),
        min(1.0, max(one[1], other[1])),
    )


def _to_device(page: pypdfium2.PdfPage, x: float, y: float) -> tuple[float, float]:
    across, down = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDF_PageToDevice(
        page.raw, 0, 0, _GRID, _GRID, 0, x, y, ctypes.byref(across), ctypes.byref(down)
    )
    return across.value / _GRID, down.value / _GRID
