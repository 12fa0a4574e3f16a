"""Tables without ruling lines: join the lines of a cell whose text wraps.

A row of fragments continues the row above if each of its fragments is below a cell of that row, in
the same column, and either the lines are closer together than the rows of the table, or the first
word of each fragment did not fit into the line above.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

from backend.services.rag.extraction.text_fragments import (
    TextFragment,
    get_first_word_width,
    has_words,
    is_prose_row,
    join_fragments,
)

# Distances are in line heights.
_MAX_SHIFT = 0.5
_MIN_PADDING = 0.4
_MAX_LINE_GAP = 0.6
# The gap between lines of one cell is smaller than the gap between rows by at least this.
_MIN_GAP_DIFFERENCE = 0.25
_MIN_TABLE_ROWS = 3
# Marker of a list item or number of a heading.
MARKER = re.compile(r"[^\w\s]|\(?\w{1,3}[.)]|(?:[A-Z]\.)?\d{1,2}(?:\.\d{1,2}){0,4}\.?")

_Row = list[TextFragment]


def join_wrapped_cells(rows: Sequence[_Row]) -> list[_Row]:
    """Return *rows*, from top to bottom, with the continuations of each row joined to it."""
    ordered = [sorted(row, key=lambda fragment: fragment.left) for row in rows]
    columns = _Columns(ordered)
    if not columns.rows:
        return list(rows)
    gaps = [_get_gap(above, below) for above, below in pairwise(ordered)]
    row_gap = _get_row_gap(ordered, gaps)
    joined: list[_Row] = [ordered[0]]
    # The last line of each cell of the last row.
    last_lines = list(ordered[0])
    first = ordered[0][0]
    for row, gap in zip(ordered[1:], gaps, strict=True):
        cells = _find_cells(row, joined[-1], last_lines) if id(first) in columns.rows else []
        if cells and _is_continuation(row, cells, last_lines, columns, gap, row_gap):
            for fragment, cell in zip(row, cells, strict=True):
                merged = join_fragments(joined[-1][cell], fragment)
                joined[-1][cell] = replace(merged, is_cell=True)
                last_lines[cell] = fragment
        else:
            joined.append(list(row))
            last_lines, first = list(row), row[0]
    # Rows keep the order of their fragments unless a cell was joined.
    originals = {id(after[0]): before for before, after in zip(rows, ordered, strict=True)}
    return [row if any(cell.is_cell for cell in row) else originals[id(row[0])] for row in joined]


class _Columns:
    """Columns of a table: positions that several rows have in common."""

    def __init__(self, rows: list[_Row]) -> None:
        table_rows = [row for row in rows if len(row) > 1 and not is_prose_row(row)]
        heights = [fragment.height for row in table_rows for fragment in row]
        self._step = max(median(heights), 1e-6) if heights else 1.0
        counts = Counter(key for row in table_rows for key in self._list_keys(row))
        # Ids of the first fragments of the rows whose cells are all in columns.
        self.rows = {
            id(row[0]) for row in table_rows if all(self._is_column(cell, counts) for cell in row)
        }
        self.right = max(
            (row[-1].right for row in table_rows if id(row[0]) in self.rows), default=0
        )

    def _list_keys(self, row: _Row) -> set[tuple[str, int]]:
        return {key for fragment in row for key in self._get_keys(fragment)}

    def _get_keys(self, fragment: TextFragment) -> list[tuple[str, int]]:
        return [
            ("left", round(fragment.left / self._step)),
            ("right", round(fragment.right / self._step)),
            ("middle", round((fragment.left + fragment.right) / 2 / self._step)),
        ]

    def _is_column(self, cell: TextFragment, counts: Counter[tuple[str, int]]) -> bool:
        return any(
            max(
                counts[kind, key] + counts[kind, key - 1],
                counts[kind, key] + counts[kind, key + 1],
            )
            >= _MIN_TABLE_ROWS
            for kind, key in self._get_keys(cell)
        )


def _get_gap(above: _Row, below: _Row) -> float:
    height = min(fragment.height for fragment in below)
    gap = min(fragment.top for fragment in below) - max(fragment.bottom for fragment in above)
    return gap / height


def _get_row_gap(rows: list[_Row], gaps: list[float]) -> float:
    """Return the upper quartile of the gaps above the rows with the largest number of cells."""
    columns = max(len(row) for row in rows)
    full = sorted(gap for row, gap in zip(rows[1:], gaps, strict=True) if len(row) == columns)
    return full[len(full) * 3 // 4] if full else 0.0


def _find_cells(row: _Row, above: _Row, last_lines: list[TextFragment]) -> list[int]:
    """Return the index of the cell above each fragment, or an empty list if one has none."""
    is_list_item = len(above) == 2 and MARKER.fullmatch(above[0].text)
    if len(above) < 2 or is_list_item:
        return []
    found: list[int] = []
    for fragment in row:
        cells = [
            index
            for index, line in enumerate(last_lines)
            if _is_same_column(fragment, line)
            and fragment.right <= _get_border(above, index, fragment.right)
            and (index == 0 or fragment.left >= above[index - 1].right)
        ]
        if len(cells) != 1 or cells[0] in found:
            return []
        found.append(cells[0])
    return found


def _is_same_column(fragment: TextFragment, above: TextFragment) -> bool:
    shift = min(
        abs(fragment.left - above.left),
        abs(fragment.right - above.right),
        abs(fragment.left + fragment.right - above.left - above.right) / 2,
    )
    return shift <= _MAX_SHIFT * fragment.height


def _get_border(cells: _Row, index: int, default: float) -> float:
    """Return the x position where the next column begins."""
    return cells[index + 1].left if index + 1 < len(cells) else default


def _is_continuation(
    row: _Row,
    cells: list[int],
    last_lines: list[TextFragment],
    columns: _Columns,
    gap: float,
    row_gap: float,
) -> bool:
    if gap > _MAX_LINE_GAP or not all(has_words(fragment.text) for fragment in row):
        return False
    wrapped = [
        _is_wrapped(last_lines[cell], fragment, _get_border(last_lines, cell, columns.right))
        for fragment, cell in zip(row, cells, strict=True)
    ]
    is_close = gap <= row_gap - _MIN_GAP_DIFFERENCE
    if len(row) == len(last_lines):
        # A row below cells with a single word each is a row of its own.
        return is_close and all(wrapped) and any(" " in line.text for line in last_lines)
    # Text that wraps at the right edge of the table and continues at its left edge is prose.
    is_line = cells == [0] and _is_wrapped(last_lines[-1], row[0], columns.right)
    return is_close or (all(wrapped) and not is_line)


def _is_wrapped(before: TextFragment, line: TextFragment, border: float) -> bool:
    """Return whether the first word of *line* did not fit between *before* and *border*."""
    if not has_words(before.text):
        return False
    space = before.height / 4
    width = get_first_word_width(line)
    return before.right + space + width > border - _MIN_PADDING * before.height
