"""In-memory copies of small partitions, which are searched exactly.

Chroma needs one to two milliseconds of processor time for each search, also for a few dozen
vectors. To compare all of them takes a part of that, and misses none.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from backend.services.rag.store.vectors import Vector, Vectors

# A partition with more vectors is not copied. With 384 dimensions, the copy takes 3 MB.
MAX_PARTITION_VECTORS: Final = 2000
# Size of the vectors of all copies, and number of partitions of which it is known whether they are
# small.
_MAX_BYTES: Final = 16 * 2**20
_MAX_PARTITIONS: Final = 1000


class PartitionCopy(NamedTuple):
    """All vectors of a partition, with the ids of the chunks and documents of its rows."""

    ids: Sequence[str]
    document_ids: Sequence[str]
    vectors: Vectors

    def search_nearest(
        self, vector: Vector, limit: int, document_ids: Collection[str] | None
    ) -> dict[str, float]:
        """Return the cosine similarities of the *limit* nearest vectors by id, nearest first."""
        similarities = self.vectors @ vector
        rows = np.argsort(-similarities, kind="stable")
        if document_ids is not None:
            allowed = set(document_ids)
            rows = rows[[self.document_ids[row] in allowed for row in rows]]
        return {self.ids[row]: float(similarities[row]) for row in rows[:limit]}


# Returns a copy of a partition, or None if it is missing or has more vectors than the argument.
ReadPartition = Callable[[str, int], PartitionCopy | None]


@dataclass(slots=True)
class _Entry:
    """State of a partition since its last change: if it was read, and its copy if it is small."""

    is_read: bool = False
    copy: PartitionCopy | None = None

    @property
    def size(self) -> int:
        """Bytes of the vectors in memory."""
        return 0 if self.copy is None else self.copy.vectors.nbytes


class SmallPartitions:
    """Copies of the most recently searched small partitions. Shared between threads.

    Only for the process that alone changes the partitions: it calls `forget_partition` after each
    change. A partition is copied by its second search after a change, so that searches during an
    ingestion, which changes it all the time, do not read it again and again.
    """

    def __init__(self, read_partition: ReadPartition) -> None:
        self._read_partition = read_partition
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def find_copy(self, partition: str) -> PartitionCopy | None:
        """Return a copy of the partition, or None if the store has to be searched."""
        with self._lock:
            entry = self._entries.get(partition)
            if entry is None:
                self._entries[partition] = _Entry()
                self._evict_entries()
                return None
            self._entries.move_to_end(partition)
            if entry.is_read:
                return entry.copy
        copy = self._read_partition(partition, MAX_PARTITION_VECTORS)
        if copy is not None and copy.vectors.nbytes > _MAX_BYTES:
            copy = None
        with self._lock:
            # A change meanwhile has removed the entry. The copy is then not kept, but it contains
            # all changes that had been completed before this search.
            entry.is_read, entry.copy = True, copy
            self._evict_entries()
        return copy

    def forget_partition(self, partition: str) -> None:
        """Discard the copy of the partition, which has changed."""
        with self._lock:
            self._entries.pop(partition, None)

    def _evict_entries(self) -> None:
        """Remove the least recently used entries until the rest fits."""
        total = sum(entry.size for entry in self._entries.values())
        while total > _MAX_BYTES or len(self._entries) > _MAX_PARTITIONS:
            total -= self._entries.popitem(last=False)[1].size
