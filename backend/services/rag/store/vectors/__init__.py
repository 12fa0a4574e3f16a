"""Interface of vector stores.

Vectors are stored in independent partitions, one per document collection and embedding model. A
collection belongs to one tenant, so tenants are isolated by construction, and a search reads only
partitions that the caller may read. Stores contain ids only; the tables decide which chunks are
visible.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

# Libraries with circular imports fail when two threads import them at the same time.
IMPORT_LOCK = threading.Lock()

# Shape (dimensions,).
Vector = NDArray[np.float32]
# Shape (count, dimensions).
Vectors = NDArray[np.float32]


class StoredVector(NamedTuple):
    """Ids that are stored with a vector."""

    id: str
    document_id: str
    generation: int


class VectorStore(Protocol):
    """A vector store.

    Every method may raise VectorSearchUnavailable after none or a part of its work. All methods are
    idempotent and can be retried.
    """

    def add_vectors(
        self,
        partition: str,
        document_id: str,
        generation: int,
        ids: Sequence[str],
        vectors: Vectors,
    ) -> None:
        """Insert or replace the vectors of *ids*.

        Creates the partition with the dimensions of the vectors if it does not exist.

        Args:
            vectors: one row per id, of length 1.
        """
        ...

    def search_nearest(
        self,
        partition: str,
        vector: Vector,
        limit: int,
        document_ids: Collection[str] | None = None,
    ) -> dict[str, float]:
        """Return ids and their cosine similarity to *vector*, best first.

        Args:
            document_ids: restricts the search to these documents.
        """
        ...

    def delete_document(self, partition: str, document_id: str, keep_generation: int = 0) -> None:
        """Delete the vectors of the document, except those of *keep_generation*."""
        ...

    def delete_vectors(self, partition: str, ids: Sequence[str]) -> None:
        """Delete the vectors of *ids*. Unknown ids are ignored."""
        ...

    def drop_partition(self, partition: str) -> None:
        """Delete the partition, if it exists."""
        ...

    def list_partitions(self) -> list[str]:
        """Return the names of all partitions."""
        ...

    def iterate_vectors(self, partition: str) -> Iterator[StoredVector]:
        """Yield all vectors of the partition, to compare them with the tables."""
        ...

    def fetch_vectors(self, partition: str, ids: Sequence[str]) -> dict[str, Vector]:
        """Return the vectors of *ids* by id. Unknown ids are omitted."""
        ...

    def check_connection(self) -> None:
        """Raise an exception if the store does not respond."""
        ...

    def connect(self) -> None:
        """Open the store, so that the next call does not wait for a server or a library.

        Raises an exception if the store does not respond.
        """
        ...

    def close(self) -> None:
        """Close connections and release locks."""
        ...
