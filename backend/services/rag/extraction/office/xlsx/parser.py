"""Parser of XLSX files (SpreadsheetML): one page per visible sheet, one line per row."""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from backend.services.rag.extraction.content import Content, Page, TextBuilder
from backend.services.rag.extraction.office.number_formats.formats import (
    NumberFormat,
    get_number_format,
)
from backend.services.rag.extraction.office.ooxml import (
    RELATIONSHIPS,
    Element,
    Package,
    open_package,
)
from backend.services.rag.extraction.office.symbol_fonts import decode_symbols, is_symbol_font
from backend.services.rag.extraction.office.xlsx.comments import Comments
from backend.services.rag.extraction.office.xlsx.drawings import Drawings
from backend.services.rag.extraction.office.xlsx.strings import read_rich_text
from backend.services.rag.extraction.office.xstrings import decode_xstring

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_COLUMN = re.compile(r"[A-Z]{1,3}")
# Wider gaps between cells are shortened: a cell in the last column would add 16,000 tabs.
_MAX_EMPTY_CELLS = 20


def parse_xlsx(file: Path) -> Content:
    with open_package(file, "XLSX") as package:
        main = package.find_main_part()
        workbook = package.read_part(main)
        names = package.related_parts(main, "worksheet") | package.related_parts(main, "chartsheet")
        sheets = [
            (decode_xstring(sheet.get("name", "")), names[sheet.get(f"{RELATIONSHIPS}id", "")])
            for sheet in workbook.iter(f"{_S}sheet")
            if sheet.get(f"{RELATIONSHIPS}id", "") in names
            and sheet.get("state", "visible") == "visible"
        ]
        reader = _WorkbookReader(package, main, workbook, {name for name, _ in sheets})
        return Content([reader.read_sheet(*sheet) for sheet in sheets], page_count=len(sheets))


@dataclass(frozen=True, slots=True)
class _CellFormat:
    number_format: NumberFormat
    symbol_font: str = ""

    def format_text(self, text: str) -> str:
        """Return the displayed text of a cell that contains *text*."""
        text = self.number_format.format_text(text)
        return decode_symbols(text, self.symbol_font) if self.symbol_font else text


_GENERAL = _CellFormat(NumberFormat())


class _WorkbookReader:
    """Reads sheets with the shared strings and number formats of their workbook."""

    def __init__(
        self, package: Package, main: str, workbook: Element, visible_sheets: AbstractSet[str]
    ) -> None:
        self._package = package
        self._drawings = Drawings(package, visible_sheets)
        self._comments = Comments(package, main)
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
        self._drawings.add_drawings(part, text)
        for comment in self._comments.read_comments(part):
            text.add_paragraph(comment)
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
            if node.tag == "v":
                value = node.text or ""
            elif node.tag == "f":
                formula = node.text or ""
            elif node.tag == "is":
                inline = read_rich_text(node)
        style = cell.get("s", "0")
        index = int(style) if style.isdecimal() else 0
        cell_format = self._formats[index] if index < len(self._formats) else _GENERAL
        if cell_type == "n" and value:
            return cell_format.number_format.format_value(value, self._from_1904)
        if cell_type == "inlineStr":
            return cell_format.format_text(inline)
        if cell_type == "s":
            index = int(value) if value.isdecimal() else len(self._shared_strings)
            known = index < len(self._shared_strings)
            return cell_format.format_text(self._shared_strings[index]) if known else ""
        if cell_type == "b":
            return "TRUE" if value == "1" else "FALSE"
        if cell_type == "str" and value:
            return cell_format.format_text(decode_xstring(value))
        # Without a stored result, show the formula.
        return value or (f"={formula}" if formula else "")

    def _read_shared_strings(self, main: str) -> list[str]:
        for part in self._package.related_parts(main, "sharedStrings").values():
            return [read_rich_text(item) for item in self._package.iterate_elements(part, "si")]
        return []

    def _read_cell_formats(self, main: str) -> list[_CellFormat]:
        for part in self._package.related_parts(main, "styles").values():
            root = self._package.read_part(part)
            codes = {
                code.get("numFmtId", ""): decode_xstring(code.get("formatCode", ""))
                for code in root.iter(f"{_S}numFmt")
            }
            fonts = [_get_symbol_font(font) for font in root.iterfind(f"{_S}fonts/{_S}font")]
            formats = []
            for cell in root.iterfind(f"{_S}cellXfs/{_S}xf"):
                format_id, font_id = cell.get("numFmtId", "0"), cell.get("fontId", "0")
                font = int(font_id) if font_id.isdecimal() else 0
                formats.append(
                    _CellFormat(
                        get_number_format(format_id, codes.get(format_id)),
                        fonts[font] if font < len(fonts) else "",
                    )
                )
            return formats
        return []


def _get_symbol_font(font: Element) -> str:
    name = font.find(f"{_S}name")
    value = name.get("val", "") if name is not None else ""
    return value if is_symbol_font(value) else ""


def _parse_column(reference: str) -> int:
    """Return the column number (from 1) of a cell reference such as `AB12`, or 0."""
    letters = _COLUMN.match(reference)
    return _get_column_number(letters.group()) if letters else 0


@lru_cache(maxsize=20_000)
def _get_column_number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
