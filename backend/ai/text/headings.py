"""Recognize headings in extracted text.

A heading contains the words of many questions about its section but does not answer them.
"""

import re
from enum import Enum
from typing import Final

from backend.ai.text.sentence_ends import UNSPACED_SCRIPTS, has_final_punctuation, is_finished

_MAX_TITLE_CHARS: Final = 80
_MAX_HEADING_WORDS: Final = 8
# In scripts without spaces a character counts as half a word.
_UNSPACED_CHAR = re.compile(rf"[{UNSPACED_SCRIPTS}]")
# Headings as in CommonMark, sections 4.2 and 4.3.
_ATX_HEADING = re.compile(r"#{1,6}[ \t]+\S")
_ATX_MARKS = re.compile(r"^#{1,6}[ \t]+|(?<=\S)[ \t]+#+$")
_SETEXT_UNDERLINE = re.compile(r" {0,3}(?:={2,}|-{2,})[ \t]*$")
_SETEXT_HEADING = re.compile(r"[^\n]+\n {0,3}(?:={2,}|-{2,})[ \t]*$")
_TITLE_MARK = re.compile(r": |\t")
_FACT_MARK = re.compile(r"[:\uff1a\t]")
_LIST_ITEM = re.compile(r"[-*•▪‣◦\u2013][ \t]+\S+[ \t]+\S+[ \t]+\S")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
# The number of a section, article or chapter before its title, as in "§ 4 Deposit". The title has
# no digits.
_NUMBERED_HEADING = re.compile(
    r"(?:§§?|Art\.|(?:Article|Section|Chapter|Clause|Artikel|Abschnitt|Kapitel|Artículo|Capítulo"
    r"|Sección|Chapitre|Articolo|Capitolo|Articolul|Capitolul|Статья|Глава|Раздел|Άρθρο|Κεφάλαιο"
    r"|Madde|Bölüm|Điều|Chương|المادة)\b)\s*\d{1,4}[a-z]?[.:)]?(?:\s[^\d\n]*)?$"
    r"|第\s?[\d一二三四五六七八九十百]{1,4}[条條章节節][^\d\n]*$",
    re.IGNORECASE,
)
_QUOTE_END: Final = ('"', "”", ")")


class HeadingKind(Enum):
    """Certainty that a line is a heading."""

    NONE = 0
    # The line has no end mark but contains a number, as in "Room 117" or "Travel policy 2026".
    POSSIBLE = 1
    CERTAIN = 2


def starts_markdown_heading(line: str) -> bool:
    """Return True if *line* starts with the marks of an ATX heading of Markdown."""
    return bool(_ATX_HEADING.match(line))


def is_setext_heading(line: str, underline: str) -> bool:
    """Return True if *line* and *underline* are a Setext heading of Markdown, not a sentence."""
    return bool(
        _LETTER_OR_DIGIT.search(line)
        and _SETEXT_UNDERLINE.match(underline)
        and not _SETEXT_UNDERLINE.match(line)
        and not is_finished(line.rstrip())
    )


def is_marked_heading(text: str) -> bool:
    """Return True if *text*, a block of a document, is marked as a heading in Markdown."""
    return starts_markdown_heading(text) or bool(_SETEXT_HEADING.match(text))


def is_title_case(line: str) -> bool:
    """Return True if *line* is capitalised like a title and has no sentence punctuation."""
    line = line.strip()
    if not line or len(line) > _MAX_TITLE_CHARS:
        return False
    if has_final_punctuation(line) or _TITLE_MARK.search(line):
        return False
    words = _LONG_WORD.findall(line)
    return bool(words) and all(word[0].isupper() for word in words)


def classify_heading(text: str) -> HeadingKind:
    """Return whether *text*, a block of a document, is a heading rather than a statement."""
    if is_marked_heading(text):
        return HeadingKind.CERTAIN
    if not _LETTER_OR_DIGIT.search(text):
        return HeadingKind.NONE
    if (
        _LIST_ITEM.match(text)
        or _FACT_MARK.search(text)
        or is_finished(text)
        or text.endswith(_QUOTE_END)
    ):
        return HeadingKind.NONE
    words = len(_UNSPACED_CHAR.sub("", text).split()) + len(_UNSPACED_CHAR.findall(text)) / 2
    if words > _MAX_HEADING_WORDS:
        return HeadingKind.NONE
    has_number = any(char.isdigit() for char in text) and not _NUMBERED_HEADING.match(text)
    return HeadingKind.POSSIBLE if has_number else HeadingKind.CERTAIN


def strip_heading_marks(text: str) -> str:
    """Return the text of a heading without its Markdown marks and underline."""
    line = text.partition("\n")[0] if _SETEXT_HEADING.match(text) else text
    return _ATX_MARKS.sub("", line.strip()).strip()
