"""Recognize table rows in extracted text, and describe them with the names of their columns.

Rows are lines with tabs between the cells, as the parsers of this project write them, or lines of
a Markdown table with `|` between the cells (GitHub Flavored Markdown, section 4.10).
"""

import re
from collections.abc import Sequence
from itertools import zip_longest

_NUMBERED_PARAGRAPH = re.compile(r"[ \t]*(?:[-*•▪‣◦\u2013]|\(?\d{1,3}[.)]|\(?[a-z][.)])\t[^\t]*$")
_INNER_PIPE = re.compile(r"\S[ \t]\|[ \t]\S")
_PIPE_DELIMITER_ROW = re.compile(r"\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t]*+:?-++:?[ \t]*+)*+\|?$")
_UNESCAPED_PIPE = re.compile(r"(?<!\\)\|")
_HAS_DIGIT = re.compile(r"\d")
# A number that is not a year: years can be names of columns.
_NUMBER_CELL = re.compile(r"(?!(?:19|20)\d\d$)[^\w]*+\d[\d.,'\s]*+[^\w]*+$")


def is_table_row(line: str) -> bool:
    """Return True if *line* has several cells. A numbered paragraph with a tab is not a row."""
    line = line.rstrip()
    if "\t" in line.strip():
        return not _NUMBERED_PARAGRAPH.match(line)
    if "|" not in line:
        return False
    has_outer_pipes = line.lstrip().startswith("|") and line.count("|") > 1
    return has_outer_pipes or bool(_INNER_PIPE.search(line)) or is_delimiter_row(line)


def is_delimiter_row(line: str) -> bool:
    """Return True if *line* separates the header of a Markdown table from its rows."""
    return "|" in line and bool(_PIPE_DELIMITER_ROW.match(line.strip()))


def split_cells(line: str) -> list[str]:
    """Return the cells of a table row, without outer white space."""
    if "\t" in line:
        return [cell.strip() for cell in line.rstrip("\n").split("\t")]
    cells = _UNESCAPED_PIPE.split(line.strip().removeprefix("|").removesuffix("|"))
    return [cell.strip().replace("\\|", "|") for cell in cells]


def are_adjacent(text: str, row_end: int, next_row_start: int) -> bool:
    """Return True if no line is between two rows of *text*, so that they form one table."""
    return text.count("\n", row_end, next_row_start) <= 1


def is_header_row(line: str, next_line: str) -> bool:
    """Return True if *line*, the first row of a table, contains the names of its columns.

    *next_line* is the row after it. Each cell of a header is a different text without a number.
    In a table of two columns the row after it must contain a number: tables of labels and values
    have no header.
    """
    if is_delimiter_row(next_line):
        return True
    cells = [cell for cell in split_cells(line) if cell]
    if len(cells) < 2 or len(set(cells)) < len(cells):
        return False
    if any(_NUMBER_CELL.match(cell) for cell in cells):
        return False
    return len(cells) > 2 or bool(_HAS_DIGIT.search(next_line))


def describe_row(cells: Sequence[str], columns: Sequence[str]) -> str:
    """Return the cells that are not empty with the names of their columns.

    For example "Part: Nut; Price: 0.75".
    """
    named = zip_longest(cells, columns[: len(cells)], fillvalue="")
    return "; ".join(f"{column}: {cell}" if column else cell for cell, column in named if cell)
