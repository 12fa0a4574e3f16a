"""Split text that was extracted from documents into sentences.

Extracted text has line breaks within sentences, and headings without full stops. Lines are
therefore grouped into blocks (paragraphs, list items, headings, table rows), and each block is
split into sentences. All functions work with positions: no character is changed, and every
character that is not white space belongs to exactly one sentence.

The chunk boundaries of the rag service depend on `iterate_units`. A change of its result changes
the chunks of documents that are ingested later.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from backend.ai.text.blocks import Span, TextBlock, find_blocks
from backend.ai.text.sentence_ends import (
    CLAUSE_SCRIPTS,
    SENTENCE_ENDS,
    UNSPACED_SCRIPTS,
    find_next_word,
    is_full_stop,
    is_list_number,
)

# The maximum lengths of a sentence and of a table row that are quoted, in characters.
MAX_SENTENCE_CHARS: Final = 400
MAX_ROW_CHARS: Final = 2_000

_WORD = re.compile(r"\w")
# In these scripts, spaces separate clauses and sentences. They also separate numbers and foreign
# words from the surrounding text, where the text is not divided.
_CLAUSE_END = re.compile(rf"(?<=[{CLAUSE_SCRIPTS}\u0e46\u0e2f]) +(?=[{CLAUSE_SCRIPTS}])")
# Minimum length of a clause in characters. A shorter one is joined with the next clause.
_MIN_CLAUSE_CHARS: Final = 16
# Characters before a space that are searched for a title, which a name follows.
_MAX_NAME_CHARS: Final = 24
# The end of a Thai clause that is incomplete: a year, time, place or list follows, or a surname.
_OPEN_CLAUSE = re.compile(
    r"(?:ปี|เวลา|วันที่|เดือน|ราคา|คือ|โดย|และ|หรือ|ถึง|ได้แก่|เช่น|ชื่อ)$"
    r"|(?:คุณ|นาย|นาง|นางสาว|ดร\.|กัปตัน|อาจารย์|แพทย์หญิง|นายแพทย์)[\u0e01-\u0e4e]{2,12}$"
)
_CONTINUED_CLAUSE = re.compile(
    r"พ\.ศ|ค\.ศ|น\.|ซึ่ง|โดย|เพราะ|เนื่องจาก|และ|หรือ|เพื่อ|จึง|แต่|จนถึง|ถึง|รวมถึง|เวลา|ของทุก|ชำระ"
)
# Marks after which an overlong sentence of a script without spaces is divided.
_CLAUSE_MARK = re.compile(rf"[\u3001\uff0c\uff1b\uff1a](?=[{UNSPACED_SCRIPTS}])")


class Sentence(NamedTuple):
    """A sentence and its position: `text` is `document[start:end]`, without outer white space.

    A table row, or a part of one that is too long, is a sentence too.
    """

    text: str
    start: int
    end: int
    is_row: bool = False


def split_sentences(text: str, max_chars: int = MAX_SENTENCE_CHARS) -> list[Sentence]:
    """Return the sentences of *text* that can be quoted, in order.

    They are the sentences of `find_sentence_spans`, except that a list number belongs to the
    sentence after it, and a text without end marks is divided so that no sentence is longer than
    *max_chars*, and no table row longer than MAX_ROW_CHARS.
    """
    return [
        Sentence(text[start:end], start, end, is_row)
        for span, is_row in _join_list_numbers(text, iterate_units(text))
        for start, end in _limit_length(text, span, MAX_ROW_CHARS if is_row else max_chars)
    ]


def find_sentence_spans(text: str) -> list[Span]:
    """Return the positions of the sentences of *text* in order, without surrounding white space.

    A table row is one sentence.
    """
    return [span for span, _ in iterate_units(text)]


def iterate_units(text: str) -> Iterator[tuple[Span, bool]]:
    """Yield each span of `find_sentence_spans`, and True if it is a table row.

    The spans are not collected, so that a long text takes little memory.
    """
    for block in find_blocks(text):
        spans = [Span(block.start, block.end)] if block.is_row else _split_block(text, block)
        for span in spans:
            if stripped := _strip(text, span):
                yield stripped, block.is_row


def _split_block(text: str, block: TextBlock) -> Iterator[Span]:
    start = searched = block.start
    has_word = False
    for mark in SENTENCE_ENDS.finditer(text, block.start, block.end):
        # Marks without a word, such as a dotted line, are not a sentence.
        has_word = has_word or _WORD.search(text, searched, mark.start()) is not None
        searched = mark.end()
        if has_word and _is_end_mark(text, start, mark, block.end):
            has_word = False
            yield from _split_clauses(text, Span(start, mark.end()))
            start = mark.end()
    yield from _split_clauses(text, Span(start, block.end))


def _split_clauses(text: str, span: Span) -> Iterator[Span]:
    """Split *span* between clauses if its script has no end marks."""
    start = span.start
    for space in _CLAUSE_END.finditer(text, *span):
        if space.start() - start >= _MIN_CLAUSE_CHARS and not _joins_clauses(text, span, space):
            yield Span(start, space.start())
            start = space.end()
    yield Span(start, span.end)


def _joins_clauses(text: str, span: Span, space: re.Match[str]) -> bool:
    """Return True if the clauses before and after *space* belong together in Thai.

    A space stands before an abbreviation, a conjunction and a surname too.
    """
    before = text[max(span.start, space.start() - _MAX_NAME_CHARS) : space.start()]
    return bool(_OPEN_CLAUSE.search(before)) or bool(_CONTINUED_CLAUSE.match(text, space.end()))


def _is_end_mark(text: str, start: int, mark: re.Match[str], block_end: int) -> bool:
    if text[mark.start()] != ".":
        return True
    return is_full_stop(text, start, mark.start(), find_next_word(text, mark.end(), block_end))


def _strip(text: str, span: Span) -> Span | None:
    """Return *span* without outer white space, or None if it contains only white space."""
    content = text[span.start : span.end].rstrip()
    length = len(content.lstrip())
    end = span.start + len(content)
    return Span(end - length, end) if length else None


def _join_list_numbers(
    text: str, units: Iterable[tuple[Span, bool]]
) -> Iterator[tuple[Span, bool]]:
    """Join a span that is only a list number with the next span of the same line."""
    number: Span | None = None
    for span, is_row in units:
        joined = span
        if number is not None:
            if "\n" in text[number.end : span.start]:
                yield number, False
            else:
                joined = Span(number.start, span.end)
            number = None
        if not is_row and is_list_number(text[slice(*joined)]):
            number = joined
        else:
            yield joined, is_row
    if number is not None:
        yield number, False


def _limit_length(text: str, span: Span, max_chars: int) -> Iterator[Span]:
    """Split *span* into pieces of at most *max_chars*, between clauses or words where possible."""
    start, end = span
    while end - start > max_chars:
        cut = _find_cut(text, start, start + max_chars)
        if piece := _strip(text, Span(start, cut)):
            yield piece
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if piece := _strip(text, Span(start, end)):
        yield piece


def _find_cut(text: str, start: int, limit: int) -> int:
    """Return the last position of a line end, space or mark in `text[start:limit]`, or *limit*."""
    cut = max(text.rfind("\n", start, limit), text.rfind(" ", start, limit))
    if cut <= start:
        cut = max((mark.end() for mark in _CLAUSE_MARK.finditer(text, start, limit)), default=start)
    return cut if cut > start else limit
