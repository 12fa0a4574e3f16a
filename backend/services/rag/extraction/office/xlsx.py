"""Parser of XLSX files (SpreadsheetML): one page per visible sheet, one line per row."""

import re
from collections.abc import Iterator
from pathlib import Path

from backend.services.rag.extraction.content import Content, Page, TextBuilder
from backend.services.rag.extraction.office.number_formats import NumberFormat, get_number_format
from backend.services.rag.extraction.office.ooxml import (
    RELATIONSHIPS,
    Element,
    Package,
    open_package,
)

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_COLUMN = re.compile(r"[A-Z]{1,3}")
# Wider gaps between cells are shortened: a cell in the last column would add 16,000 tabs.
_MAX_EMPTY_CELLS = 20


def parse_xlsx(file: Path) -> Content:
    with open_package(file, "XLSX") as package:
        main = package.find_main_part()
        workbook = package.read_part(main)
        names = package.related_parts(main, "worksheet")
        sheets = [
            (sheet.get("name", ""), names[sheet.get(f"{RELATIONSHIPS}id", "")])
            for sheet in workbook.iter(f"{_S}sheet")
            if sheet.get(f"{RELATIONSHIPS}id", "") in names
            and sheet.get("state", "visible") == "visible"
        ]
        reader = _WorkbookReader(package, main, workbook)
        return Content([reader.read_sheet(*sheet) for sheet in sheets], page_count=len(sheets))


class _WorkbookReader:
    """Reads sheets with the shared strings and number formats of their workbook."""

    def __init__(self, package: Package, main: str, workbook: Element) -> None:
        self._package = package
        self._shared_strings = self._read_shared_strings(main)
        self._formats = self._read_cell_formats(main)
        properties = workbook.find(f"{_S}workbookPr")
        date_1904 = properties.get("date1904", "") if properties is not None else ""
        self._from_1904 = date_1904 in ("1", "true")

    def read_sheet(self, title: str, part: str) -> Page:
        text = TextBuilder()
        text.add_heading(title)
        text.add_paragraph(title)
        text.add_table(self._iterate_rows(part))
        return text.to_page()

    def _iterate_rows(self, part: str) -> Iterator[list[str]]:
        for row in self._package.iterate_elements(part, "row"):
            cells: list[str] = []
            previous = 0
            for cell in row:
                column = _parse_column(cell.get("r", "")) or previous + 1
                cells += [""] * min(column - previous - 1, _MAX_EMPTY_CELLS)
                cells.append(self._format_cell(cell))
                previous = max(column, previous + 1)
            yield cells

    def _format_cell(self, cell: Element) -> str:
        """Return the text that the cell displays (cell types: ECMA-376 18.18.11)."""
        cell_type, value, formula, inline = cell.get("t", "n"), "", "", ""
        for node in cell:
            name = node.tag.rpartition("}")[2]
            if name == "v":
                value = node.text or ""
            elif name == "f":
                formula = node.text or ""
            elif name == "is":
                inline = _rich_text(node)
        if cell_type == "inlineStr":
            return inline
        if cell_type == "s":
            index = int(value) if value.isdecimal() else len(self._shared_strings)
            return self._shared_strings[index] if index < len(self._shared_strings) else ""
        if cell_type == "b":
            return "TRUE" if value == "1" else "FALSE"
        if cell_type == "n" and value:
            style = cell.get("s", "0")
            index = int(style) if style.isdecimal() else 0
            number_format = self._formats[index] if index < len(self._formats) else NumberFormat()
            return number_format.format_value(value, self._from_1904)
        # Without a stored result, show the formula.
        return value or (f"={formula}" if formula else "")

    def _read_shared_strings(self, main: str) -> list[str]:
        for part in self._package.related_parts(main, "sharedStrings").values():
            return [_rich_text(item) for item in self._package.iterate_elements(part, "si")]
        return []

    def _read_cell_formats(self, main: str) -> list[NumberFormat]:
        for part in self._package.related_parts(main, "styles").values():
            root = self._package.read_part(part)
            codes = {
                code.get("numFmtId", ""): code.get("formatCode", "")
                for code in root.iter(f"{_S}numFmt")
            }
            cells = root.find(f"{_S}cellXfs")
            format_ids = [
                cell.get("numFmtId", "0") for cell in (cells if cells is not None else ())
            ]
            return [get_number_format(format_id, codes.get(format_id)) for format_id in format_ids]
        return []


def _rich_text(item: Element) -> str:
    """Return the text of all runs, without phonetic guides (furigana)."""
    parts = []
    for node in item:
        name = node.tag.rpartition("}")[2]
        if name == "t":
            parts.append(node.text or "")
        elif name == "r":
            parts += [text.text or "" for text in node if text.tag.rpartition("}")[2] == "t"]
    return "".join(parts)


def _parse_column(reference: str) -> int:
    """Return the column number (from 1) of a cell reference such as `AB12`, or 0."""
    letters = _COLUMN.match(reference)
    number = 0
    for letter in letters.group() if letters else "":
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
