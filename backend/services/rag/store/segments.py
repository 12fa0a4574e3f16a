"""Postings turned round: for each term the passages that say it, in flat arrays.

Four bytes a posting; what is deleted stays until its segment is merged with another, with a
length that makes its score nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.services.rag.store.postings import COUNT_BITS, PLACE_BITS, Postings

# A segment of this many postings (some 20,000 passages) is sorted in a tenth of a second.
MOST_POSTINGS = 2**21
_HASH_SHIFT = PLACE_BITS + COUNT_BITS
_POSTING = np.uint64((1 << _HASH_SHIFT) - 1)
_COUNT = np.uint32((1 << COUNT_BITS) - 1)
_GONE = np.float32(np.inf)

Keys = NDArray[np.uint64]
Floats = NDArray[np.float32]
Rows = NDArray[np.uint32]


class Named(NamedTuple):
    """A passage by the document it stands in and its place there."""

    document_id: str
    generation: int
    place: int


class Matches(NamedTuple):
    """The passages of a segment that say a term, how often each does, and how long they are."""

    rows: Rows
    counts: Floats
    lengths: Floats


class Segment:
    """Documents that were indexed together."""

    def __init__(
        self,
        documents: Sequence[tuple[str, int]],
        sizes: Sequence[int],
        lengths: Floats,
        keys: Keys,
    ) -> None:
        """*sizes*: how many passages each document has; *keys*: postings with rows for places."""
        self.documents = documents
        self.firsts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.lengths = lengths
        self.owners = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        self.gone: set[int] = set()
        keys.sort()
        hashes = keys >> np.uint64(_HASH_SHIFT)
        starts = np.flatnonzero(np.diff(hashes, prepend=hashes[:1] + np.uint64(1)))
        self._hashes = hashes[starts]
        self._starts = np.append(starts, len(keys))
        self._postings = (keys & _POSTING).astype(np.uint32)

    def __len__(self) -> int:
        """Passages, those that are gone among them."""
        return len(self.lengths)

    @property
    def size(self) -> int:
        """Postings."""
        return len(self._postings)

    @property
    def waste(self) -> int:
        return sum(int(self.firsts[each + 1] - self.firsts[each]) for each in self.gone)

    def forget(self, position: int) -> None:
        """Take the document at *position* out of every answer."""
        self.gone.add(position)
        self.lengths[self.firsts[position] : self.firsts[position + 1]] = _GONE

    def matches(self, term: int) -> Matches | None:
        at = int(np.searchsorted(self._hashes, np.uint64(term)))
        if at == len(self._hashes) or self._hashes[at] != term:
            return None
        postings = self._postings[self._starts[at] : self._starts[at + 1]]
        rows = postings >> np.uint32(COUNT_BITS)
        lengths = self.lengths[rows]
        counts = (postings & _COUNT).astype(np.float32)
        if self.gone:
            alive = lengths != _GONE
            return Matches(rows[alive], counts[alive], lengths[alive])
        return Matches(rows, counts, lengths)

    def named(self, row: int) -> Named:
        owner = int(self.owners[row])
        return Named(*self.documents[owner], row - int(self.firsts[owner]))

    def keys(self) -> Keys:
        """The postings as they were given, sorted."""
        terms = np.repeat(self._hashes, np.diff(self._starts))
        return (terms << np.uint64(_HASH_SHIFT)) | self._postings


def segments_of(documents: Iterable[Postings]) -> Iterator[Segment]:
    """*documents* in segments of about MOST_POSTINGS each."""
    batch: list[Postings] = []
    bytes_held = 0
    for each in documents:
        batch.append(each)
        bytes_held += len(each.keys)
        if bytes_held >= MOST_POSTINGS * 8:
            yield _segment(batch)
            batch, bytes_held = [], 0
    if batch:
        yield _segment(batch)


def merged(segments: Sequence[Segment]) -> Segment:
    """One segment of what is not gone."""
    documents: list[tuple[str, int]] = []
    sizes: list[int] = []
    lengths: list[Floats] = []
    keys: list[Keys] = []
    rows = 0
    for each in segments:
        alive = each.lengths != _GONE
        kept = [at for at in range(len(each.documents)) if at not in each.gone]
        documents.extend(each.documents[at] for at in kept)
        sizes.extend(int(each.firsts[at + 1] - each.firsts[at]) for at in kept)
        lengths.append(each.lengths[alive])
        keys.append(_moved(each.keys(), alive, rows))
        rows += int(alive.sum())
    return Segment(documents, sizes, np.concatenate(lengths), np.concatenate(keys))


def _segment(batch: Sequence[Postings]) -> Segment:
    sizes = [len(each.lengths) // 4 for each in batch]
    firsts = np.cumsum([0, *sizes[:-1]]).astype(np.uint64)
    lengths = np.frombuffer(b"".join(each.lengths for each in batch), "<u4").astype(np.float32)
    keys = np.frombuffer(b"".join(each.keys for each in batch), "<u8")
    offsets = np.repeat(firsts, [len(each.keys) // 8 for each in batch])
    placed = keys + (offsets << np.uint64(COUNT_BITS))
    documents = [(each.document_id, each.generation) for each in batch]
    return Segment(documents, sizes, lengths, placed)


def _moved(keys: Keys, alive: NDArray[np.bool_], by: int) -> Keys:
    """*keys* without the rows that are gone, the others counted from *by* on."""
    places = (keys & _POSTING) >> np.uint64(COUNT_BITS)
    stay = alive[places]
    rows = (np.cumsum(alive) - 1 + by).astype(np.uint64)
    rest = np.uint64(((1 << PLACE_BITS) - 1) << COUNT_BITS)
    moved: Keys = (keys[stay] & ~rest) | (rows[places[stay]] << np.uint64(COUNT_BITS))
    return moved
