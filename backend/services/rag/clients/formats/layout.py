"""Text in reading order from pieces of lines and where they stand on the page.

Two things are told apart that look alike, text in columns and tables. Columns are read one
after the other; of a table, what stands side by side stays on one line. Lines that fill their
column speak for columns, and so does a file that draws one side after the other.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

_RTL = (("\u0590", "\u08ff"), ("\ufb1d", "\ufdff"), ("\ufe70", "\ufefc"))
# All in heights of a line. Words further apart are cells of a table, or lines of two columns.
WORD_GAP = 0.75
_PARAGRAPH_GAP = 0.45
_LEAST_GUTTER = 0.6
# What of a column's width a line fills that was ended by the column, and how many do.
_FULL = 0.7
_MOSTLY = 0.5
_FILLED = 0.85
_LEAST_WORDS = 7
_LEAST_LINES = 3
_MOST_GUTTERS = 6
_MOST_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """Words of one line that stand together; y grows downwards, as on a screen."""

    left: float
    top: float
    right: float
    bottom: float
    text: str
    # The line that the file itself drew it in; pieces come in the order they were drawn.
    line: int = 0

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


_Row = list[Piece]
# What stands before an item of a list or a heading.
_MARK = re.compile(r"[^\w\s]|\(?\w{1,3}[.)]|(?:[A-Z]\.)?\d{1,2}(?:\.\d{1,2}){0,4}\.?")


def in_reading_order(pieces: Sequence[Piece]) -> str:
    """The text of a page: a line for each line, blank lines between paragraphs, tabs in tables."""
    order = {id(piece): place for place, piece in enumerate(pieces)}
    blocks = list(_blocks(list(pieces), order, 0))
    return "\n\n".join(text for block in blocks if (text := _written(block, order)))


def _blocks(pieces: list[Piece], order: dict[int, int], depth: int) -> Iterator[list[_Row]]:
    """Rows of what is read in one go, from top to bottom."""
    gutter = _gutter(pieces, order, depth)
    if gutter is None:
        yield _rows(pieces)
        return
    waiting: list[_Row] = []  # rows that go on across bands
    for band in _bands(pieces, gutter):
        left, right = _sides(band, gutter)
        if not _are_columns(left, right, order, depth):
            waiting += _rows(band)
            continue
        if waiting:
            yield waiting
            waiting = []
        yield from _blocks(left, order, depth + 1)
        yield from _blocks(right, order, depth + 1)
    if waiting:
        yield waiting


def _gutter(pieces: list[Piece], order: dict[int, int], depth: int) -> float | None:
    """Where a gap between columns runs down the page, if any does."""
    if len(pieces) < 2 * _LEAST_LINES or depth >= _MOST_DEPTH:
        return None

    def support(at: float) -> int:
        return sum(
            len(band)
            for band in _bands(pieces, at)
            if _are_columns(*_sides(band, at), order, depth)
        )

    # Of equals the widest wins.
    supports = [(support(at), place, at) for place, at in enumerate(_valleys(pieces)[::-1])]
    best = max(supports, default=(0, 0, None))
    return best[2] if best[0] else None


def _valleys(pieces: list[Piece]) -> list[float]:
    """The middles of the gaps that few pieces cross, the widest first."""
    start, end = min(each.left for each in pieces), max(each.right for each in pieces)
    height = median(each.height for each in pieces)
    step = max(height / 8, (end - start) / 4000, 1e-6)
    changes = [0] * (int((end - start) / step) + 3)
    for each in pieces:
        if each.right - each.left < 0.6 * (end - start):
            changes[int((each.left - start) / step)] += 1
            changes[int((each.right - start) / step) + 1] -= 1
    covers, cover = [], 0
    for change in changes:
        cover += change
        covers.append(cover)
    low = max(covers) * 0.15
    found, first = [], None
    for place, cover in enumerate(covers):
        if cover <= low:
            first = place if first is None else first
        elif first is not None:
            found.append((place - first, start + (first + place) / 2 * step))
            first = None
    wide = [gap for gap in found if gap[0] * step >= _LEAST_GUTTER * height and gap[1] > start]
    return [at for _, at in sorted(wide, reverse=True)[:_MOST_GUTTERS]]


def _bands(pieces: list[Piece], gutter: float) -> Iterator[list[Piece]]:
    """Runs of pieces from top to bottom: each crosses the gutter, or none does."""
    crossing = sorted(
        (each for each in pieces if each.left < gutter < each.right), key=lambda each: each.middle
    )
    others = sorted((each for each in pieces if not each.left < gutter < each.right),
                    key=lambda each: each.middle)  # fmt: skip
    at = 0
    for row in _rows(crossing):
        middle = row[0].middle
        band = []
        while at < len(others) and others[at].middle < middle - row[0].height / 2:
            band.append(others[at])
            at += 1
        if band:
            yield band
        beside = []
        while at < len(others) and others[at].middle < middle + row[0].height / 2:
            beside.append(others[at])
            at += 1
        yield row + beside
    if at < len(others):
        yield others[at:]


def _sides(band: list[Piece], gutter: float) -> tuple[list[Piece], list[Piece]]:
    if any(each.left < gutter < each.right for each in band):
        return [], []
    left = [each for each in band if each.right <= gutter]
    return left, [each for each in band if each.left >= gutter]


def _are_columns(left: list[Piece], right: list[Piece], order: dict[int, int], depth: int) -> bool:
    """Whether the two sides are read one after the other, and not line by line."""
    fewer = min(len(left), len(right))
    if fewer < _LEAST_LINES:
        return False
    prose = (_is_prose(left, order, depth), _is_prose(right, order, depth))
    if all(prose):
        return True
    aligned = _aligned(left, right)
    drawn = sorted(
        [(order[id(each)], 0) for each in left] + [(order[id(each)], 1) for each in right]
    )
    turns = sum(a[1] != b[1] for a, b in pairwise(drawn))
    if turns <= 1 + fewer // 10:
        return aligned < 0.8 or any(prose)
    return aligned < 0.5 and any(prose)


def _is_prose(side: list[Piece], order: dict[int, int], depth: int) -> bool:
    """Whether most lines are ended by the column, not by what they say."""
    width = max(each.right for each in side) - min(each.left for each in side)
    full = sum(each.right - each.left >= _FULL * width for each in side)
    words = median(len(each.text.split()) for each in side)
    unspaced = median(len(each.text) for each in side) > 15  # Chinese has no blanks
    if words < 3 and not unspaced:
        return False
    # A side may be columns in turn; how deep that is looked for bounds the work.
    return full >= _MOSTLY * len(side) or _gutter(side, order, depth + 3) is not None


def _aligned(left: list[Piece], right: list[Piece]) -> float:
    """How many of the shorter side's lines stand level with one of the other's."""
    fewer, more = sorted((left, right), key=len)
    middles = sorted(each.middle for each in more)
    level = 0
    for each in fewer:
        place = bisect_left(middles, each.middle)
        nearest = min(abs(at - each.middle) for at in middles[max(0, place - 1) : place + 1])
        level += nearest < 0.2 * each.height
    return level / len(fewer)


def _rows(pieces: Sequence[Piece]) -> list[_Row]:
    """What stands side by side, from top to bottom."""
    rows: list[tuple[Piece, _Row]] = []
    for piece in sorted(pieces, key=lambda each: each.middle):
        # A row is measured by its longest piece: initials and footnote marks are of other sizes.
        for place in range(len(rows) - 1, max(-1, len(rows) - 4), -1):
            longest, row = rows[place]
            overlap = min(piece.bottom, longest.bottom) - max(piece.top, longest.top)
            if overlap > 0.5 * min(piece.height, longest.height):
                row.append(piece)
                if len(piece.text) > len(longest.text):
                    rows[place] = (piece, row)
                break
        else:
            rows.append((piece, [piece]))
    return [row for _, row in rows]


def _written(rows: list[_Row], order: dict[int, int]) -> str:
    lines = [_line(row, order) for row in rows]
    if len(rows) < 2:
        return "".join(lines)
    gaps = [
        min(each.top for each in below) - max(each.bottom for each in above)
        for above, below in pairwise(rows)
    ]
    height = median(each.height for row in rows for each in row)
    usual = median(gaps)
    text = lines[0]
    for gap, line in zip(gaps, lines[1:], strict=True):
        text += ("\n\n" if gap > usual + _PARAGRAPH_GAP * height else "\n") + line
    return text


def _line(row: _Row, order: dict[int, int]) -> str:
    if len(row) == 1:
        return row[0].text
    from_right = sum(_from_right(each.text) for each in row) * 2 > len(row)
    if from_right and len({each.line for each in row}) == 1:
        # Numbers and names in Latin letters run the other way within such a line.
        placed = sorted(row, key=lambda each: order[id(each)])
    else:
        placed = sorted(row, key=lambda each: -each.right if from_right else each.left)
    line = placed[0].text
    if len(placed) == 2 and _MARK.fullmatch(line):
        return f"{line} {placed[1].text}"
    prose = _reads_on(placed)
    for before, after in pairwise(placed):
        gap = max(after.left - before.right, before.left - after.right)
        cell = gap > WORD_GAP * min(before.height, after.height) and not prose
        line += ("\t" if cell else " ") + after.text
    return line


def _reads_on(row: _Row) -> bool:
    """Whether the row is a line of words with wide blanks rather than one of a table."""
    width = max(each.right for each in row) - min(each.left for each in row)
    filled = sum(each.right - each.left for each in row)
    words = sum(len(each.text.split()) for each in row)
    return filled > _FILLED * width and words >= _LEAST_WORDS


def _from_right(text: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    return 2 * sum(any(a <= char <= b for a, b in _RTL) for char in letters) > len(letters)
