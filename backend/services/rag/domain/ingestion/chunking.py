"""Split the text of a document into chunks that an embedding model can process.

A chunk consists of complete sentences and table rows up to CHUNK_TOKENS tokens. It starts with the
last sentences of the previous chunk, so that related sentences are together in at least one chunk.
A chunk is a pair of offsets: its text is an exact substring of the document's text. A chunk that
continues a table therefore has the table's header row as a property of its own.

Sentences and tokens are processed one after the other, and at most WINDOW_CHARS characters are
tokenized at once, so that a text without full stops needs little memory.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise
from typing import NamedTuple

from backend.ai.text.blocks import Span
from backend.ai.text.quotes import join_hyphenated_words
from backend.ai.text.sentences import iterate_units
from backend.ai.text.tables import are_adjacent, is_header_row

# A chunk and its contextual header of up to HEADER_TOKENS fit into the model's 256 tokens.
CHUNK_TOKENS = 220
OVERLAP_TOKENS = 64
HEADER_TOKENS = 32
MAX_TOKEN_CHARS = 20
# This many characters between two tokens, such as blanks and combining characters, count as one
# token. That limits the length of a chunk whose text has no tokens.
MAX_GAP_CHARS = 256
WINDOW_CHARS = 4096
# A new section starts a new chunk unless the previous chunk would have fewer tokens.
MIN_SECTION_TOKENS = 48

# A longer header row of a table is not repeated.
MAX_TABLE_HEADER_CHARS = 500
MAX_TABLE_HEADER_TOKENS = CHUNK_TOKENS // 3

TokenSpanFinder = Callable[[str], Sequence[tuple[int, int]]]


class Section(NamedTuple):
    """A section of the text, from offset *start* to the start of the next section."""

    start: int
    title: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk: `text[start:end]` of its document.

    Attributes:
        section: the title of the section that contains its start.
        headings: the titles of the sections that start within it.
        table_header: the start and end of the header row of the table that it continues, or (0, 0).
    """

    start: int
    end: int
    section: str = ""
    headings: tuple[str, ...] = ()
    table_header: tuple[int, int] = (0, 0)


class _TableHeader(NamedTuple):
    """The header row `text[start:end]` of a table; empty if the table has none."""

    start: int
    end: int
    tokens: int


_NO_HEADER = _TableHeader(0, 0, 0)


class _Unit(NamedTuple):
    """A sentence, a table row, or a part of one. Units are not split further.

    *table_header* is the header of the table that a row belongs to. It is empty for the header row.
    """

    start: int
    end: int
    tokens: int
    table_header: _TableHeader = _NO_HEADER


def split_into_chunks(
    text: str, find_token_spans: TokenSpanFinder, sections: Sequence[Section] = ()
) -> list[Chunk]:
    """Return the chunks of *text* in order. They cover every non-blank character."""
    return list(iterate_chunks(text, find_token_spans, sections))


def iterate_chunks(
    text: str, find_token_spans: TokenSpanFinder, sections: Sequence[Section] = ()
) -> Iterator[Chunk]:
    """Yield the chunks of `split_into_chunks`. Memory does not grow with their number."""
    units = _split_into_units(text, find_token_spans)
    chunks = _pack_units(units, {section.start for section in sections})
    return (add_section_titles(chunk, sections) for chunk in chunks)


def add_section_titles(chunk: Chunk, sections: Sequence[Section]) -> Chunk:
    """Return *chunk* with the titles of its sections. *sections* are sorted by their start.

    A chunk belongs to the section that contains its start; a heading is part of its section.
    """
    first = bisect_right(sections, chunk.start, key=lambda section: section.start)
    end = bisect_left(sections, chunk.end, key=lambda section: section.start)
    title = sections[first - 1].title if first else ""
    headings = tuple(section.title for section in sections[first:end])
    return replace(chunk, section=title, headings=headings)


def build_index_text(
    title: str, section: str, text: str, find_token_spans: TokenSpanFinder, table_header: str = ""
) -> str:
    """Return the text of a chunk for embedding and indexing.

    It consists of a header with title and section, the header row of the table that the chunk
    continues, and the chunk with words joined that were hyphenated at line breaks. Users never see
    it: quotes are taken from the unchanged text of the chunk.
    """
    header = _build_header(title, section, find_token_spans)
    body = " ".join(join_hyphenated_words(f"{table_header}\n{text}").split())
    return f"{header}\n{body}"


def _build_header(title: str, section: str, find_token_spans: TokenSpanFinder) -> str:
    section = "" if section == title else section
    header = " / ".join(part for part in (title, section) if part)
    tokens = find_token_spans(header)
    return header if len(tokens) <= HEADER_TOKENS else header[: tokens[HEADER_TOKENS - 1][1]]


def _pack_units(units: Iterable[_Unit], breaks: set[int]) -> Iterator[Chunk]:
    """Yield chunks of units with up to CHUNK_TOKENS that overlap by up to OVERLAP_TOKENS."""
    packed: list[_Unit] = []  # the units of the next chunk
    tokens = 0
    for unit in units:
        if not packed:
            packed, tokens = [unit], unit.table_header.tokens + unit.tokens
            continue
        starts_section = unit.start in breaks
        if tokens + unit.tokens > CHUNK_TOKENS or (starts_section and tokens >= MIN_SECTION_TOKENS):
            yield _build_chunk(packed)
            packed = [] if starts_section else _get_overlap(packed, unit)
            first = packed[0] if packed else unit
            tokens = first.table_header.tokens + sum(kept.tokens for kept in packed)
        packed.append(unit)
        tokens += unit.tokens
    if packed:
        yield _build_chunk(packed)


def _build_chunk(packed: Sequence[_Unit]) -> Chunk:
    return Chunk(packed[0].start, packed[-1].end, table_header=packed[0].table_header[:2])


def _get_overlap(packed: Sequence[_Unit], next_unit: _Unit) -> list[_Unit]:
    """Return the last units of a chunk to repeat before *next_unit* in the next chunk."""
    # Leave room for the next unit: without it, the next chunk would only repeat text.
    header_tokens = max(packed[-1].table_header.tokens, next_unit.table_header.tokens)
    max_tokens = min(OVERLAP_TOKENS, CHUNK_TOKENS - next_unit.tokens - header_tokens)
    first, tokens = len(packed), 0
    while first > 1 and tokens + packed[first - 1].tokens <= max_tokens:
        first -= 1
        tokens += packed[first].tokens
    return list(packed[first:])


def _split_into_units(text: str, find_token_spans: TokenSpanFinder) -> Iterator[_Unit]:
    """Yield sentences with their token counts. Sentences too long for a chunk are split."""
    for sentence, table_header in _iterate_with_table_headers(text, find_token_spans):
        tokens = _iterate_tokens(text, sentence, find_token_spans)
        first_tokens = list(islice(tokens, CHUNK_TOKENS + 1))
        if len(first_tokens) <= CHUNK_TOKENS - table_header.tokens:
            yield _Unit(*sentence, len(first_tokens), table_header)
        else:
            for unit in _split_sentence(text, sentence, chain(first_tokens, tokens)):
                yield unit._replace(table_header=table_header)


def _iterate_with_table_headers(
    text: str, find_token_spans: TokenSpanFinder
) -> Iterator[tuple[Span, _TableHeader]]:
    """Yield the sentences and table rows of *text*, each row with the header of its table."""
    header = _NO_HEADER
    previous_row_end: int | None = None
    no_unit = Span(len(text), len(text)), False
    for (span, is_row), (next_span, is_next_row) in pairwise(chain(iterate_units(text), [no_unit])):
        starts_table = is_row and (
            previous_row_end is None or not are_adjacent(text, previous_row_end, span.start)
        )
        if starts_table or not is_row:
            header = _NO_HEADER
        # Empty cells at the start of a row belong to it.
        start = text.rfind("\n", 0, span.start) + 1 if is_row else span.start
        yield Span(start, span.end), header
        previous_row_end = span.end if is_row else None
        if starts_table and is_next_row and are_adjacent(text, span.end, next_span.start):
            header = _read_table_header(text, span, next_span, find_token_spans)


def _read_table_header(
    text: str, row: Span, next_row: Span, find_token_spans: TokenSpanFinder
) -> _TableHeader:
    """Return *row* as a header, or an empty one if it contains values or is too long to repeat."""
    line = text[slice(*row)]
    if len(line) > MAX_TABLE_HEADER_CHARS or not is_header_row(line, text[slice(*next_row)]):
        return _NO_HEADER
    tokens = len(find_token_spans(line))
    return _TableHeader(*row, tokens) if tokens <= MAX_TABLE_HEADER_TOKENS else _NO_HEADER


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
    """Yield parts of *size* characters of a span; with *with_rest*, also the shorter last part."""
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
