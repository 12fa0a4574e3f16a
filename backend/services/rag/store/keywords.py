"""The keyword index: BM25 over the passages of a collection, in memory.

Rebuilt from the passages when a collection is first asked, kept up to date after that, and
dropped again when others are asked more. It knows ids; what is shown is decided by the tables.
"""

import math
import threading
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.services.rag.store.words import words

K1 = 1.2
B = 0.75


class Entry(NamedTuple):
    """One passage as the index sees it."""

    chunk_id: str
    document_id: str
    text: str


class KeywordIndex:
    """The passages of one collection by their words."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._documents: list[str] = []
        self._rows: dict[str, list[int]] = {}
        self._lengths = array("f")
        self._alive = array("b")
        # For each term the rows that hold it, and how often each does.
        self._postings: dict[str, tuple[array[int], array[float]]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def waste(self) -> int:
        """Rows that are kept although their documents are gone."""
        return len(self._alive) - sum(self._alive)

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            row = len(self._ids)
            terms = words(entry.text)
            self._ids.append(entry.chunk_id)
            self._documents.append(entry.document_id)
            self._rows.setdefault(entry.document_id, []).append(row)
            self._lengths.append(len(terms))
            self._alive.append(1)
            for term, count in Counter(terms).items():
                rows, counts = self._postings.setdefault(term, (array("I"), array("f")))
                rows.append(row)
                counts.append(count)

    def forget(self, document_id: str) -> None:
        for row in self._rows.pop(document_id, ()):
            self._alive[row] = 0

    def best(
        self, query: str, limit: int, documents: Collection[str] | None = None
    ) -> dict[str, float]:
        """Passages and their BM25 scores; of *documents* alone where they are given."""
        scores = self._scores(words(query))
        if scores is None:
            return {}
        scores[np.array(self._alive) == 0] = 0.0
        if documents is not None:
            allowed = [row for name in documents for row in self._rows.get(name, ())]
            kept = np.zeros_like(scores)
            kept[allowed] = scores[allowed]
            scores = kept
        top = np.argsort(-scores, kind="stable")[:limit]
        return {self._ids[row]: float(scores[row]) for row in top if scores[row] > 0}

    def _scores(self, terms: Sequence[str]) -> NDArray[np.float32] | None:
        known = [term for term in terms if term in self._postings]
        if not known:
            return None
        lengths = np.array(self._lengths)
        norms = K1 * (1 - B + B * lengths / max(float(lengths.mean()), 1.0))
        scores = np.zeros(len(self._ids), np.float32)
        for term, weight in Counter(known).items():
            rows, counts = (np.array(column) for column in self._postings[term])
            rarity = math.log(1 + (len(self._ids) - len(rows) + 0.5) / (len(rows) + 0.5))
            scores[rows] += weight * rarity * counts * (K1 + 1) / (counts + norms[rows])
        return scores


class KeywordIndexes:
    """The indexes of the collections asked last, up to *most* passages in all."""

    def __init__(self, load: Callable[[str], Iterable[Entry]], most: int) -> None:
        self._load = load
        self._most = most
        self._lock = threading.RLock()
        self._open: OrderedDict[str, KeywordIndex] = OrderedDict()

    def best(
        self, collection_id: str, query: str, limit: int, documents: Collection[str] | None = None
    ) -> dict[str, float]:
        with self._lock:
            return self._opened(collection_id).best(query, limit, documents)

    def replace(self, collection_id: str, document_id: str, entries: Iterable[Entry]) -> None:
        """Index *entries* as all there is of the document. One not open will read them later."""
        with self._lock:
            index = self._open.get(collection_id)
            if index is not None:
                index.forget(document_id)
                index.add(entries)

    def forget(self, collection_id: str, document_id: str) -> None:
        with self._lock:
            index = self._open.get(collection_id)
            if index is None:
                return
            index.forget(document_id)
            if index.waste > len(index) // 2:
                del self._open[collection_id]  # cheaper to read anew than to carry along

    def drop(self, collection_id: str) -> None:
        with self._lock:
            self._open.pop(collection_id, None)

    def _opened(self, collection_id: str) -> KeywordIndex:
        index = self._open.get(collection_id)
        if index is None:
            index = KeywordIndex()
            index.add(self._load(collection_id))
            self._open[collection_id] = index
        self._open.move_to_end(collection_id)
        while len(self._open) > 1 and sum(map(len, self._open.values())) > self._most:
            self._open.popitem(last=False)
        return index
