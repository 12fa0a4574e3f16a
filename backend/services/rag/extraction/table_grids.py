"""Tables with ruling lines: their grid of cells, and the text of each row on one line."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

from backend.services.rag.extraction.text_fragments import (
    TextFragment,
    get_first_word_width,
    group_rows,
    has_words,
    join_fragments,
)

# Distances in points. Lines drawn by several strokes are slightly apart.
_TOLERANCE = 3.0
# More lines belong to a drawing rather than to a table. This bounds the work for one page.
MAX_LINES = 400


@dataclass(frozen=True, slots=True)
class RulingLine:
    """A horizontal or vertical line. It is at *position* and runs from *start* to *end*."""

    position: float
    start: float
    end: float

    def covers(self, point: float) -> bool:
        return self.start - _TOLERANCE <= point <= self.end + _TOLERANCE


@dataclass(frozen=True, slots=True)
class TableGrid:
    """A table with ruling lines. y grows downwards.

    Attributes:
        columns: x positions of the borders of the columns, from left to right.
        rows: y positions of the borders of the rows, from top to bottom.
    """

    columns: Sequence[float]
    rows: Sequence[float]
    horizontal: Sequence[RulingLine]
    vertical: Sequence[RulingLine]

    def find_cell(self, x: float, y: float) -> tuple[int, int] | None:
        """Return row and column of the cell at a point, of a merged cell the first ones."""
        row, column = bisect_right(self.rows, y) - 1, bisect_right(self.columns, x) - 1
        if not (0 <= row < len(self.rows) - 1 and 0 <= column < len(self.columns) - 1):
            return None
        while column > 0 and not self._is_divided(self.vertical, self.columns[column], y):
            column -= 1
        middle = (self.columns[column] + self.columns[column + 1]) / 2
        while row > 0 and not self._is_divided(self.horizontal, self.rows[row], middle):
            row -= 1
        return row, column

    def has_border_between(self, one: float, other: float) -> bool:
        """Return whether a column border, in any row, is between two x positions."""
        return bisect_right(self.columns, one) != bisect_right(self.columns, other)

    def _is_divided(self, lines: Sequence[RulingLine], position: float, point: float) -> bool:
        return any(
            abs(line.position - position) <= _TOLERANCE and line.covers(point) for line in lines
        )


def find_grids(horizontal: Iterable[RulingLine], vertical: Iterable[RulingLine]) -> list[TableGrid]:
    """Return the tables of a page with at least two rows and two columns."""
    horizontal, vertical = _join_lines(horizontal), _join_lines(vertical)
    if len(horizontal) + len(vertical) > MAX_LINES:
        return []
    grids = []
    for rows, columns in _group_touching(horizontal, vertical):
        xs = _distinct(
            [line.position for line in columns] + [end for line in rows for end in _ends(line)]
        )
        ys = _distinct(
            [line.position for line in rows] + [end for line in columns for end in _ends(line)]
        )
        if len(xs) > 2 and len(ys) > 2:
            grids.append(TableGrid(xs, ys, rows, columns))
    return grids


def merge_cells(
    fragments: Sequence[TextFragment], grids: Sequence[TableGrid]
) -> list[TextFragment]:
    """Return *fragments*, in which one fragment replaces all fragments of a table.

    It contains a line for each row of the table, with tabs between the cells.
    """
    merged = list(fragments)
    for grid in grids:
        merged = _merge_table(merged, grid)
    return merged


def _merge_table(fragments: list[TextFragment], grid: TableGrid) -> list[TextFragment]:
    cells: dict[tuple[int, int], list[TextFragment]] = {}
    others: list[TextFragment] = []
    position = None
    for fragment in fragments:
        cell = grid.find_cell((fragment.left + fragment.right) / 2, fragment.middle)
        if cell is None:
            others.append(fragment)
            continue
        position = len(others) if position is None else position
        cells.setdefault(cell, []).append(fragment)
    rows: dict[int, dict[int, list[TextFragment]]] = {}
    for (row, column), parts in cells.items():
        rows.setdefault(row, {})[column] = parts
    if position is None or sum(len(row) > 1 for row in rows.values()) < 2:
        return fragments  # a frame, or the axes of a chart
    lines = [line for _, row in sorted(rows.items()) for line in _format_band(row, grid)]
    table = TextFragment(
        grid.columns[0], grid.rows[0], grid.columns[-1], grid.rows[-1], "\n".join(lines)
    )
    return [*others[:position], table, *others[position:]]


def _format_band(cells: dict[int, list[TextFragment]], grid: TableGrid) -> Iterator[str]:
    """Yield the rows between two horizontal lines: several if no lines separate them."""
    texts: dict[int, list[TextFragment]] = {
        column: [_join_line(line) for line in group_rows(parts)]
        for column, parts in sorted(cells.items())
    }
    for row in _split_rows(texts, grid):
        yield "\t".join(reduce(join_fragments, row[column]).text for column in sorted(row))


def _split_rows(
    texts: dict[int, list[TextFragment]], grid: TableGrid
) -> Iterator[dict[int, list[TextFragment]]]:
    """Yield the rows of a band.

    A new row begins where at least two cells begin a new line, and in most of these cells the first
    word of the new line would have fitted into the previous line.
    """
    lines = [(line, column) for column, parts in texts.items() for line in parts]
    columns = {id(line): column for line, column in lines}
    row: dict[int, list[TextFragment]] = {}
    for level in group_rows([line for line, _ in lines]):
        continued = [line for line in level if columns[id(line)] in row]
        wrapped = [
            _is_wrapped(row[columns[id(line)]][-1], line, grid.columns[columns[id(line)] + 1])
            for line in continued
        ]
        if len(continued) > 1 and 2 * sum(wrapped) < len(continued):
            yield row
            row = {}
        for line in level:
            row.setdefault(columns[id(line)], []).append(line)
    if row:
        yield row


def _is_wrapped(before: TextFragment, line: TextFragment, border: float) -> bool:
    """Return whether the first word of *line* did not fit between *before* and *border*.

    Numbers are not wrapped: they fill narrow columns.
    """
    if not has_words(before.text):
        return False
    space = before.height / 4
    return before.right + space + get_first_word_width(line) > border - space


def _join_line(row: Sequence[TextFragment]) -> TextFragment:
    ordered = sorted(row, key=lambda fragment: fragment.left)
    return TextFragment(
        ordered[0].left,
        min(fragment.top for fragment in row),
        max(fragment.right for fragment in row),
        max(fragment.bottom for fragment in row),
        " ".join(fragment.text for fragment in ordered),
    )


def _join_lines(lines: Iterable[RulingLine]) -> list[RulingLine]:
    """Join consecutive segments of a line: many programs draw the border of each cell."""
    joined: list[RulingLine] = []
    position = None
    for line in sorted(lines, key=lambda line: (round(line.position), line.start, line.end)):
        last = joined[-1] if joined else None
        if (
            last is not None
            and position == round(line.position)
            and line.start <= last.end + _TOLERANCE
        ):
            joined[-1] = RulingLine(last.position, last.start, max(last.end, line.end))
        else:
            joined.append(line)
            position = round(line.position)
    return joined


def _group_touching(
    horizontal: list[RulingLine], vertical: list[RulingLine]
) -> list[tuple[list[RulingLine], list[RulingLine]]]:
    """Return the groups of lines that cross or touch each other."""
    groups: list[tuple[list[RulingLine], list[RulingLine]]]
    groups = [([line], []) for line in horizontal]
    for line in vertical:
        touching = [group for group in groups if any(_touches(row, line) for row in group[0])]
        rest = [group for group in groups if not any(group is other for other in touching)]
        rows = [row for group in touching for row in group[0]]
        columns = [column for group in touching for column in group[1]]
        groups = [*rest, (rows, [*columns, line])]
    return groups


def _touches(horizontal: RulingLine, vertical: RulingLine) -> bool:
    return horizontal.covers(vertical.position) and vertical.covers(horizontal.position)


def _ends(line: RulingLine) -> tuple[float, float]:
    return line.start, line.end


def _distinct(positions: Iterable[float]) -> list[float]:
    distinct: list[float] = []
    for position in sorted(positions):
        if not distinct or position - distinct[-1] > _TOLERANCE:
            distinct.append(position)
    return distinct
