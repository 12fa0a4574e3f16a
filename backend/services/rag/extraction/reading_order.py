"""Order fragments of lines by their positions on the page, and join them to text.

Columns of text and tables look alike and must be distinguished: columns are read one after the
other, the cells of a table row stay on one line. Lines that fill the width of their column
indicate columns of text, and so does a file that draws one side completely before the other.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from statistics import median

from backend.services.rag.extraction.table_grids import TableGrid, merge_cells
from backend.services.rag.extraction.text_fragments import TextFragment, group_rows, is_prose_row
from backend.services.rag.extraction.wrapped_cells import MARKER, join_wrapped_cells

_RTL_RANGES = (("\u0590", "\u08ff"), ("\ufb1d", "\ufdff"), ("\ufe70", "\ufefc"))

# Distances are in line heights.
# Words with a wider gap are table cells, or belong to lines of different columns.
MAX_WORD_GAP = 0.75
_MIN_PARAGRAPH_GAP = 0.45
_MIN_GUTTER_WIDTH = 0.6
# A full line fills at least this fraction of the column width: the column ends it, not its
# paragraph. Prose has at least this fraction of full lines.
_FULL_LINE_RATIO = 0.7
_MIN_FULL_LINES = 0.5
_MIN_COLUMN_LINES = 3
# Bounds on the search for gutters, the gaps between columns.
_MAX_GUTTERS = 6
_MAX_DEPTH = 6


_Row = list[TextFragment]
# Drawing position by `id()` of the fragment.
_DrawingOrder = dict[int, int]


def join_in_reading_order(
    fragments: Sequence[TextFragment], grids: Sequence[TableGrid] = ()
) -> str:
    """Return the text of a page.

    One line per row of fragments, blank lines between paragraphs, tabs between table cells.

    Args:
        grids: tables with ruling lines.
    """
    fragments = merge_cells(fragments, grids)
    order = {id(fragment): index for index, fragment in enumerate(fragments)}
    blocks = list(_iterate_blocks(list(fragments), order, 0))
    return "\n\n".join(text for block in blocks if (text := _format_block(block, order)))


def _iterate_blocks(
    fragments: list[TextFragment], order: _DrawingOrder, depth: int
) -> Iterator[list[_Row]]:
    """Yield blocks in reading order, each as its rows from top to bottom."""
    gutter = _find_gutter(fragments, order, depth)
    if gutter is None:
        yield group_rows(fragments)
        return
    pending: list[_Row] = []  # rows of a block that spans several bands
    for band in _split_bands(fragments, gutter):
        left, right = _split_sides(band, gutter)
        if not _are_columns(left, right, order, depth):
            pending += group_rows(band)
            continue
        if pending:
            yield pending
            pending = []
        yield from _iterate_blocks(left, order, depth + 1)
        yield from _iterate_blocks(right, order, depth + 1)
    if pending:
        yield pending


def _find_gutter(fragments: list[TextFragment], order: _DrawingOrder, depth: int) -> float | None:
    """Return the x position of the gap between two columns, or None if there are no columns."""
    if len(fragments) < 2 * _MIN_COLUMN_LINES or depth >= _MAX_DEPTH:
        return None

    def count_column_fragments(x: float) -> int:
        return sum(
            len(band)
            for band in _split_bands(fragments, x)
            if _are_columns(*_split_sides(band, x), order, depth)
        )

    # Among gaps with equal counts, choose the widest.
    candidates = [
        (count_column_fragments(x), rank, x) for rank, x in enumerate(_find_gaps(fragments)[::-1])
    ]
    best = max(candidates, default=(0, 0, None))
    return best[2] if best[0] else None


def _find_gaps(fragments: list[TextFragment]) -> list[float]:
    """Return the middles of the vertical gaps that few fragments cross, the widest first."""
    start = min(fragment.left for fragment in fragments)
    end = max(fragment.right for fragment in fragments)
    height = median(fragment.height for fragment in fragments)
    step = max(height / 8, (end - start) / 4000, 1e-6)
    changes = [0] * (int((end - start) / step) + 3)
    for fragment in fragments:
        if fragment.right - fragment.left < 0.6 * (end - start):
            changes[int((fragment.left - start) / step)] += 1
            changes[int((fragment.right - start) / step) + 1] -= 1
    coverage, covering = [], 0
    for change in changes:
        covering += change
        coverage.append(covering)
    max_gap_coverage = max(coverage) * 0.15
    gaps, first = [], None
    for index, covering in enumerate(coverage):
        if covering <= max_gap_coverage:
            first = index if first is None else first
        elif first is not None:
            gaps.append((index - first, start + (first + index) / 2 * step))
            first = None
    wide = [gap for gap in gaps if gap[0] * step >= _MIN_GUTTER_WIDTH * height and gap[1] > start]
    return [x for _, x in sorted(wide, reverse=True)[:_MAX_GUTTERS]]


def _split_bands(fragments: list[TextFragment], gutter: float) -> Iterator[list[TextFragment]]:
    """Yield runs of fragments from top to bottom.

    Each run either has no fragment that crosses the gutter, or is a row with such a fragment.
    """
    crossing: list[TextFragment] = []
    others: list[TextFragment] = []
    for fragment in sorted(fragments, key=lambda fragment: fragment.middle):
        (crossing if _crosses(fragment, gutter) else others).append(fragment)
    index = 0
    for row in group_rows(crossing):
        middle, half_height = row[0].middle, row[0].height / 2
        above = []
        while index < len(others) and others[index].middle < middle - half_height:
            above.append(others[index])
            index += 1
        if above:
            yield above
        same_row = []
        while index < len(others) and others[index].middle < middle + half_height:
            same_row.append(others[index])
            index += 1
        yield row + same_row
    if index < len(others):
        yield others[index:]


def _crosses(fragment: TextFragment, gutter: float) -> bool:
    return fragment.left < gutter < fragment.right


def _split_sides(
    band: list[TextFragment], gutter: float
) -> tuple[list[TextFragment], list[TextFragment]]:
    """Return the fragments left and right of the gutter; none if a fragment crosses it."""
    if any(_crosses(fragment, gutter) for fragment in band):
        return [], []
    left = [fragment for fragment in band if fragment.right <= gutter]
    return left, [fragment for fragment in band if fragment.left >= gutter]


def _are_columns(
    left: list[TextFragment], right: list[TextFragment], order: _DrawingOrder, depth: int
) -> bool:
    """Check that the two sides are columns of text rather than columns of a table."""
    shorter = min(len(left), len(right))
    if shorter < _MIN_COLUMN_LINES or _is_drawn_by_cells(left, right, order):
        return False
    prose = (_is_prose(left, order, depth), _is_prose(right, order, depth))
    if all(prose):
        return True
    aligned = _aligned_ratio(left, right)
    drawn = sorted(
        [(order[id(fragment)], 0) for fragment in left]
        + [(order[id(fragment)], 1) for fragment in right]
    )
    side_changes = sum(a[1] != b[1] for a, b in pairwise(drawn))
    if side_changes <= 1 + shorter // 10:
        return aligned < 0.8 or any(prose)
    return aligned < 0.5 and any(prose)


def _is_drawn_by_cells(
    left: list[TextFragment], right: list[TextFragment], order: _DrawingOrder
) -> bool:
    """Check that the file draws table rows in turn: the lines of the left cell, then the right.

    Each row begins on both sides at the same height, below all lines of the row before.
    """
    sides = {id(fragment): 0 for fragment in left} | {id(fragment): 1 for fragment in right}
    drawn = sorted([*left, *right], key=lambda fragment: order[id(fragment)])
    runs = [list(run) for _, run in groupby(drawn, key=lambda fragment: sides[id(fragment)])]
    has_cells = len(runs) >= 4 and sides[id(drawn[0])] == 0
    if not has_cells or all(len(group_rows(run)) == 1 for run in runs):
        return False
    bottom = float("-inf")
    for left_run, right_run in zip(runs[::2], runs[1::2], strict=False):
        first, second = left_run[0], right_run[0]
        if abs(first.middle - second.middle) > 0.5 * first.height or first.middle < bottom:
            return False
        bottom = max(fragment.bottom for fragment in left_run + right_run)
    return True


def _is_prose(side: list[TextFragment], order: _DrawingOrder, depth: int) -> bool:
    """Check that most lines are full: they end with the column, not with their content."""
    width = max(fragment.right for fragment in side) - min(fragment.left for fragment in side)
    full = sum(fragment.right - fragment.left >= _FULL_LINE_RATIO * width for fragment in side)
    words = median(len(fragment.text.split()) for fragment in side)
    # Chinese has no spaces between words.
    is_unspaced = median(len(fragment.text) for fragment in side) > 15
    if words < 3 and not is_unspaced:
        return False
    # A side may itself consist of columns. The increased depth bounds the work of this search.
    return full >= _MIN_FULL_LINES * len(side) or _find_gutter(side, order, depth + 3) is not None


def _aligned_ratio(left: list[TextFragment], right: list[TextFragment]) -> float:
    """Return the fraction of lines on the shorter side that are level with one on the other."""
    shorter, longer = sorted((left, right), key=len)
    middles = sorted(fragment.middle for fragment in longer)
    aligned = 0
    for fragment in shorter:
        index = bisect_left(middles, fragment.middle)
        neighbours = middles[max(0, index - 1) : index + 1]
        distance = min(abs(middle - fragment.middle) for middle in neighbours)
        aligned += distance < 0.2 * fragment.height
    return aligned / len(shorter)


def _format_block(rows: list[_Row], order: _DrawingOrder) -> str:
    rows = join_wrapped_cells(rows)
    lines = [_format_row(row, order) for row in rows]
    if len(rows) < 2:
        return "".join(lines)
    gaps = [
        min(fragment.top for fragment in below) - max(fragment.bottom for fragment in above)
        for above, below in pairwise(rows)
    ]
    height = median(fragment.height for row in rows for fragment in row)
    line_gap = median(gaps)
    text = lines[0]
    for gap, line in zip(gaps, lines[1:], strict=True):
        is_paragraph_end = gap > line_gap + _MIN_PARAGRAPH_GAP * height
        text += ("\n\n" if is_paragraph_end else "\n") + line
    return text


def _format_row(row: _Row, order: _DrawingOrder) -> str:
    if len(row) == 1:
        return row[0].text
    is_rtl = sum(_is_rtl(fragment.text) for fragment in row) * 2 > len(row)
    if is_rtl and len({fragment.line for fragment in row}) == 1:
        # Keep the drawing order: numbers and Latin words run left to right within such a line.
        ordered = sorted(row, key=lambda fragment: order[id(fragment)])
    else:
        ordered = sorted(row, key=lambda fragment: -fragment.right if is_rtl else fragment.left)
    line = ordered[0].text
    if len(ordered) == 2 and MARKER.fullmatch(line):
        return f"{line} {ordered[1].text}"
    is_prose = is_prose_row(ordered)
    for before, after in pairwise(ordered):
        gap = max(after.left - before.right, before.left - after.right)
        is_wide = gap > MAX_WORD_GAP * min(before.height, after.height) and not is_prose
        is_cell = before.is_cell or after.is_cell
        line += ("\t" if is_wide or is_cell else " ") + after.text
    return line


def _is_rtl(text: str) -> bool:
    """Check that most letters of *text* are written from right to left."""
    letters = [char for char in text if char.isalpha()]
    rtl = sum(any(first <= char <= last for first, last in _RTL_RANGES) for char in letters)
    return 2 * rtl > len(letters)
