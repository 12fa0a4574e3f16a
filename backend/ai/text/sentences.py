"""Split text that was extracted from documents into sentences.

Extracted text has line breaks within sentences, and headings without full stops. Lines are
therefore grouped into blocks (paragraphs, list items, headings), and each block is split into
sentences. All functions work with positions: no character is changed, and every character that is
not white space belongs to exactly one sentence.

The chunk boundaries of the rag service depend on `find_sentence_spans`. A change of its result
changes the chunks of documents that are ingested later.
"""

import re
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import pairwise
from typing import Final, NamedTuple

# The maximum length of a sentence that is quoted, in characters.
MAX_SENTENCE_CHARS: Final = 400


class Span(NamedTuple):
    """The characters `text[start:end]`."""

    start: int
    end: int


class Sentence(NamedTuple):
    """A sentence and its position: `text` is `document[start:end]`, without outer white space."""

    text: str
    start: int
    end: int


_MARKDOWN_HEADING = re.compile(r"#{1,6}[ \t]+\S")
_MAX_HEADING_CHARS: Final = 80
_HEADING_MARK = re.compile(r"[:;.!?…]$|: |\t")
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*•▪‣◦\u2013]|\(?\d{1,3}[.)]|\(?[a-z][.)])[ \t]")
_LIST_NUMBER = re.compile(r"\s*\d{1,3}\.")
# Sentence-final punctuation with closing quotation marks and brackets; full-width punctuation of
# East Asian scripts needs no space after it. A run of full stops is tried once, from its start: if
# each of its characters were tried, a document of full stops would take quadratic time.
_END_MARK = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'”\u2019»)\]]*+(?=\s)|[。\uff01\uff1f]++[」』”\uff09]*+"
)
_NON_SPACE = re.compile(r"\S")
_LAST_WORD = re.compile(r"(?<!\S)(\S++)$")
_MAX_ABBREVIATION_CHARS: Final = 12
_ABBREVIATIONS: Final = frozenset(
    [
        *("al", "approx", "art", "ca", "cf", "ch", "co", "corp", "dr", "e.g", "ed", "eds", "eq"),
        *("etc", "fig", "figs", "gen", "gov", "i.e", "inc", "jr", "lt", "ltd", "mr", "mrs", "ms"),
        *("mt", "no", "nos", "op", "p", "par", "pp", "prof", "rev", "sec", "sen", "sgt", "sr"),
        *("st", "u.k", "u.n", "u.s", "vol", "vs"),
        *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
    ]
)
# A line shorter than this share of the usual line length ends a block: it is a heading or a table
# row, not a line that was wrapped.
_SHORT_LINE_RATIO: Final = 0.7


def split_sentences(text: str, max_chars: int = MAX_SENTENCE_CHARS) -> list[Sentence]:
    """Return the sentences of *text* that can be quoted, in order.

    They are the sentences of `find_sentence_spans`, except that a list number belongs to the
    sentence after it, each table row is a sentence, and a text without full stops is cut at white
    space so that no sentence is longer than *max_chars*.
    """
    spans = _split_table_rows(text, _join_list_numbers(text, find_sentence_spans(text)))
    pieces = (piece for span in spans for piece in _limit_length(text, span, max_chars))
    return [Sentence(text[start:end], start, end) for start, end in pieces]


def find_sentence_spans(text: str) -> list[Span]:
    """Return the positions of the sentences of *text* in order, without surrounding white space."""
    return list(iterate_sentence_spans(text))


def iterate_sentence_spans(text: str) -> Iterator[Span]:
    """Yield the spans of `find_sentence_spans`, without keeping those of a long text in memory."""
    for block in _find_blocks(text):
        for span in _split_block(text, block):
            if stripped := _strip(text, span):
                yield stripped


def is_sentence_end(text: str) -> bool:
    """Return True unless the full stop at the end of *text* is part of "Dr.", "B." or "3."."""
    if _LIST_NUMBER.fullmatch(text):
        return False
    return not (text.endswith(".") and _ends_with_abbreviation(text, 0, len(text) - 1))


def is_title_case(line: str) -> bool:
    """Return True if *line* is capitalised like a title and contains no mark of a sentence."""
    line = line.strip()
    if not line or len(line) > _MAX_HEADING_CHARS or _HEADING_MARK.search(line):
        return False
    words = _LONG_WORD.findall(line)
    return bool(words) and all(word[0].isupper() for word in words)


def _find_blocks(text: str) -> Iterator[Span]:
    """Yield runs of lines that belong together: paragraphs, list items, headings."""
    usual_length = _usual_line_length(text)
    start = end = 0
    for line, next_line in pairwise(_iterate_lines(text)):
        is_first = start == end
        end += len(line)
        content = line.rstrip()
        if _ends_block(content, next_line, usual_length):
            if content or not is_first:
                yield Span(start, end)
            start = end
    yield Span(start, len(text))


def _iterate_lines(text: str) -> Iterator[str]:
    """Return the lines of *text*, each with its line break."""
    return StringIO(text, newline="\n")


def _ends_block(line: str, next_line: str, usual_length: float) -> bool:
    if not line or not next_line.strip() or _MARKDOWN_HEADING.match(line):
        return True
    if _LIST_ITEM.match(next_line) or _MARKDOWN_HEADING.match(next_line):
        return True
    next_text = next_line.lstrip()
    if is_title_case(line) and next_text.lstrip('"\u201c')[:1].isupper():
        return True
    continues = line[-1] in ",;-" or next_text[0].islower()
    return len(line) < usual_length * _SHORT_LINE_RATIO and not continues


def _usual_line_length(text: str) -> float:
    """Return the upper quartile of the lengths of non-blank lines."""
    lengths = sorted(length for line in _iterate_lines(text) if (length := len(line.strip())))
    return lengths[len(lengths) * 3 // 4] if lengths else 0


def _split_block(text: str, block: Span) -> Iterator[Span]:
    start = block.start
    for mark in _END_MARK.finditer(text, *block):
        if _is_end_mark(text, start, mark, block.end):
            yield Span(start, mark.end())
            start = mark.end()
    yield Span(start, block.end)


def _is_end_mark(text: str, start: int, mark: re.Match[str], block_end: int) -> bool:
    if text[mark.start()] != ".":
        return True
    next_char = _NON_SPACE.search(text, mark.end(), block_end)
    if next_char and next_char.group().islower():
        return False
    return not _ends_with_abbreviation(text, start, mark.start())


def _ends_with_abbreviation(text: str, start: int, end: int) -> bool:
    """Return True if `text[start:end]`, which precedes a full stop, ends with an abbreviation.

    An initial, such as the letter of "B.", counts as one.
    """
    last_word = _LAST_WORD.search(text[max(start, end - _MAX_ABBREVIATION_CHARS) : end])
    word = last_word.group(1).lstrip("(\"'“").lower() if last_word else ""
    return (len(word) == 1 and word.isalpha()) or word in _ABBREVIATIONS


def _strip(text: str, span: Span) -> Span | None:
    """Return *span* without outer white space, or None if nothing else is in it."""
    content = text[span.start : span.end].rstrip()
    length = len(content.lstrip())
    end = span.start + len(content)
    return Span(end - length, end) if length else None


def _join_list_numbers(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """Join a span that is only a list number with the next span of the same line."""
    number: Span | None = None
    for span in spans:
        joined = span
        if number is not None:
            if "\n" in text[number.end : span.start]:
                yield number
            else:
                joined = Span(number.start, span.end)
            number = None
        if _LIST_NUMBER.fullmatch(text[slice(*joined)]):
            number = joined
        else:
            yield joined
    if number is not None:
        yield number


def _split_table_rows(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """Split spans that contain cells separated by tabs at their line ends."""
    for span in spans:
        if "\t" not in text[slice(*span)]:
            yield span
            continue
        start = span.start
        while start < span.end:
            line_end = text.find("\n", start, span.end)
            line_end = span.end if line_end == -1 else line_end
            if row := _strip(text, Span(start, line_end)):
                yield row
            start = line_end + 1


def _limit_length(text: str, span: Span, max_chars: int) -> Iterator[Span]:
    """Split *span* into pieces of at most *max_chars*, at a line end or space where possible."""
    start, end = span
    if end - start <= max_chars:
        yield span
        return
    while end - start > max_chars:
        window = start, start + max_chars
        cut = max(text.rfind("\n", *window), text.rfind(" ", *window))
        cut = cut if cut > start else start + max_chars
        if piece := _strip(text, Span(start, cut)):
            yield piece
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if piece := _strip(text, Span(start, end)):
        yield piece
