"""Split the text of a document into chunks that an embedding model can process.

A chunk consists of complete sentences up to CHUNK_TOKENS tokens. It starts with the last sentences
of the previous chunk, so that related sentences are together in at least one chunk. A chunk is a
pair of offsets: its text is an exact substring of the document's text.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from backend.ai.text.sentences import Span, find_sentence_spans

# A chunk and its contextual header of up to HEADER_TOKENS fit into the model's 256 tokens.
CHUNK_TOKENS = 220
OVERLAP_TOKENS = 64
HEADER_TOKENS = 32
MAX_TOKEN_CHARS = 20
# A new section starts a new chunk unless the previous chunk would have fewer tokens.
MIN_SECTION_TOKENS = 48

# A word hyphenated at the end of a line.
_HYPHENATED_LINE_BREAK = re.compile(r"(?<=[^\W\d_])[-\u00ad][ \t]*\n[ \t]*(?=[a-z])")

TokenSpanFinder = Callable[[str], Sequence[tuple[int, int]]]


class Section(NamedTuple):
    """A section titled *title* from offset *start* to the start of the next section."""

    start: int
    title: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk: `text[start:end]` of its document, and the title of its section."""

    start: int
    end: int
    section: str = ""


class _Unit(NamedTuple):
    """A sentence or a part of one. Units are not split further."""

    start: int
    end: int
    tokens: int


def split_into_chunks(
    text: str, find_token_spans: TokenSpanFinder, sections: Sequence[Section] = ()
) -> list[Chunk]:
    """Return the chunks of *text* in order. They cover every non-blank character."""
    starts = [section.start for section in sections]

    def build_chunk(start: int, end: int) -> Chunk:
        # A chunk belongs to the section that contains its start; a heading is part of its section.
        index = bisect_right(starts, start)
        return Chunk(start, end, sections[index - 1].title if index else "")

    units = list(_split_into_units(text, find_token_spans))
    return [
        build_chunk(units[first].start, units[last - 1].end)
        for first, last in _pack_units(units, set(starts))
    ]


def build_index_text(title: str, section: str, text: str, find_token_spans: TokenSpanFinder) -> str:
    """Return the text of a chunk for embedding and indexing.

    It starts with a header of title and section, and hyphenated words are joined. It is never
    shown: quotes are taken from the unchanged text of the chunk.
    """
    header = _build_header(title, section, find_token_spans)
    return f"{header}\n{' '.join(join_hyphenated_words(text).split())}"


def join_hyphenated_words(text: str) -> str:
    """Join words of *text* that are hyphenated at a line break."""
    return _HYPHENATED_LINE_BREAK.sub("", text)


def _build_header(title: str, section: str, find_token_spans: TokenSpanFinder) -> str:
    section = "" if section == title else section
    header = " / ".join(part for part in (title, section) if part)
    tokens = find_token_spans(header)
    return header if len(tokens) <= HEADER_TOKENS else header[: tokens[HEADER_TOKENS - 1][1]]


def _pack_units(units: Sequence[_Unit], breaks: set[int]) -> Iterator[tuple[int, int]]:
    """Yield ranges of units with up to CHUNK_TOKENS that overlap by up to OVERLAP_TOKENS."""
    totals = [0, *accumulate(unit.tokens for unit in units)]
    first = 0
    while first < len(units):
        last = first + 1
        while last < len(units) and totals[last + 1] - totals[first] <= CHUNK_TOKENS:
            if units[last].start in breaks and totals[last] - totals[first] >= MIN_SECTION_TOKENS:
                break
            last += 1
        yield first, last
        if last == len(units):
            return
        next_first = last
        if units[last].start not in breaks:
            while (
                next_first - 1 > first and totals[last] - totals[next_first - 1] <= OVERLAP_TOKENS
            ):
                next_first -= 1
        # The overlap must leave room for the next unit, or the next chunk would add nothing.
        while totals[last + 1] - totals[next_first] > CHUNK_TOKENS and next_first < last:
            next_first += 1
        first = next_first


def _split_into_units(text: str, find_token_spans: TokenSpanFinder) -> Iterator[_Unit]:
    """Yield sentences with their token counts. Sentences too long for a chunk are split."""
    for sentence in find_sentence_spans(text):
        tokens = list(_split_long_tokens(find_token_spans(text[slice(*sentence)])))
        if len(tokens) <= CHUNK_TOKENS:
            yield _Unit(*sentence, len(tokens))
        else:
            yield from _split_sentence(text, sentence, tokens)


def _split_long_tokens(tokens: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Split tokens longer than MAX_TOKEN_CHARS.

    The tokenizer returns a very long unknown word as a single token.
    """
    for start, end in tokens:
        for part_start in range(start, max(end, start + 1), MAX_TOKEN_CHARS):
            yield part_start, min(part_start + MAX_TOKEN_CHARS, end)


def _split_sentence(
    text: str, sentence: Span, tokens: Sequence[tuple[int, int]]
) -> Iterator[_Unit]:
    """Split text without full stops, such as a table or list, into thirds of a chunk.

    It is split between words where possible.
    """
    max_tokens = CHUNK_TOKENS // 3
    first = 0
    while first < len(tokens):
        last = min(first + max_tokens, len(tokens))
        # Go back to the nearest space between two tokens, unless there is none.
        while last < len(tokens) and last > first + 1 and tokens[last - 1][1] == tokens[last][0]:
            last -= 1
        if last == first + 1:
            last = min(first + max_tokens, len(tokens))
        # A unit extends to the start of the next one: text between tokens belongs to it.
        start = sentence.start + (tokens[first][0] if first else 0)
        end = sentence.start + tokens[last][0] if last < len(tokens) else sentence.end
        length = len(text[start:end].rstrip())
        if length:
            yield _Unit(start, start + length, last - first)
        first = last
