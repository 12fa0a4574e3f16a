"""In-memory BM25 index of the chunks of a collection (Robertson and Zaragoza, 2009).

An index is loaded from the stored postings on the first search of a collection, updated with the
changes up to the version that the searcher sees, and evicted when other collections are searched
more recently. It contains ids only; the tables decide which chunks are visible.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from backend.ai.text.compounds import find_parts, is_long_word
from backend.ai.text.terms import stem_folded
from backend.services.rag.store.chunks import build_chunk_id, parse_chunk_id
from backend.services.rag.store.keyword_index.postings import Postings, hash_term
from backend.services.rag.store.keyword_index.queries import get_folded_words, parse_query
from backend.services.rag.store.keyword_index.segments import (
    MAX_SEGMENT_POSTINGS,
    Floats,
    Segment,
    TermMatches,
    build_segments,
    join_matches,
    merge_segments,
)
from backend.services.rag.store.versioned_cache import VersionedCache

# Parameters of BM25: saturation of term frequency, and length normalization.
K1 = 1.2
B = 0.75
# Upper bound of the score of one term, relative to its inverse document frequency.
MAX_TERM_SCORE = K1 + 1
# A compound with a query word, or a part of a query word that is a compound, scores this share of
# the score of the word.
_COMPOUND_WEIGHT = 0.5
# Maximum number of compounds of one word that are looked up in a segment.
_MAX_COMPOUNDS = 100
# Two neighbouring segments are merged unless the older one is this many times larger.
_MERGE_RATIO = 4


class IndexUpdate(NamedTuple):
    """Changes that bring an index to *version*.

    *changed_ids* are the ids of changed and deleted documents; *postings* are those of the visible
    documents among them. If *changed_ids* is None, *postings* is the complete collection.
    """

    version: int
    changed_ids: Collection[str] | None
    postings: Iterable[Postings]


# Returns the changes of a collection since a version, or its complete content for None.
LoadUpdate = Callable[[str, int | None], IndexUpdate]


class KeywordIndex:
    """BM25 index of the chunks of one collection."""

    def __init__(self, postings: Iterable[Postings] = ()) -> None:
        self._segments: list[Segment] = []
        # Segment of each document, and its position in the segment.
        self._locations: dict[str, tuple[Segment, int]] = {}
        self._term_count = 0.0
        self.chunk_count = 0
        self.add_documents(postings)

    def __len__(self) -> int:
        """Number of chunks in memory, including deleted ones."""
        return sum(map(len, self._segments))

    def add_documents(self, postings: Iterable[Postings]) -> None:
        """Index documents, replacing those with the same ids."""
        for segment in build_segments(postings):
            for document_id, _ in segment.documents:
                self.delete_document(document_id)
            self._append_segment(segment)
            self.chunk_count += len(segment)
            self._term_count += float(segment.lengths.sum(dtype=np.float64))
        self._merge_small_segments()

    def delete_document(self, document_id: str) -> None:
        """Delete the document, if it is indexed."""
        location = self._locations.pop(document_id, None)
        if location is None:
            return
        segment, position = location
        first, end = segment.chunk_offsets[position : position + 2]
        self.chunk_count -= int(end - first)
        self._term_count -= float(segment.lengths[first:end].sum(dtype=np.float64))
        segment.mark_deleted(position)
        if segment.deleted_chunk_count > len(segment) // 2:
            self._replace_segments([segment])

    def search_chunks(
        self,
        query: str,
        limit: int,
        document_ids: Collection[str] | None = None,
        scored_ids: Collection[str] = (),
    ) -> dict[str, float]:
        """Return chunk ids and their BM25 scores: the best ones first, then those of *scored_ids*.

        Args:
            document_ids: restricts the search to these documents.
            scored_ids: further chunks, whose scores are returned if they contain a query term.
        """
        _, words = parse_query(query)
        languages = self.get_languages()
        scores = [np.zeros(len(segment), np.float32) for segment in self._segments]
        for word in words:
            if terms := word.get_terms(languages):
                self._add_scores(scores, word.count, self._find_any(map(hash_term, terms)))
        for related_hashes in self._find_related_terms(get_folded_words(words), languages):
            self._add_scores(scores, _COMPOUND_WEIGHT, self._find_any(related_hashes))
        if document_ids is not None:
            self._zero_other_documents(scores, document_ids)
        best = self._select_best(scores, limit)
        further = [chunk_id for chunk_id in scored_ids if chunk_id not in best]
        return best | dict(self._get_scores(scores, further))

    def get_languages(self) -> tuple[str, ...]:
        """Return the languages that terms of the chunks were extracted for; "" is unknown."""
        return tuple(sorted({code for segment in self._segments for code in segment.languages}))

    def count_chunks(self, term_hashes: Iterable[int]) -> int:
        """Return the number of chunks that contain any of the terms."""
        hashes = list(term_hashes)
        return sum(segment.count_matches(hashes) for segment in self._segments)

    def _find_any(self, term_hashes: Iterable[int]) -> list[TermMatches | None]:
        """Return the chunks of each segment that contain any of the terms."""
        hashes = list(term_hashes)
        if len(hashes) == 1:
            return [segment.find_matches(hashes[0]) for segment in self._segments]
        return [
            join_matches(list(filter(None, map(segment.find_matches, hashes))))
            for segment in self._segments
        ]

    def _find_related_terms(
        self, words: Iterable[str], languages: tuple[str, ...]
    ) -> Iterator[frozenset[int]]:
        """Yield hashes of compounds with one of the folded *words*, or hashes of its own parts."""
        for word in words:
            own_hashes = _hash_word(word, languages)
            compounds = {
                compound
                for segment in self._segments
                for compound in segment.find_compounds(word, _MAX_COMPOUNDS)
            }
            hashes = (_hash_word(compound, languages) for compound in compounds)
            if related := frozenset().union(*hashes) - own_hashes:
                yield related
            elif is_long_word(word) and not self.count_chunks(own_hashes):
                parts = find_parts(
                    word, lambda part: self.count_chunks(_hash_word(part, languages)) > 0
                )
                yield from (_hash_word(part, languages) for part in parts)

    def _add_scores(
        self,
        scores: Sequence[Floats],
        query_count: float,
        matches_by_segment: Sequence[TermMatches | None],
    ) -> None:
        """Add the score of one query term, which occurs *query_count* times in the query."""
        frequency = sum(len(matches.rows) for matches in matches_by_segment if matches is not None)
        if frequency == 0:
            return
        idf = _inverse_document_frequency(self.chunk_count, frequency)
        weight = np.float32(query_count * idf * (K1 + 1))
        constant_norm = np.float32(K1 * (1 - B))
        mean_length = max(self._term_count / self.chunk_count, 1.0)
        length_norm = np.float32(K1 * B / mean_length)
        for segment_scores, matches in zip(scores, matches_by_segment, strict=True):
            if matches is not None:
                counts = matches.counts
                saturated = counts / (counts + constant_norm + length_norm * matches.lengths)
                segment_scores[matches.rows] += weight * saturated

    def _zero_other_documents(
        self, scores: Sequence[Floats], document_ids: Collection[str]
    ) -> None:
        """Set the scores of chunks of other documents than *document_ids* to zero."""
        masks = {
            id(segment): np.zeros(len(segment.documents), np.float32) for segment in self._segments
        }
        for document_id in document_ids:
            if location := self._locations.get(document_id):
                segment, position = location
                masks[id(segment)][position] = 1
        for segment, segment_scores in zip(self._segments, scores, strict=True):
            segment_scores *= masks[id(segment)][segment.document_positions]

    def _select_best(self, scores: Sequence[Floats], limit: int) -> dict[str, float]:
        best: list[tuple[float, str]] = []
        for segment, segment_scores in zip(self._segments, scores, strict=True):
            rows = np.flatnonzero(segment_scores)
            if len(rows) > limit:
                rows = rows[np.argpartition(segment_scores[rows], -limit)[-limit:]]
            for row in rows:
                chunk_id = build_chunk_id(*segment.get_chunk_reference(int(row)))
                best.append((-float(segment_scores[row]), chunk_id))
        return {chunk_id: -score for score, chunk_id in sorted(best)[:limit]}

    def _get_scores(
        self, scores: Sequence[Floats], chunk_ids: Iterable[str]
    ) -> Iterator[tuple[str, float]]:
        """Yield those of *chunk_ids* that have a score, with it."""
        scores_by_segment = dict(zip(map(id, self._segments), scores, strict=True))
        for chunk_id in chunk_ids:
            document_id, generation, ordinal = parse_chunk_id(chunk_id)
            if location := self._locations.get(document_id):
                segment, position = location
                row = segment.find_row(position, generation, ordinal)
                if row is not None and (score := float(scores_by_segment[id(segment)][row])):
                    yield chunk_id, score

    def _merge_small_segments(self) -> None:
        """Merge the last two segments while their sizes are similar and their sum is allowed."""
        while len(self._segments) > 1:
            previous, last = self._segments[-2:]
            is_mergeable = previous.posting_count + last.posting_count <= MAX_SEGMENT_POSTINGS
            if not is_mergeable or previous.posting_count > _MERGE_RATIO * last.posting_count:
                return
            self._replace_segments([previous, last])

    def _replace_segments(self, segments: Sequence[Segment]) -> None:
        """Replace *segments* with one segment of those documents that are not deleted."""
        self._segments = [segment for segment in self._segments if segment not in segments]
        self._append_segment(merge_segments(segments))

    def _append_segment(self, segment: Segment) -> None:
        self._segments.append(segment)
        for position, (document_id, _) in enumerate(segment.documents):
            self._locations[document_id] = segment, position


class QueryTermWeights(NamedTuple):
    """The terms of a query in the searched collections.

    Attributes:
        by_term: inverse document frequency of each term. A term that occurs in no chunk has the
            highest one.
        coverage: share of the query's terms that the collections contain, weighted by their
            inverse document frequency, from 0 to 1. It is 0 for a query without terms.
    """

    by_term: Mapping[str, float]
    coverage: float


class KeywordIndexCache:
    """Indexes of the most recently searched collections, up to *max_chunks* chunks in total."""

    def __init__(self, load_update: LoadUpdate, max_chunks: int) -> None:
        self._load_update = load_update
        self._indexes = VersionedCache(self._refresh, max_chunks)

    def search_chunks(
        self,
        collection_id: str,
        version: int,
        query: str,
        limit: int,
        document_ids: Collection[str] | None = None,
        scored_ids: Collection[str] = (),
    ) -> dict[str, float]:
        """Search the collection at *version* or newer; see `KeywordIndex.search_chunks`."""
        with self._indexes.get(collection_id, version) as index:
            return index.search_chunks(query, limit, document_ids, scored_ids)

    def weigh_terms(self, versions: Mapping[str, int], query: str) -> "QueryTermWeights":
        """Return the weights of the terms of *query* over several collections.

        Args:
            versions: minimum version by collection id.
        """
        weights: dict[str, float] = {}
        known = total = 0.0
        for terms, count, chunk_count in self._count_terms(versions, query):
            idf = _inverse_document_frequency(chunk_count, count)
            weights |= dict.fromkeys(terms, idf)
            total += idf
            known += idf if count else 0.0
        return QueryTermWeights(weights, known / total if total else 0.0)

    def _count_terms(
        self, versions: Mapping[str, int], query: str
    ) -> Iterator[tuple[frozenset[str], int, int]]:
        """Yield the forms of each query term, how many chunks contain one, and all chunks."""
        language, words = parse_query(query)
        counts = [0] * len(words)
        forms = [set(word.get_terms((language,))) for word in words]
        chunk_count = 0
        for collection_id, version in versions.items():
            with self._indexes.get(collection_id, version) as index:
                languages = index.get_languages()
                for position, word in enumerate(words):
                    terms = word.get_terms(languages)
                    counts[position] += index.count_chunks(map(hash_term, terms))
                    forms[position] |= terms
                chunk_count += index.chunk_count
        for all_terms, count in zip(forms, counts, strict=True):
            if all_terms:
                yield frozenset(all_terms), count, chunk_count

    def _refresh(
        self, collection_id: str, index: KeywordIndex | None, version: int
    ) -> tuple[KeywordIndex, int]:
        update = self._load_update(collection_id, None if index is None else version)
        if index is None or update.changed_ids is None:
            return KeywordIndex(update.postings), update.version
        for document_id in update.changed_ids:
            index.delete_document(document_id)
        index.add_documents(update.postings)
        return index, update.version


@lru_cache(maxsize=10_000)
def _hash_word(word: str, languages: tuple[str, ...]) -> frozenset[int]:
    """Return the hashes of the terms of the folded *word* in all *languages*."""
    return frozenset(hash_term(stem_folded(word, language)) for language in languages)


def _inverse_document_frequency(chunk_count: int, frequency: int) -> float:
    return math.log(1 + (chunk_count - frequency + 0.5) / (frequency + 0.5))
