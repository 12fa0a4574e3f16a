"""Cut a document's text into passages that a model can read at once.

A passage is whole sentences, about as many as fit 220 tokens, and begins with the last
sentences of the one before it, so that no thought is cut in half in every passage that
holds it. It is a pair of positions: its text is the document's, letter for letter.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from backend.services.rag.domain.sentences import Span, sentences

# With a contextual header of up to HEADER_TOKENS a passage fills the model's 256.
CHUNK_TOKENS = 220
OVERLAP_TOKENS = 64
HEADER_TOKENS = 32
TOKEN_LETTERS = 20
# A new section begins a new passage, unless the one before would be a mere scrap.
SCRAP_TOKENS = 48

# A word that was hyphenated at the end of a line.
_BROKEN_WORD = re.compile(r"(?<=[^\W\d_])[-\u00ad][ \t]*\n[ \t]*(?=[a-z])")

TokenSpans = Callable[[str], Sequence[tuple[int, int]]]


class Section(NamedTuple):
    """From *start* on the text stands under *title*, until the next section."""

    start: int
    title: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: `text[start:end]` of its document, and the section it stands in."""

    start: int
    end: int
    section: str = ""


class _Unit(NamedTuple):
    start: int
    end: int
    tokens: int


def chunk(text: str, spans: TokenSpans, sections: Sequence[Section] = ()) -> list[Chunk]:
    """The passages of *text*, in order; every character that is not blank is in one."""
    starts = [section.start for section in sections]

    def titled(start: int, end: int) -> Chunk:
        # A heading belongs to its passage although the passage begins a few letters before it.
        place = bisect_right(starts, start)
        return Chunk(start, end, sections[place - 1].title if place else "")

    units = list(_units(text, spans))
    return [titled(units[a].start, units[b - 1].end) for a, b in _packed(units, set(starts))]


def indexed(title: str, section: str, text: str, spans: TokenSpans) -> str:
    """A passage as the indexes see it: under its title and section, words made whole again.

    None of this is ever shown: what is quoted is the passage's text as it stands.
    """
    return f"{_header(title, section, spans)}\n{' '.join(unbroken(text).split())}"


def unbroken(text: str) -> str:
    """*text* with the words that a line's end had hyphenated made whole again."""
    return _BROKEN_WORD.sub("", text)


def _header(title: str, section: str, spans: TokenSpans) -> str:
    section = "" if section == title else section
    line = " / ".join(part for part in (title, section) if part)
    tokens = spans(line)
    return line if len(tokens) <= HEADER_TOKENS else line[: tokens[HEADER_TOKENS - 1][1]]


def _packed(units: Sequence[_Unit], breaks: set[int]) -> Iterator[tuple[int, int]]:
    """Ranges of units, each within CHUNK_TOKENS, each stepping back by up to OVERLAP_TOKENS."""
    totals = [0, *accumulate(unit.tokens for unit in units)]
    first = 0
    while first < len(units):
        last = first + 1
        while last < len(units) and totals[last + 1] - totals[first] <= CHUNK_TOKENS:
            if units[last].start in breaks and totals[last] - totals[first] >= SCRAP_TOKENS:
                break
            last += 1
        yield first, last
        if last == len(units):
            return
        back = last
        if units[last].start not in breaks:
            while back - 1 > first and totals[last] - totals[back - 1] <= OVERLAP_TOKENS:
                back -= 1
        # Stepping back must leave room for what comes next, or nothing new would fit in.
        while totals[last + 1] - totals[back] > CHUNK_TOKENS and back < last:
            back += 1
        first = back


def _units(text: str, spans: TokenSpans) -> Iterator[_Unit]:
    """Sentences with their tokens; one too long for a passage in pieces."""
    for sentence in sentences(text):
        tokens = list(_short(spans(text[slice(*sentence)])))
        if len(tokens) <= CHUNK_TOKENS:
            yield _Unit(*sentence, len(tokens))
        else:
            yield from _pieces(text, sentence, tokens)


def _short(tokens: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The tokens, endless ones in parts: to the model, a word it gave up on is a single token."""
    for start, end in tokens:
        for part in range(start, max(end, start + 1), TOKEN_LETTERS):
            yield part, min(part + TOKEN_LETTERS, end)


def _pieces(text: str, sentence: Span, tokens: Sequence[tuple[int, int]]) -> Iterator[_Unit]:
    """A table or a list without full stops, cut between words at a third of a passage."""
    most = CHUNK_TOKENS // 3
    first = 0
    while first < len(tokens):
        last = min(first + most, len(tokens))
        # Back to where a blank lies between two tokens, unless it is one endless word.
        while last < len(tokens) and last > first + 1 and tokens[last - 1][1] == tokens[last][0]:
            last -= 1
        if last == first + 1:
            last = min(first + most, len(tokens))
        # Up to where the next piece begins: what the tokenizer passes over is text as well.
        begin = sentence.start + (tokens[first][0] if first else 0)
        end = sentence.start + tokens[last][0] if last < len(tokens) else sentence.end
        kept = len(text[begin:end].rstrip())
        if kept:
            yield _Unit(begin, begin + kept, last - first)
        first = last
