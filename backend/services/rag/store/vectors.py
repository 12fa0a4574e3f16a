"""The vector index: one Chroma collection for each knowledge collection.

A knowledge collection belongs to one tenant, so tenants are apart by construction, and a
search touches only the vectors it may see. The index knows ids; what is shown is decided by
the tables.
"""

import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection as ChromaCollection

Vectors = NDArray[np.float32]
_BATCH = 1000


class VectorIndex:
    """Nearest passages by meaning. Opens at its first use, in one process at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opening = threading.Lock()
        self._opened: ClientAPI | None = None

    def add(
        self,
        collection_id: str,
        document_id: str,
        generation: int,
        ids: Sequence[str],
        rows: Vectors,
    ) -> None:
        index = self._client.get_or_create_collection(
            collection_id, configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )
        for start in range(0, len(ids), _BATCH):
            part = list(ids[start : start + _BATCH])
            index.upsert(
                ids=part,
                embeddings=rows[start : start + _BATCH],
                metadatas=[{"document_id": document_id, "generation": generation}] * len(part),
            )

    def nearest(
        self,
        collection_id: str,
        vector: NDArray[np.float32],
        limit: int,
        documents: Collection[str] | None = None,
    ) -> dict[str, float]:
        """Passages and their cosines; of *documents* alone where they are given."""
        index = self._find(collection_id)
        if index is None or (documents is not None and not documents):
            return {}
        within: Any = None if documents is None else {"document_id": {"$in": list(documents)}}
        found = index.query(
            query_embeddings=np.array([vector]),
            n_results=limit,
            where=within,
            include=["distances"],
        )
        distances = found["distances"] or [[]]
        return {
            key: 1.0 - distance for key, distance in zip(found["ids"][0], distances[0], strict=True)
        }

    def forget(self, collection_id: str, document_id: str, but_generation: int = 0) -> None:
        """Drop the document's vectors, but for one generation's."""
        index = self._find(collection_id)
        if index is not None:
            others: Any = {"generation": {"$ne": but_generation}}
            index.delete(where={"$and": [{"document_id": document_id}, others]})

    def drop(self, collection_id: str) -> None:
        if self._find(collection_id) is not None:
            self._client.delete_collection(collection_id)

    def check(self) -> None:
        """Raise unless the index answers."""
        self._client.heartbeat()

    def _find(self, collection_id: str) -> "ChromaCollection | None":
        from chromadb.errors import NotFoundError

        try:
            return self._client.get_collection(collection_id, embedding_function=None)
        except NotFoundError:
            return None

    @property
    def _client(self) -> "ClientAPI":
        # Imported here: it takes a second, which tests and tools of other parts need not wait.
        with self._opening:
            if self._opened is None:
                import chromadb
                from chromadb.config import Settings

                self._folder.mkdir(parents=True, exist_ok=True)
                settings = Settings(anonymized_telemetry=False)
                self._opened = chromadb.PersistentClient(self._folder, settings)
            return self._opened
