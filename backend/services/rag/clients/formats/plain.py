"""Text, Markdown and CSV."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from backend.services.rag.clients.formats.encodings import decoded
from backend.services.rag.clients.formats.page import Content, Page, TextBuilder

_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t#]*$", re.M)
_FENCE = re.compile(r"^(```|~~~).*?(?:^\1|\Z)", re.M | re.S)
_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50


def read_text(file: Path) -> Content:
    return Content([Page(decoded(file.read_bytes()))])


def read_markdown(file: Path) -> Content:
    """The first top heading as title, and the text with its headings."""
    text = decoded(file.read_bytes())
    code = [match.span() for match in _FENCE.finditer(text)]
    found = [
        match
        for match in _HEADING.finditer(text)
        if not any(start <= match.start() < end for start, end in code)
    ]
    title = next((match[2] for match in found if len(match[1]) == 1), "")
    return Content([Page(text, [(match.start(), match[2]) for match in found])], title)


def read_csv(file: Path) -> Content:
    """A line for each row with tabs between the cells, whatever stood between them."""
    page = TextBuilder()
    page.table(rows(decoded(file.read_bytes())))
    return Content([page.page()])


def rows(text: str) -> Iterator[list[str]]:
    lines = text.splitlines(keepends=True)
    if lines and (told := re.fullmatch(r"sep=(.)", lines[0].strip(), re.I)):
        # Excel's own first line.
        return _parsed(lines[1:], told[1])
    return _parsed(lines, _delimiter(lines[:_SAMPLE_LINES]))


def _parsed(lines: list[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)  # the text as a whole is bounded already
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def _delimiter(lines: list[str]) -> str:
    """What cuts most of the lines into equally many cells, more than one."""

    def agreement(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in _parsed(lines, delimiter) if row]
        usual = max(set(widths), key=lambda width: (widths.count(width), width), default=1)
        return (widths.count(usual), usual) if usual > 1 else (0, 0)

    return max(_DELIMITERS, key=agreement)
