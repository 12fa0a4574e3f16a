"""Where sentences begin and end in text that was extracted from anything.

Extracted text has line breaks inside sentences and headings without full stops, so lines
are gathered into blocks first, and only blocks are cut into sentences. Everything here is
positions: no character is changed, and every character that is not blank lies in a sentence.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple


class Span(NamedTuple):
    """The characters `text[start:end]`."""

    start: int
    end: int


HEADING = re.compile(r"#{1,6}[ \t]+\S")
_ITEM = re.compile(r"[ \t]*(?:[-*•▪‣◦\u2013]|\(?\d{1,3}[.)]|\(?[a-z][.)])[ \t]")
# Full stops and what may close behind them, straight, curly, angular or East Asian.
_END = re.compile(r"[.!?…]+[\"'”\u2019»)\]]*(?=\s)|[。\uff01\uff1f]+[」』”\uff09]*")
_LAST_WORD = re.compile(r"(\S+)$")
_ABBREVIATIONS = frozenset(
    [
        *("al", "approx", "art", "ca", "cf", "ch", "co", "corp", "dr", "e.g", "ed", "eds", "eq"),
        *("etc", "fig", "figs", "gen", "gov", "i.e", "inc", "jr", "lt", "ltd", "mr", "mrs", "ms"),
        *("mt", "no", "nos", "op", "p", "par", "pp", "prof", "rev", "sec", "sen", "sgt", "sr"),
        *("st", "u.k", "u.s", "vol", "vs"),
    ]
)
# A line this much shorter than the others was ended on purpose: a heading, a table row.
_SHORT = 0.7


def sentences(text: str) -> list[Span]:
    """The sentences of *text* in order, without the blanks between them."""
    found = (span for block in _blocks(text) for span in _cut(text, block))
    return [trimmed for span in found if (trimmed := _trimmed(text, span))]


def _blocks(text: str) -> Iterator[Span]:
    """Runs of lines that read on: paragraphs, list items, headings."""
    lines = [Span(*match.span()) for match in re.finditer(r"[^\n]*\n?", text) if match.group()]
    full = _usual_length(text, lines)
    start = 0
    for line, following in pairwise(lines):
        if _ends_block(text[slice(*line)].rstrip(), text[slice(*following)], full):
            yield Span(start, line.end)
            start = line.end
    yield Span(start, len(text))


def _ends_block(line: str, following: str, full: float) -> bool:
    if not line or not following.strip() or HEADING.match(line):
        return True
    if _ITEM.match(following) or HEADING.match(following):
        return True
    reads_on = line[-1] in ",;-" or following.lstrip()[0].islower()
    return len(line) < full * _SHORT and not reads_on


def _usual_length(text: str, lines: list[Span]) -> float:
    """How long this text's lines are when nothing ends them early."""
    lengths = sorted(len(text[slice(*line)].strip()) for line in lines)
    written = [length for length in lengths if length]
    return written[len(written) * 3 // 4] if written else 0


def _cut(text: str, block: Span) -> Iterator[Span]:
    start = block.start
    for match in _END.finditer(text, *block):
        if _is_end(text, start, match, block.end):
            yield Span(start, match.end())
            start = match.end()
    yield Span(start, block.end)


def _is_end(text: str, start: int, match: re.Match[str], limit: int) -> bool:
    if match.group()[0] != ".":
        return True
    following = text[match.end() : limit].lstrip()[:1] if match.end() < limit else ""
    if following.islower():
        return False
    # Far enough back for any abbreviation; a longer word is none.
    last = _LAST_WORD.search(text[max(start, match.start() - 12) : match.start()])
    word = last.group(1).lstrip("(\"'“").lower() if last else ""
    initial = len(word) == 1 and word.isalpha()
    return not (initial or word in _ABBREVIATIONS)


def _trimmed(text: str, span: Span) -> Span | None:
    inside = text[slice(*span)]
    start = span.start + len(inside) - len(inside.lstrip())
    end = span.start + len(inside.rstrip())
    return Span(start, end) if start < end else None
