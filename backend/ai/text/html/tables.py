"""Tables of a page: rows of cells for a data table, blocks of text for a layout table."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from backend.ai.text.text_builder import StructuredText, TextBuilder

# Longer cells indicate a table that is used for layout.
_MAX_CELL_CHARS: Final = 400
_MAX_SPAN: Final = 100
# Bounds the time for tables whose cells span many rows and columns.
_MAX_COLUMNS: Final = 500
_SPAN = re.compile(r"[1-9]\d{0,4}")


class _Cell(NamedTuple):
    content: StructuredText
    columns: int
    rows: int


@dataclass(slots=True)
class Table:
    """A table that is being parsed: its complete rows and the open row."""

    rows: list[list[_Cell]] = field(default_factory=list)
    row: list[_Cell] = field(default_factory=list)

    def add_cell(
        self, content: StructuredText, column_span: str | None, row_span: str | None
    ) -> None:
        """Append a cell to the open row. The spans are attribute values."""
        self.row.append(_Cell(content, _parse_span(column_span), _parse_span(row_span)))

    def end_row(self) -> None:
        """Complete the open row, if any."""
        if self.row:
            self.rows.append(self.row)
            self.row = []

    def write(self, text: TextBuilder) -> None:
        """Append the rows of a data table, or the blocks of a table that is used for layout."""
        if not _is_data_table(self.rows):
            for cell in (cell for row in self.rows for cell in row):
                text.add_structured_text(cell.content)
                text.break_line(blank=True)
            return
        lines = _expand_spans(self.rows)
        # Omit empty columns, which serve as spacing.
        used = sorted({column for line in lines for column, cell in enumerate(line) if cell})
        text.add_table([line[column] for column in used if column < len(line)] for line in lines)


def _is_data_table(rows: Sequence[Sequence[_Cell]]) -> bool:
    """Return True if the table contains data and is not used for the layout of a page."""
    return any(len(row) > 1 for row in rows) and all(
        len(cell.content.text) <= _MAX_CELL_CHARS
        and not cell.content.headings
        and "\t" not in cell.content.text
        for row in rows
        for cell in row
    )


def _expand_spans(rows: Iterable[Sequence[_Cell]]) -> list[list[str]]:
    """Return the texts by row and column.

    The text of a cell that spans several rows or columns is in the first of them.
    """
    lines: list[list[str]] = []
    rows_left: dict[int, int] = {}  # by column: following rows that a cell above still spans
    for row in rows:
        line: list[str] = []
        new_spans: dict[int, int] = {}
        for cell in row:
            while rows_left.get(len(line)) and len(line) < _MAX_COLUMNS:
                line.append("")
            column_count = min(cell.columns, max(1, _MAX_COLUMNS - len(line)))
            columns = range(len(line), len(line) + column_count)
            new_spans.update(dict.fromkeys(columns, cell.rows - 1))
            line += [cell.content.text.strip(), *[""] * (column_count - 1)]
        rows_left = {column: left - 1 for column, left in rows_left.items() if left > 1} | {
            column: left for column, left in new_spans.items() if left
        }
        lines.append(line)
    return lines


def _parse_span(text: str | None) -> int:
    return min(int(text), _MAX_SPAN) if text and _SPAN.fullmatch(text) else 1
