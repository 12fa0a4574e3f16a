"""Group the lines of extracted text into blocks: paragraphs, list items, headings, table rows."""

import re
from collections.abc import Iterator
from io import StringIO
from itertools import chain, pairwise
from typing import Final, NamedTuple

from backend.ai.text.headings import is_setext_heading, is_title_case, starts_markdown_heading
from backend.ai.text.sentence_ends import (
    CLAUSE_SCRIPTS,
    SENTENCE_ENDS,
    ends_without_mark,
    is_finished,
)
from backend.ai.text.tables import is_table_row

_LIST_ITEM = re.compile(r"[ \t]*(?:[-*•▪‣◦\u2013]|\(?\d{1,3}[.)]|\(?[a-z][.)])[ \t]")
# A line such as "Phone: 0221 4455", "**Phone:** 0221 4455" or "Téléphone : 02 21 44". French has
# a space before the colon, which may be a no-break space.
_LABELLED_LINE = re.compile(
    r"[ \t]*[*_]{0,2}[^\W\d_][^\s:\uff1a]*(?:[ \u00a0\u202f][^\s:\uff1a]+){0,3}"
    r"(?:[ \u00a0\u202f]?:[*_]{0,2}[ \t\u00a0\u202f]+|[ \u00a0]?\uff1a[*_]{0,2}[ \t]*)\S"
)
# A line shorter than this share of the usual line length ends a block: it is a heading or a table
# row, not a line that was wrapped.
_SHORT_LINE_RATIO: Final = 0.7
# Minimum width, in characters, at which prose is wrapped. If the usual line is shorter, lines
# without end marks are list items. Ideographs and kana are twice as wide as letters. Thai, Lao and
# Khmer are written without end marks, and their vowel and tone signs take no width.
_MIN_WRAP_CHARS: Final = 30
_MIN_UNSPACED_WRAP_CHARS: Final = 15
_MIN_CLAUSE_SCRIPT_WRAP_CHARS: Final = 60
_ENDS_IN_CLAUSE_SCRIPT: Final = re.compile(rf"[{CLAUSE_SCRIPTS}]$")


class Span(NamedTuple):
    """The characters `text[start:end]`."""

    start: int
    end: int


class TextBlock(NamedTuple):
    """Lines that belong together. *is_row* marks a table row, whose cells are not sentences."""

    start: int
    end: int
    is_row: bool


def find_blocks(text: str) -> Iterator[TextBlock]:
    """Yield the blocks of *text* in order. They cover every line that is not blank."""
    usual_length = _usual_line_length(text)
    start = end = 0
    was_heading = was_row = False
    for line, next_line in pairwise(chain(_iterate_lines(text), [""])):
        is_first = start == end
        end += len(line)
        content = line.rstrip()
        is_heading = is_setext_heading(content, next_line)
        # A row with text in only one cell is recognised if it is between two other rows.
        is_row = is_table_row(content) or (was_row and bool(content) and is_table_row(next_line))
        if was_heading or _ends_block(content, next_line, usual_length, is_heading=is_heading):
            if content or not is_first:
                yield TextBlock(start, end, is_first and is_row)
            start = end
        was_heading, was_row = is_heading, is_row


def _iterate_lines(text: str) -> Iterator[str]:
    """Return the lines of *text*, each with its line break."""
    return StringIO(text, newline="\n")


def _ends_block(line: str, next_line: str, usual_length: float, *, is_heading: bool) -> bool:
    if is_heading:
        return False  # The block continues with the underline.
    if not line or not next_line.strip() or starts_markdown_heading(line):
        return True
    if _LIST_ITEM.match(next_line) or starts_markdown_heading(next_line):
        return True
    if is_table_row(line) or is_table_row(next_line):
        return True
    if _LABELLED_LINE.match(line) and _LABELLED_LINE.match(next_line):
        return True
    next_text = next_line.lstrip()
    if is_title_case(line) and next_text.lstrip('"\u201c')[:1].isupper():
        return True
    if line[-1] in ",;-" or next_text[0].islower():
        return False
    if len(line) < usual_length * _SHORT_LINE_RATIO:
        return True
    is_wrapped = usual_length >= _get_min_wrap_chars(line)
    return not (is_wrapped or _has_end_mark(line) or _has_end_mark(next_line.rstrip()))


def _get_min_wrap_chars(line: str) -> int:
    """Return the minimum width, in characters, at which text in the script of *line* is wrapped."""
    if _ENDS_IN_CLAUSE_SCRIPT.search(line):
        return _MIN_CLAUSE_SCRIPT_WRAP_CHARS
    return _MIN_UNSPACED_WRAP_CHARS if ends_without_mark(line) else _MIN_WRAP_CHARS


def _has_end_mark(line: str) -> bool:
    return is_finished(line) or bool(SENTENCE_ENDS.search(line))


def _usual_line_length(text: str) -> float:
    """Return the upper quartile of the lengths of non-blank lines."""
    lengths = sorted(length for line in _iterate_lines(text) if (length := len(line.strip())))
    return lengths[len(lengths) * 3 // 4] if lengths else 0
