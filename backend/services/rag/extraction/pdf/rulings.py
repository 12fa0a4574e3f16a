"""Ruling lines of a PDF page: thin rectangles, edges of rectangles, and straight path segments."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from backend.services.rag.extraction.table_grids import RulingLine

# Maximum width of a line in points. A thicker rectangle is an area with four edges.
_MAX_LINE_WIDTH = 3.0
_MIN_LINE_LENGTH = 6.0
_MIN_CELL_WIDTH = 15.0
# Maximum deviation of a line from the horizontal or vertical, in points.
_MAX_SLOPE = 1.0
# Bounds the work for one page. Pages with more segments contain drawings.
_MAX_SEGMENTS = 1000

_Point = tuple[float, float]


@dataclass(slots=True)
class RulingLines:
    """Horizontal and vertical lines in PDF coordinates: y grows upwards."""

    horizontal: list[RulingLine] = field(default_factory=list)
    vertical: list[RulingLine] = field(default_factory=list)

    def rotate(self, turns: int) -> "RulingLines":
        """Return the lines with y growing down, rotated like text of *turns* quarter turns."""
        if turns == 0:
            return RulingLines(_mirror_positions(self.horizontal), _mirror_ends(self.vertical))
        if turns == 1:
            return RulingLines(_mirror_both(self.vertical), _mirror_both(self.horizontal))
        if turns == 2:
            return RulingLines(_mirror_ends(self.horizontal), _mirror_positions(self.vertical))
        return RulingLines(list(self.vertical), list(self.horizontal))


def read_ruling_lines(page: pypdfium2.PdfPage) -> RulingLines:
    """Return the lines of *page*; none if it contains drawings instead of tables."""
    lines = RulingLines()
    segments_left = _MAX_SEGMENTS
    bounds = [ctypes.c_float() for _ in range(4)]
    references = [ctypes.byref(each) for each in bounds]
    for index in range(pdfium.FPDFPage_CountObjects(page.raw)):
        item = pdfium.FPDFPage_GetObject(page.raw, index)
        if pdfium.FPDFPageObj_GetType(item) != pdfium.FPDF_PAGEOBJ_PATH:
            continue
        pdfium.FPDFPageObj_GetBounds(item, *references)
        left, bottom, right, top = (each.value for each in bounds)
        width, height = right - left, top - bottom
        if max(width, height) < _MIN_LINE_LENGTH or not _is_visible(item):
            continue
        if min(width, height) <= _MAX_LINE_WIDTH:
            _add_line((left, bottom), (right, top), lines)
            continue
        if width < _MIN_CELL_WIDTH or height < _MIN_LINE_LENGTH:
            continue
        segments_left -= pdfium.FPDFPath_CountSegments(item)
        if segments_left < 0:
            return RulingLines()
        _add_path(item, lines)
    return lines


def _is_visible(item: Any) -> bool:
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDFPath_GetDrawMode(item, ctypes.byref(fill), ctypes.byref(stroke))
    return bool(fill.value or stroke.value)


def _add_path(item: Any, lines: RulingLines) -> None:
    previous: _Point | None = None
    for point, is_line in _iterate_segments(item):
        if is_line and previous is not None:
            _add_line(previous, point, lines)
        previous = point


def _add_line(one: _Point, other: _Point, lines: RulingLines) -> None:
    (x1, x2), (y1, y2) = sorted((one[0], other[0])), sorted((one[1], other[1]))
    is_thin = _MAX_LINE_WIDTH if one[0] <= other[0] else _MAX_SLOPE
    if x2 - x1 >= max(_MIN_LINE_LENGTH, y2 - y1) and y2 - y1 <= is_thin:
        lines.horizontal.append(RulingLine((y1 + y2) / 2, x1, x2))
    elif y2 - y1 >= max(_MIN_LINE_LENGTH, x2 - x1) and x2 - x1 <= is_thin:
        lines.vertical.append(RulingLine((x1 + x2) / 2, y1, y2))


def _iterate_segments(item: Any) -> Iterator[tuple[_Point, bool]]:
    """Yield each segment's end point, and True if the segment is a straight line."""
    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFPageObj_GetMatrix(item, ctypes.byref(matrix))
    a, b, c, d, e, f = matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f
    x, y = ctypes.c_float(), ctypes.c_float()
    x_reference, y_reference = ctypes.byref(x), ctypes.byref(y)
    start: _Point | None = None
    for index in range(pdfium.FPDFPath_CountSegments(item)):
        segment = pdfium.FPDFPath_GetPathSegment(item, index)
        pdfium.FPDFPathSegment_GetPoint(segment, x_reference, y_reference)
        point = a * x.value + c * y.value + e, b * x.value + d * y.value + f
        kind = pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_MOVETO:
            start = point
        yield point, kind == pdfium.FPDF_SEGMENT_LINETO
        if pdfium.FPDFPathSegment_GetClose(segment) and start is not None:
            yield start, True


def _mirror_positions(lines: list[RulingLine]) -> list[RulingLine]:
    return [RulingLine(-line.position, line.start, line.end) for line in lines]


def _mirror_ends(lines: list[RulingLine]) -> list[RulingLine]:
    return [RulingLine(line.position, -line.end, -line.start) for line in lines]


def _mirror_both(lines: list[RulingLine]) -> list[RulingLine]:
    return [RulingLine(-line.position, -line.end, -line.start) for line in lines]
