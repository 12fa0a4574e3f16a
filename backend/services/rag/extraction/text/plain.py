"""Parsers of plain text, Markdown and CSV."""

import csv
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import islice
from pathlib import Path

from backend.ai.text.encodings import decode_text
from backend.services.rag.extraction.content import Content, Page, TextBuilder

_HEADING = re.compile(r"^(#{1,6})[ \t]++(.++)$", re.M)
_CODE_FENCE = re.compile(r"^(```|~~~).*?(?:^\1|\Z)", re.M | re.S)
_SEPARATOR_LINE = re.compile(r"\s*sep=([^\r\n])[ \t]*(?:\r\n?|\n|\Z)", re.I)
_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 50
# Control sequences of terminals (ECMA-48, 5.3 to 5.6): colours and cursor movements, strings such
# as window titles and the targets of links, and other escape sequences.
_TERMINAL_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|(?:\x1b[\]P^_X]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*+(?:\x07|\x9c|\x1b\\)"
    r"|\x1b[ -/]*+[0-~]"
)
# Bold and underlined letters in output for printers and in manual pages: two characters are printed
# over each other.
_OVERSTRIKE = re.compile(r"[^\n\x08]\x08(?=[^\n\x08])")


def parse_text(file: Path) -> Content:
    return Content([Page(_read_text(file))])


def parse_markdown(file: Path) -> Content:
    """Return the text with its headings. The title is the first heading of level 1."""
    text = _read_text(file)
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
    page.add_table(parse_csv_rows(_read_text(file)))
    return Content([page.to_page()])


def parse_csv_rows(text: str) -> Iterator[list[str]]:
    """Yield the rows of *text*. The delimiter is detected, or given in a first line `sep=;`.

    Rows end at CR, LF or both (RFC 4180), but not at the line separators of Unicode.
    """
    # Excel writes and reads this line.
    if separator := _SEPARATOR_LINE.match(text):
        return _read_rows(StringIO(text[separator.end() :], newline=""), separator[1])
    delimiter = _detect_delimiter(list(islice(StringIO(text, newline=""), _SAMPLE_LINES)))
    return _read_rows(StringIO(text, newline=""), delimiter)


def _read_rows(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)  # the size of the file is bounded already
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def remove_terminal_sequences(text: str) -> str:
    """Return *text* without the colour codes and other control sequences of a terminal."""
    if "\x1b" in text or "\x9b" in text:
        text = _TERMINAL_SEQUENCE.sub("", text)
    return _OVERSTRIKE.sub("", text) if "\x08" in text else text


def _detect_delimiter(lines: list[str]) -> str:
    """Return the delimiter that splits most lines into the same number of cells, at least two."""

    def agreement(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in _read_rows(lines, delimiter) if row]
        most_frequent = max(set(widths), key=lambda width: (widths.count(width), width), default=1)
        return (widths.count(most_frequent), most_frequent) if most_frequent > 1 else (0, 0)

    return max(_DELIMITERS, key=agreement)


def _read_text(file: Path) -> str:
    """Return the text of *file* with \\n as line ends and without control sequences."""
    text = decode_text(file.read_bytes())
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return remove_terminal_sequences(text)
