"""Format parts of documents as running text for an answer."""

import re
from typing import Final

from backend.ai.text.emphasis import balance_marks
from backend.ai.text.headings import strip_heading_marks
from backend.ai.text.statements import Statement

# A word hyphenated at the end of a line.
_HYPHENATED_LINE_BREAK = re.compile(r"(?<=[^\W\d_])[-\u00ad][ \t]*\n[ \t]*(?=[a-z])")
_BULLET = re.compile(r"^(?:[-*+•▪‣◦\u2013>]\s+|[•▪‣◦]\s*)+")
# A number in brackets, which looks like a citation marker. It may belong to a link or a footnote.
_BRACKETED_NUMBER = re.compile(r"(?<!\\)\[(\s?\d{1,4}(?:\s?[,;\u2013-]\s?\d{1,4})*\s?)\]")
_ESCAPED_BRACKETS: Final = r"\\[\1\\]"


def format_statement(text: str, statement: Statement) -> str:
    """Return *statement* of *text* on one line, without bullets and unpaired Markdown marks.

    A table row contains the names of its columns. Numbers in brackets are escaped, because
    a plain `[1]` is a citation marker.
    """
    if statement.cells:
        return escape_brackets(statement.description)
    return format_passage(balance_marks(text, statement.start, statement.end))


def format_passage(text: str) -> str:
    """Return *text* on one line, without line breaks, bullets and marks of headings."""
    line = " ".join(strip_heading_marks(join_hyphenated_words(text)).split())
    return escape_brackets(_BULLET.sub("", line))


def join_hyphenated_words(text: str) -> str:
    """Join words of *text* that are hyphenated at a line break."""
    return _HYPHENATED_LINE_BREAK.sub("", text)


def escape_brackets(text: str) -> str:
    r"""Return *text* with `\[4\]` for `[4]`, which would look like a citation marker."""
    return _BRACKETED_NUMBER.sub(_ESCAPED_BRACKETS, text)
