"""XLSX: a page for each sheet that is shown, a line for each row."""

import re
from collections.abc import Iterator
from pathlib import Path

from backend.services.rag.clients.formats.numbers import Format, format_of
from backend.services.rag.clients.formats.ooxml import RELATIONS, Element, Package, opened
from backend.services.rag.clients.formats.page import Content, Page, TextBuilder

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_COLUMN = re.compile(r"[A-Z]{1,3}")
# Further apart than this, two cells have nothing to do with each other.
_MOST_GAP = 20


def read(file: Path) -> Content:
    with opened(file, "XLSX") as package:
        main = package.main_part()
        workbook = package.part(main)
        names = package.related(main, "worksheet")
        sheets = [
            (sheet.get("name", ""), names[sheet.get(f"{RELATIONS}id", "")])
            for sheet in workbook.iter(f"{_S}sheet")
            if sheet.get(f"{RELATIONS}id", "") in names
            and sheet.get("state", "visible") == "visible"
        ]
        book = _Book(package, main, workbook)
        return Content([book.page(*sheet) for sheet in sheets], total=len(sheets))


class _Book:
    """What all sheets refer to: the texts of cells, and how numbers are shown."""

    def __init__(self, package: Package, main: str, workbook: Element) -> None:
        self._package = package
        self._texts = self._shared_texts(main)
        self._formats = self._cell_formats(main)
        properties = workbook.find(f"{_S}workbookPr")
        since = properties.get("date1904", "") if properties is not None else ""
        self._from_1904 = since in ("1", "true")

    def page(self, title: str, part: str) -> Page:
        text = TextBuilder()
        text.heading(title)
        text.paragraph(title)
        text.table(self._rows(part))
        return text.page()

    def _rows(self, part: str) -> Iterator[list[str]]:
        for row in self._package.elements(part, "row"):
            cells: list[str] = []
            at = 0
            for cell in row:
                column = _column(cell.get("r", "")) or at + 1
                cells += [""] * min(column - at - 1, _MOST_GAP)
                cells.append(self._shown(cell))
                at = max(column, at + 1)
            yield cells

    def _shown(self, cell: Element) -> str:
        kind, value, formula, inline = cell.get("t", "n"), "", "", ""
        for node in cell:
            name = node.tag.rpartition("}")[2]
            if name == "v":
                value = node.text or ""
            elif name == "f":
                formula = node.text or ""
            elif name == "is":
                inline = _rich(node)
        if kind == "inlineStr":
            return inline
        if kind == "s":
            place = int(value) if value.isdecimal() else len(self._texts)
            return self._texts[place] if place < len(self._texts) else ""
        if kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        if kind == "n" and value:
            style = cell.get("s", "0")
            place = int(style) if style.isdecimal() else 0
            shown = self._formats[place] if place < len(self._formats) else Format()
            return shown.show(value, self._from_1904)
        # A formula that no program has worked out yet.
        return value or (f"={formula}" if formula else "")

    def _shared_texts(self, main: str) -> list[str]:
        for part in self._package.related(main, "sharedStrings").values():
            return [_rich(item) for item in self._package.elements(part, "si")]
        return []

    def _cell_formats(self, main: str) -> list[Format]:
        for part in self._package.related(main, "styles").values():
            root = self._package.part(part)
            codes = {
                code.get("numFmtId", ""): code.get("formatCode", "")
                for code in root.iter(f"{_S}numFmt")
            }
            cells = root.find(f"{_S}cellXfs")
            used = [cell.get("numFmtId", "0") for cell in (cells if cells is not None else ())]
            return [format_of(number, codes.get(number)) for number in used]
        return []


def _rich(item: Element) -> str:
    """The text of runs in different letters, without the readings above East Asian ones."""
    parts = []
    for node in item:
        name = node.tag.rpartition("}")[2]
        if name == "t":
            parts.append(node.text or "")
        elif name == "r":
            parts += [text.text or "" for text in node if text.tag.rpartition("}")[2] == "t"]
    return "".join(parts)


def _column(reference: str) -> int:
    """The number of the column in a reference such as `AB12`, from 1; 0 without one."""
    letters = _COLUMN.match(reference)
    number = 0
    for letter in letters.group() if letters else "":
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
