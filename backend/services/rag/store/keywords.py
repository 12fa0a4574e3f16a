"""The keyword index: BM25 over the passages of a collection, in memory.

Opened from the stored postings when a collection is first asked, brought up to the version
that the asker sees by what changed since, and dropped again when others are asked more. It
knows ids; what is shown is decided by the tables.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from backend.services.rag.store.chunks import chunk_id
from backend.services.rag.store.following import Following
from backend.services.rag.store.postings import Postings, term_hash
from backend.services.rag.store.segments import (
    MOST_POSTINGS,
    Floats,
    Matches,
    Segment,
    merged,
    segments_of,
)
from backend.services.rag.store.words import words

K1 = 1.2
B = 0.75
# A segment is merged with the one before it unless that is this many times as large.
_RATIO = 4


class Update(NamedTuple):
    """How to come to *version*: what changed, and of that what is shown now.

    *changed* is None where all of it is given, as for an index that is new.
    """

    version: int
    changed: Collection[str] | None
    shown: Iterable[Postings]


# The update of a collection from one version, or from None, to the present one.
CatchUp = Callable[[str, int | None], Update]


class KeywordIndex:
    """The passages of one collection by their words."""

    def __init__(self, documents: Iterable[Postings] = ()) -> None:
        self._segments: list[Segment] = []
        # Where a document is: the segment, and its position there.
        self._places: dict[str, tuple[Segment, int]] = {}
        self._terms = 0.0
        self.passages = 0
        self.add(documents)

    def __len__(self) -> int:
        """Passages that are held in memory."""
        return sum(map(len, self._segments))

    def add(self, documents: Iterable[Postings]) -> None:
        """Index *documents*; one that is there already is replaced."""
        for segment in segments_of(documents):
            for document_id, _ in segment.documents:
                self.forget(document_id)
            self._append(segment)
            self.passages += len(segment)
            self._terms += float(segment.lengths.sum(dtype=np.float64))
        self._merge()

    def forget(self, document_id: str) -> None:
        place = self._places.pop(document_id, None)
        if place is None:
            return
        segment, position = place
        first, last = segment.firsts[position : position + 2]
        self.passages -= int(last - first)
        self._terms -= float(segment.lengths[first:last].sum(dtype=np.float64))
        segment.forget(position)
        if segment.waste > len(segment) // 2:
            self._replace([segment])

    def best(
        self, query: str, limit: int, documents: Collection[str] | None = None
    ) -> dict[str, float]:
        """Passages and their BM25 scores, best first; of *documents* alone where given."""
        terms = Counter(map(term_hash, words(query)))
        found = [
            (count, [each.matches(term) for each in self._segments])
            for term, count in terms.items()
        ]
        scored = [np.zeros(len(each), np.float32) for each in self._segments]
        for count, parts in found:
            self._score(scored, count, parts)
        if documents is not None:
            self._keep(scored, documents)
        return self._top(scored, limit)

    def frequencies(self, terms: Iterable[str]) -> dict[str, int]:
        """How many passages say each term."""
        return {
            term: sum(
                len(part.rows)
                for each in self._segments
                if (part := each.matches(term_hash(term))) is not None
            )
            for term in terms
        }

    def _score(self, scored: Sequence[Floats], count: int, parts: Sequence[Matches | None]) -> None:
        frequency = sum(len(part.rows) for part in parts if part is not None)
        if frequency == 0:
            return
        rarity = _rarity(self.passages, frequency)
        short = np.float32(K1 * (1 - B))
        long = np.float32(K1 * B / max(self._terms / self.passages, 1.0))
        for scores, part in zip(scored, parts, strict=True):
            if part is not None:
                said = part.counts / (part.counts + short + long * part.lengths)
                scores[part.rows] += np.float32(count * rarity * (K1 + 1)) * said

    def _keep(self, scored: Sequence[Floats], documents: Collection[str]) -> None:
        kept = {id(each): np.zeros(len(each.documents), np.float32) for each in self._segments}
        for document_id in documents:
            if place := self._places.get(document_id):
                kept[id(place[0])][place[1]] = 1
        for segment, scores in zip(self._segments, scored, strict=True):
            scores *= kept[id(segment)][segment.owners]

    def _top(self, scored: Sequence[Floats], limit: int) -> dict[str, float]:
        best: list[tuple[float, str]] = []
        for segment, scores in zip(self._segments, scored, strict=True):
            rows = np.flatnonzero(scores)
            if len(rows) > limit:
                rows = rows[np.argpartition(scores[rows], -limit)[-limit:]]
            best.extend((-float(scores[row]), chunk_id(*segment.named(int(row)))) for row in rows)
        return {key: -score for score, key in sorted(best)[:limit]}

    def _merge(self) -> None:
        """Keep few segments: each much larger than the one behind it, or as large as may be."""
        while len(self._segments) > 1:
            before, last = self._segments[-2:]
            small = before.size + last.size <= MOST_POSTINGS
            if not small or before.size > _RATIO * last.size:
                return
            self._replace([before, last])

    def _replace(self, segments: Sequence[Segment]) -> None:
        self._segments = [each for each in self._segments if each not in segments]
        self._append(merged(segments))

    def _append(self, segment: Segment) -> None:
        self._segments.append(segment)
        for position, (document_id, _) in enumerate(segment.documents):
            self._places[document_id] = segment, position


class KeywordIndexes:
    """The indexes of the collections asked last, up to *most* passages in all."""

    def __init__(self, catch_up: CatchUp, most: int) -> None:
        self._catch_up = catch_up
        self._open = Following(self._caught_up, most)

    def best(
        self,
        collection_id: str,
        version: int,
        query: str,
        limit: int,
        documents: Collection[str] | None = None,
    ) -> dict[str, float]:
        """The best of the collection as it stands at *version* or later."""
        with self._open.at(collection_id, version) as index:
            return index.best(query, limit, documents)

    def rarity(self, within: Mapping[str, int], query: str) -> dict[str, float]:
        """The weight of each of the query's terms over the collections, by their versions.

        One that no passage says has the greatest.
        """
        terms = set(words(query))
        frequencies = dict.fromkeys(terms, 0)
        passages = 0
        for collection_id, version in within.items():
            with self._open.at(collection_id, version) as index:
                for term, count in index.frequencies(terms).items():
                    frequencies[term] += count
                passages += index.passages
        return {term: _rarity(passages, count) for term, count in frequencies.items()}

    def _caught_up(
        self, collection_id: str, index: KeywordIndex | None, version: int
    ) -> tuple[KeywordIndex, int]:
        update = self._catch_up(collection_id, None if index is None else version)
        if index is None or update.changed is None:
            return KeywordIndex(update.shown), update.version
        for document_id in update.changed:
            index.forget(document_id)
        index.add(update.shown)
        return index, update.version


def _rarity(passages: int, frequency: int) -> float:
    return math.log(1 + (passages - frequency + 0.5) / (frequency + 0.5))
