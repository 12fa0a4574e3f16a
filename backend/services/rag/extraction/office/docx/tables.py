"""Rows and cells of the tables of a DOCX file (ECMA-376 Part 1, 17.4), and tracked deletions."""

from collections.abc import Callable, Iterator

from backend.services.rag.extraction.office.docx.inline import SKIPPED
from backend.services.rag.extraction.office.docx.styles import (
    W,
    find_descendant,
    get_value,
    parse_int,
)
from backend.services.rag.extraction.office.ooxml import Element

# Maximum number of columns in Word.
_MAX_SPAN = 63
# Empty columns for merged cells are added only up to this column, to bound the memory of a row.
_MAX_FILLED_COLUMNS = 500


def iterate_own(parent: Element, tag: str) -> Iterator[Element]:
    """Yield the rows of a table or cells of a row, without those of nested tables."""
    for child in parent:
        if child.tag == tag:
            yield child
        elif child.tag not in (f"{W}tbl", f"{W}tc", *SKIPPED):
            yield from iterate_own(child, tag)


def place_cells(row: Element, read_cell: Callable[[Element], str]) -> list[str]:
    """Return the texts of *row* by column. The text of a merged cell is in its first column."""
    texts = [""] * _count(find_descendant(row, f"{W}trPr", f"{W}gridBefore"), 0)
    for cell in iterate_own(row, f"{W}tc"):
        properties = cell.find(f"{W}tcPr")
        if properties is None:
            texts.append(read_cell(cell))
            continue
        if properties.find(f"{W}cellDel") is not None:
            continue
        texts.append("" if _continues_merged_cell(properties) else read_cell(cell))
        if len(texts) < _MAX_FILLED_COLUMNS:
            texts += [""] * (_count(properties.find(f"{W}gridSpan"), 1) - 1)
    return texts


def is_deleted_row(row: Element) -> bool:
    """Return True if a tracked change deleted *row*."""
    return find_descendant(row, f"{W}trPr", f"{W}del") is not None


def has_deleted_mark(paragraph: Element) -> bool:
    """Return True if a tracked change joined *paragraph* with the next one (17.13.5.15)."""
    properties = find_descendant(paragraph, f"{W}pPr", f"{W}rPr")
    return properties is not None and (
        properties.find(f"{W}del") is not None or properties.find(f"{W}moveFrom") is not None
    )


def _continues_merged_cell(properties: Element) -> bool:
    for direction in ("vMerge", "hMerge"):
        merge = properties.find(f"{W}{direction}")
        if merge is not None and get_value(merge) != "restart":
            return True
    return False


def _count(node: Element | None, default: int) -> int:
    return min(parse_int(get_value(node)), _MAX_SPAN) if node is not None else default
