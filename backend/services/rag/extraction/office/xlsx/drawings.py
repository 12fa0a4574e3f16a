"""Text boxes, charts and diagrams on a sheet (SpreadsheetDrawingML, ECMA-376 Part 1, 20.5)."""

import re
from collections.abc import Set as AbstractSet

from backend.services.rag.extraction.content import TextBuilder
from backend.services.rag.extraction.office.drawing.objects import OBJECT_TAGS, add_object
from backend.services.rag.extraction.office.drawing.text import read_paragraphs
from backend.services.rag.extraction.office.ooxml import FALLBACK, Element, Package

_XDR = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"
_COPY = "{http://schemas.microsoft.com/office/drawing/2010/main}compatExt"
# Sheet name of a reference to cells, e.g. `'Sales 2024'!$B$2:$B$9`.
_SHEET_NAME = re.compile(r"(?:'((?:[^']|'')+)'|([^'!\[\]]+))!\$?[A-Z]")


class Drawings:
    """Reads the drawings of the sheets of a workbook."""

    def __init__(self, package: Package, visible_sheets: AbstractSet[str]) -> None:
        """Omit chart values from *visible_sheets*: the text of the sheets contains them."""
        self._package = package
        self._visible_sheets = visible_sheets

    def add_drawings(self, sheet: str, text: TextBuilder) -> None:
        """Append the text of all shapes of *sheet*."""
        for part in self._package.related_parts(sheet, "drawing").values():
            root = self._package.read_optional_part(part)
            if root is not None:
                self._add_shapes(root, part, text)

    def _add_shapes(self, node: Element, part: str, text: TextBuilder) -> None:
        for child in node:
            if child.tag in OBJECT_TAGS:
                add_object(self._package, part, child, text, self._is_shown)
            elif child.tag == f"{_XDR}txBody":
                text.add_paragraph("\n".join(read_paragraphs(child)))
            elif child.tag != FALLBACK and not _is_hidden(child):
                self._add_shapes(child, part, text)

    def _is_shown(self, formula: str) -> bool:
        name = _SHEET_NAME.match(formula)
        return name is not None and (
            (name[1] or name[2]).replace("''", "'") in self._visible_sheets
        )


def _is_hidden(shape: Element) -> bool:
    """Return True for a hidden shape.

    A form control is marked as hidden, because another copy of it is shown: `compatExt`
    ([MS-ODRAWXML]) refers to that copy.
    """
    properties = next((node.find(f"{_XDR}cNvPr") for node in shape[:1]), None)
    if properties is None or properties.get("hidden", "0") not in ("1", "true"):
        return False
    return not any(node.tag == _COPY for node in properties.iter())
