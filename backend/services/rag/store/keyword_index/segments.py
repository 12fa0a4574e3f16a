"""Segments of the inverted index: for each term the chunks that contain it, in flat arrays.

A posting takes four bytes. Deleted chunks remain until their segment is merged; their length is
infinite, which makes their score zero.
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.ai.text.compounds import find_compounds
from backend.ai.text.terms import TERM_LANGUAGES
from backend.services.rag.store.keyword_index.postings import (
    CHUNK_BITS,
    COUNT_BITS,
    OLD_CHUNKS,
    Postings,
    get_language_term,
    hash_term,
)

# A segment of this many postings (about 20,000 chunks) is sorted in 0.1 seconds.
MAX_SEGMENT_POSTINGS = 2**21
_HASH_SHIFT = CHUNK_BITS + COUNT_BITS
_POSTING = np.uint64((1 << _HASH_SHIFT) - 1)
_COUNT = np.uint32((1 << COUNT_BITS) - 1)
_DELETED = np.float32(np.inf)

Keys = NDArray[np.uint64]
Floats = NDArray[np.float32]
Rows = NDArray[np.uint32]


class ChunkReference(NamedTuple):
    """A chunk, identified by its document, generation and position."""

    document_id: str
    generation: int
    ordinal: int


class TermMatches(NamedTuple):
    """Chunks that contain a term: their rows, the term's occurrences, and lengths in terms."""

    rows: Rows
    counts: Floats
    lengths: Floats


def join_matches(matches: Sequence[TermMatches]) -> TermMatches | None:
    """Return the chunks that contain any of several terms, with the sum of their occurrences."""
    if len(matches) < 2:
        return matches[0] if matches else None
    rows, first, inverse = np.unique(
        np.concatenate([match.rows for match in matches]), return_index=True, return_inverse=True
    )
    counts = np.bincount(inverse, np.concatenate([match.counts for match in matches]))
    lengths = np.concatenate([match.lengths for match in matches])[first]
    return TermMatches(rows, counts.astype(np.float32), lengths)


class Segment:
    """Immutable index of a batch of documents. Each chunk has a row; documents are consecutive.

    `languages` are the languages that terms of the chunks were extracted for.
    """

    def __init__(
        self,
        documents: Sequence[tuple[str, int]],
        sizes: Sequence[int],
        lengths: Floats,
        keys: Keys,
        long_words: AbstractSet[str] = frozenset(),
    ) -> None:
        """Build the segment. *keys* is sorted in place.

        Args:
            documents: id and generation of each document.
            sizes: number of chunks of each document.
            lengths: number of terms of each chunk.
            keys: postings with rows in place of ordinals.
            long_words: the words of the documents that can be compounds.
        """
        # One string takes a fraction of the memory of a set, and one search covers all words.
        self._long_words = "\n".join(("", *sorted(long_words), ""))
        self.documents = documents
        self.chunk_offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.lengths = lengths
        self.document_positions = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        self.deleted_positions: set[int] = set()
        keys.sort()
        hashes = keys >> np.uint64(_HASH_SHIFT)
        starts = np.flatnonzero(np.diff(hashes, prepend=hashes[:1] + np.uint64(1)))
        self._hashes = hashes[starts]
        self._starts = np.append(starts, len(keys))
        self._postings = (keys & _POSTING).astype(np.uint32)
        self.languages = self._find_languages()

    def __len__(self) -> int:
        """Number of chunks, including deleted ones."""
        return len(self.lengths)

    @property
    def posting_count(self) -> int:
        return len(self._postings)

    @property
    def deleted_chunk_count(self) -> int:
        return sum(
            int(self.chunk_offsets[position + 1] - self.chunk_offsets[position])
            for position in self.deleted_positions
        )

    def mark_deleted(self, position: int) -> None:
        """Exclude the document at *position* from all search results."""
        self.deleted_positions.add(position)
        self.lengths[self.chunk_offsets[position] : self.chunk_offsets[position + 1]] = _DELETED

    def find_matches(self, term_hash: int) -> TermMatches | None:
        """Return the chunks that contain the term, or None."""
        span = self._find_span(term_hash)
        return None if span is None else self._read_matches(*span)

    def _find_span(self, term_hash: int) -> tuple[int, int] | None:
        """Return the start and the end of the postings of the term, or None."""
        index = int(np.searchsorted(self._hashes, np.uint64(term_hash)))
        if index == len(self._hashes) or self._hashes[index] != term_hash:
            return None
        return int(self._starts[index]), int(self._starts[index + 1])

    def _read_matches(self, start: int, end: int) -> TermMatches:
        postings = self._postings[start:end]
        rows = postings >> np.uint32(COUNT_BITS)
        lengths = self.lengths[rows]
        counts = (postings & _COUNT).astype(np.float32)
        if self.deleted_positions:
            is_live = lengths != _DELETED
            return TermMatches(rows[is_live], counts[is_live], lengths[is_live])
        return TermMatches(rows, counts, lengths)

    def count_matches(self, term_hashes: Sequence[int]) -> int:
        """Return the number of chunks that contain any of the terms."""
        spans = list(filter(None, map(self._find_span, term_hashes)))
        if len(spans) == 1 and not self.deleted_positions:
            ((start, end),) = spans
            return end - start
        joined = join_matches([self._read_matches(*span) for span in spans])
        return 0 if joined is None else len(joined.rows)

    def _find_languages(self) -> AbstractSet[str]:
        counts = {
            language: len(matches.rows)
            for language in ("", *TERM_LANGUAGES)
            if (matches := self.find_matches(hash_term(get_language_term(language)))) is not None
        }
        return counts.keys() | ({OLD_CHUNKS} if sum(counts.values()) < len(self) else set())

    def find_compounds(self, word: str, limit: int) -> Iterator[str]:
        """Yield up to *limit* words of the documents that have the folded *word* as a part."""
        return find_compounds(self._long_words, word, limit)

    def get_long_words(self) -> set[str]:
        """Return the words that can be compounds, including those of deleted documents."""
        return set(self._long_words.split())

    def get_chunk_reference(self, row: int) -> ChunkReference:
        position = int(self.document_positions[row])
        return ChunkReference(*self.documents[position], row - int(self.chunk_offsets[position]))

    def find_row(self, position: int, generation: int, ordinal: int) -> int | None:
        """Return the row of a chunk of the document at *position*; None for another generation."""
        if self.documents[position][1] != generation:
            return None
        row = int(self.chunk_offsets[position]) + ordinal
        return row if row < self.chunk_offsets[position + 1] else None

    def to_keys(self) -> Keys:
        """Return the sorted postings that the segment was built from."""
        hashes = np.repeat(self._hashes, np.diff(self._starts))
        return (hashes << np.uint64(_HASH_SHIFT)) | self._postings


def build_segments(postings: Iterable[Postings]) -> Iterator[Segment]:
    """Yield segments of about MAX_SEGMENT_POSTINGS postings each."""
    batch: list[Postings] = []
    batch_bytes = 0
    for document in postings:
        batch.append(document)
        batch_bytes += len(document.keys)
        if batch_bytes >= MAX_SEGMENT_POSTINGS * 8:
            yield _build_segment(batch)
            batch, batch_bytes = [], 0
    if batch:
        yield _build_segment(batch)


def merge_segments(segments: Sequence[Segment]) -> Segment:
    """Return one segment of the documents that are not deleted."""
    documents: list[tuple[str, int]] = []
    sizes: list[int] = []
    lengths: list[Floats] = []
    keys: list[Keys] = []
    rows = 0
    for segment in segments:
        is_live = segment.lengths != _DELETED
        chunk_counts = np.diff(segment.chunk_offsets)
        for position, document in enumerate(segment.documents):
            if position not in segment.deleted_positions:
                documents.append(document)
                sizes.append(int(chunk_counts[position]))
        lengths.append(segment.lengths[is_live])
        keys.append(_renumber_rows(segment.to_keys(), is_live, rows))
        rows += int(is_live.sum())
    long_words = set[str]().union(*(segment.get_long_words() for segment in segments))
    return Segment(documents, sizes, np.concatenate(lengths), np.concatenate(keys), long_words)


def _build_segment(batch: Sequence[Postings]) -> Segment:
    sizes = [len(document.lengths) // 4 for document in batch]
    first_rows = np.cumsum([0, *sizes[:-1]]).astype(np.uint64)
    length_bytes = b"".join(document.lengths for document in batch)
    lengths = np.frombuffer(length_bytes, "<u4").astype(np.float32)
    keys = np.frombuffer(b"".join(document.keys for document in batch), "<u8")
    row_offsets = np.repeat(first_rows, [len(document.keys) // 8 for document in batch])
    # The row of a chunk is its ordinal plus the first row of its document.
    row_keys = keys + (row_offsets << np.uint64(COUNT_BITS))
    documents = [(document.document_id, document.generation) for document in batch]
    long_words = {word for document in batch for word in document.long_words.split()}
    return Segment(documents, sizes, lengths, row_keys, long_words)


def _renumber_rows(keys: Keys, is_live: NDArray[np.bool_], first_row: int) -> Keys:
    """Return *keys* without deleted rows, the remaining rows numbered from *first_row*."""
    old_rows = (keys & _POSTING) >> np.uint64(COUNT_BITS)
    is_live_key = is_live[old_rows]
    new_rows = (np.cumsum(is_live) - 1 + first_row).astype(np.uint64)
    row_mask = np.uint64(((1 << CHUNK_BITS) - 1) << COUNT_BITS)
    without_rows = keys[is_live_key] & ~row_mask
    renumbered: Keys = without_rows | (new_rows[old_rows[is_live_key]] << np.uint64(COUNT_BITS))
    return renumbered
