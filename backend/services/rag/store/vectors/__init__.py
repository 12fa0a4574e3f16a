"""Vectors, in partitions that know nothing of one another.

A partition belongs to one knowledge collection and one embedding model. A collection belongs
to one tenant, so tenants are apart by construction and a search touches only what it may see.
The store knows ids; what is shown is decided by the tables.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

# Libraries whose modules import one another in circles fail when two threads import them at once.
IMPORTING = threading.Lock()

Row = NDArray[np.float32]
Rows = NDArray[np.float32]


class Stored(NamedTuple):
    """What a store knows of one vector."""

    id: str
    document_id: str
    generation: int


class VectorStore(Protocol):
    """Where vectors lie. Every method may raise VectorsUnavailable, and then did nothing or a
    part of its work, which may be done again."""

    def add(
        self, partition: str, document_id: str, generation: int, ids: Sequence[str], rows: Rows
    ) -> None:
        """Keep *rows* of length one under *ids*, in place of what stood under the same ids.

        The partition is made where there is none, as wide as the rows are.
        """
        ...

    def nearest(
        self, partition: str, vector: Row, limit: int, documents: Collection[str] | None = None
    ) -> dict[str, float]:
        """Ids and their cosines, best first; of *documents* alone where they are given."""
        ...

    def forget(self, partition: str, document_id: str, but_generation: int = 0) -> None:
        """Drop the document's vectors, but for one generation's."""
        ...

    def remove(self, partition: str, ids: Sequence[str]) -> None:
        """Drop the vectors of *ids*."""
        ...

    def drop(self, partition: str) -> None:
        """Drop the partition, if there is one."""
        ...

    def partitions(self) -> list[str]:
        """The names of all partitions."""
        ...

    def stored(self, partition: str) -> Iterator[Stored]:
        """Everything in the partition, for comparing with the tables."""
        ...

    def fetch(self, partition: str, ids: Sequence[str]) -> dict[str, Row]:
        """The vectors of those of *ids* that are there."""
        ...

    def check(self) -> None:
        """Raise unless the store answers."""
        ...

    def close(self) -> None:
        """Let go of connections and locks."""
        ...
