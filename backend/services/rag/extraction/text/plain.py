"""Parsers of plain text, Markdown and CSV."""

import csv
import re
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from backend.ai.text.encodings import decode_text
from backend.services.rag.extraction.content import Content, Page, TextBuilder

_HEADING = re.compile(r"^(#{1,6})[ \t]++(.++)$", re.M)
_CODE_FENCE = re.compile(r"^(```|~~~).*?(?:^\1|\Z)", re.M | re.S)
_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50


def parse_text(file: Path) -> Content:
    return Content([Page(decode_text(file.read_bytes()))])


def parse_markdown(file: Path) -> Content:
    """Return the text with its headings. The title is the first heading of level 1."""
    text = decode_text(file.read_bytes())
    code_spans = [match.span() for match in _CODE_FENCE.finditer(text)]
    code_starts = [start for start, _ in code_spans]
    headings: list[tuple[int, str]] = []
    title = ""
    for match in _HEADING.finditer(text):
        preceding_code = bisect_right(code_starts, match.start()) - 1
        if preceding_code >= 0 and match.start() < code_spans[preceding_code][1]:
            continue
        heading = match[2].rstrip(" \t#") or match[2][0]
        headings.append((match.start(), heading))
        if len(match[1]) == 1:
            title = title or heading
    return Content([Page(text, headings)], title)


def parse_csv(file: Path) -> Content:
    """Return one line per row with tabs between the cells, whatever the delimiter is."""
    page = TextBuilder()
    page.add_table(parse_csv_rows(decode_text(file.read_bytes())))
    return Content([page.to_page()])


def parse_csv_rows(text: str) -> Iterator[list[str]]:
    """Yield the rows of *text*. The delimiter is detected, or given in a first line `sep=;`."""
    lines = text.splitlines(keepends=True)
    # Excel writes and reads this line.
    if lines and (separator := re.fullmatch(r"sep=(.)", lines[0].strip(), re.I)):
        return _read_rows(lines[1:], separator[1])
    return _read_rows(lines, _detect_delimiter(lines[:_SAMPLE_LINES]))


def _read_rows(lines: list[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)  # the size of the file is bounded already
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def _detect_delimiter(lines: list[str]) -> str:
    """Return the delimiter that splits most lines into the same number of cells, at least two."""

    def agreement(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in _read_rows(lines, delimiter) if row]
        most_frequent = max(set(widths), key=lambda width: (widths.count(width), width), default=1)
        return (widths.count(most_frequent), most_frequent) if most_frequent > 1 else (0, 0)

    return max(_DELIMITERS, key=agreement)
