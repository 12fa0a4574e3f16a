"""Split the text of a document into chunks that an embedding model can process.

A chunk consists of complete sentences up to CHUNK_TOKENS tokens. It starts with the last sentences
of the previous chunk, so that related sentences are together in at least one chunk. A chunk is a
pair of offsets: its text is an exact substring of the document's text.

Sentences and tokens are processed one after the other, and at most WINDOW_CHARS characters are
tokenized at once, so that a text without full stops needs little memory.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

from backend.ai.text.sentences import Span, iterate_sentence_spans

# A chunk and its contextual header of up to HEADER_TOKENS fit into the model's 256 tokens.
CHUNK_TOKENS = 220
OVERLAP_TOKENS = 64
HEADER_TOKENS = 32
MAX_TOKEN_CHARS = 20
# Characters between two tokens, such as blanks and combining characters, count as one token for
# each of these many. They bound the length of a chunk whose text has no tokens.
MAX_GAP_CHARS = 256
WINDOW_CHARS = 4096
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
    return list(iterate_chunks(text, find_token_spans, sections))


def iterate_chunks(
    text: str, find_token_spans: TokenSpanFinder, sections: Sequence[Section] = ()
) -> Iterator[Chunk]:
    """Yield the chunks of `split_into_chunks`. Memory does not grow with their number."""
    starts = [section.start for section in sections]

    def build_chunk(start: int, end: int) -> Chunk:
        # A chunk belongs to the section that contains its start; a heading is part of its section.
        index = bisect_right(starts, start)
        return Chunk(start, end, sections[index - 1].title if index else "")

    units = _split_into_units(text, find_token_spans)
    return (build_chunk(start, end) for start, end in _pack_units(units, set(starts)))


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


def _pack_units(units: Iterable[_Unit], breaks: set[int]) -> Iterator[tuple[int, int]]:
    """Yield spans of units with up to CHUNK_TOKENS that overlap by up to OVERLAP_TOKENS."""
    packed: list[_Unit] = []  # the units of the next chunk
    tokens = 0
    for unit in units:
        if not packed:
            packed, tokens = [unit], unit.tokens
            continue
        starts_section = unit.start in breaks
        if tokens + unit.tokens > CHUNK_TOKENS or (starts_section and tokens >= MIN_SECTION_TOKENS):
            yield packed[0].start, packed[-1].end
            packed = [] if starts_section else _get_overlap(packed, unit)
            tokens = sum(packed_unit.tokens for packed_unit in packed)
        packed.append(unit)
        tokens += unit.tokens
    if packed:
        yield packed[0].start, packed[-1].end


def _get_overlap(packed: Sequence[_Unit], next_unit: _Unit) -> list[_Unit]:
    """Return the last units of a chunk with which the next chunk, of *next_unit*, starts."""
    # Without room for the next unit, the next chunk would add nothing.
    max_tokens = min(OVERLAP_TOKENS, CHUNK_TOKENS - next_unit.tokens)
    first, tokens = len(packed), 0
    while first > 1 and tokens + packed[first - 1].tokens <= max_tokens:
        first -= 1
        tokens += packed[first].tokens
    return list(packed[first:])


def _split_into_units(text: str, find_token_spans: TokenSpanFinder) -> Iterator[_Unit]:
    """Yield sentences with their token counts. Sentences too long for a chunk are split."""
    for sentence in iterate_sentence_spans(text):
        tokens = _iterate_tokens(text, sentence, find_token_spans)
        first_tokens = list(islice(tokens, CHUNK_TOKENS + 1))
        if len(first_tokens) <= CHUNK_TOKENS:
            yield _Unit(*sentence, len(first_tokens))
        else:
            yield from _split_sentence(text, sentence, chain(first_tokens, tokens))


def _iterate_tokens(
    text: str, span: Span, find_token_spans: TokenSpanFinder
) -> Iterator[tuple[int, int]]:
    """Yield the positions of the tokens of *span* in *text*, and of long gaps between them.

    Parts of long tokens and gaps count as tokens. The tokenizer returns a very long unknown word
    as a single token.
    """
    end = span.start
    for window in _split_into_windows(text, span):
        for start_in_window, end_in_window in find_token_spans(text[slice(*window)]):
            start = window.start + start_in_window
            yield from _split_span(end, start, MAX_GAP_CHARS, with_rest=False)
            end = window.start + end_in_window
            if start == end:
                yield start, end
            yield from _split_span(start, end, MAX_TOKEN_CHARS, with_rest=True)
    yield from _split_span(end, span.end, MAX_GAP_CHARS, with_rest=False)


def _split_into_windows(text: str, span: Span) -> Iterator[Span]:
    """Split *span* into spans of up to WINDOW_CHARS, after a blank where possible."""
    start = span.start
    while span.end - start > WINDOW_CHARS:
        limit = start + WINDOW_CHARS
        cut = max(text.rfind(blank, start, limit) for blank in (" ", "\n", "\t")) + 1
        end = cut if cut > start else limit
        yield Span(start, end)
        start = end
    yield Span(start, span.end)


def _split_span(start: int, end: int, size: int, *, with_rest: bool) -> Iterator[tuple[int, int]]:
    """Yield the parts of *size* characters of a span, and with *with_rest* the shorter last one."""
    while end - start >= size:
        yield start, start + size
        start += size
    if with_rest and start < end:
        yield start, end


def _split_sentence(
    text: str, sentence: Span, tokens: Iterator[tuple[int, int]]
) -> Iterator[_Unit]:
    """Split text without full stops, such as a table or list, into thirds of a chunk.

    It is split between words where possible.
    """
    max_tokens = CHUNK_TOKENS // 3
    # The tokens of the next unit, and the one after it.
    pending = list(islice(tokens, max_tokens + 1))
    start = sentence.start
    while pending:
        count = min(max_tokens, len(pending))
        # Go back to the nearest space between two tokens, unless there is none.
        while 1 < count < len(pending) and pending[count - 1][1] == pending[count][0]:
            count -= 1
        if count == 1:
            count = min(max_tokens, len(pending))
        # A unit extends to the start of the next one: text between tokens belongs to it.
        end = pending[count][0] if count < len(pending) else sentence.end
        length = len(text[start:end].rstrip())
        if length:
            yield _Unit(start, start + length, count)
        start = end
        pending = pending[count:]
        pending += islice(tokens, max_tokens + 1 - len(pending))
