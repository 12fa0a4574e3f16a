"""Vector store in Chroma: a server shared by several processes, or embedded in this process."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from backend.services.rag.store.vectors import StoredVector, Vector, Vectors
from backend.services.rag.store.vectors.small_partitions import PartitionCopy

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection as ChromaCollection
    from chromadb.api.types import GetResult

T = TypeVar("T")

_WRITE_BATCH_SIZE = 250
_READ_BATCH_SIZE = 2000
# Searches request 100 hits, for which Chroma would examine only 100 candidates by default.
# benchmarks/rag/stores.py measures recall and cost of more candidates.
_HNSW: Any = {"space": "cosine", "ef_search": 400, "ef_construction": 200, "max_neighbors": 16}


class ChromaStore:
    """Connects on first use, and again after a failed connection.

    Args:
        connect: returns a client, or raises VectorSearchUnavailable.
        disconnect: called after the client was closed.
    """

    def __init__(self, connect: Callable[[], "ClientAPI"], disconnect: Callable[[], None]) -> None:
        self._connect = connect
        self._disconnect = disconnect
        self._client_lock = threading.Lock()
        self._open_client: ClientAPI | None = None
        # Collections by partition, cached because a lookup costs a round trip per search.
        self._collections: dict[str, ChromaCollection] = {}

    def add_vectors(
        self,
        partition: str,
        document_id: str,
        generation: int,
        ids: Sequence[str],
        vectors: Vectors,
    ) -> None:
        # Created again for each call: another process may have dropped it meanwhile.
        collection = self._client.get_or_create_collection(
            partition, configuration={"hnsw": _HNSW}, embedding_function=None
        )
        # Texts are not stored: they are in the tables, and here they would only slow down reads.
        for start in range(0, len(ids), _WRITE_BATCH_SIZE):
            batch = list(ids[start : start + _WRITE_BATCH_SIZE])
            collection.upsert(
                ids=batch,
                embeddings=vectors[start : start + _WRITE_BATCH_SIZE],
                metadatas=[{"document_id": document_id, "generation": generation} for _ in batch],
            )

    def search_nearest(
        self,
        partition: str,
        vector: Vector,
        limit: int,
        document_ids: Collection[str] | None = None,
    ) -> dict[str, float]:
        if document_ids is not None and not document_ids:
            return {}
        where: Any = None if document_ids is None else {"document_id": {"$in": list(document_ids)}}
        # LangChain's search is not used: it also reads texts and omits hits without text.
        result = self._with_collection(
            partition,
            lambda collection: collection.query(
                query_embeddings=vector[None, :],
                n_results=limit,
                where=where,
                include=["distances"],
            ),
        )
        if result is None:
            return {}
        (ids,), (distances,) = result["ids"], result["distances"] or [[]]
        return {chunk_id: 1.0 - distance for chunk_id, distance in zip(ids, distances, strict=True)}

    def read_partition(self, partition: str, max_vectors: int) -> PartitionCopy | None:
        """Return all vectors of the partition; None if it is missing or has more of them."""
        page = self._with_collection(partition, partial(_read_all, max_vectors=max_vectors))
        if page is None:
            return None
        document_ids = [str(metadata["document_id"]) for metadata in page["metadatas"] or []]
        return PartitionCopy(page["ids"], document_ids, np.asarray(page["embeddings"], np.float32))

    def delete_document(self, partition: str, document_id: str, keep_generation: int = 0) -> None:
        other_generations: Any = {"generation": {"$ne": keep_generation}}
        where: Any = {"$and": [{"document_id": document_id}, other_generations]}
        self._with_collection(partition, lambda collection: collection.delete(where=where))

    def delete_vectors(self, partition: str, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _WRITE_BATCH_SIZE):
            batch = list(ids[start : start + _WRITE_BATCH_SIZE])
            self._with_collection(partition, partial(_delete_ids, ids=batch))

    def drop_partition(self, partition: str) -> None:
        client = self._client
        from chromadb.errors import NotFoundError

        self._collections.pop(partition, None)
        try:
            client.delete_collection(partition)
        except NotFoundError:
            return

    def list_partitions(self) -> list[str]:
        names: list[str] = []
        while True:
            page = self._client.list_collections(limit=_READ_BATCH_SIZE, offset=len(names))
            names += [collection.name for collection in page]
            if len(page) < _READ_BATCH_SIZE:
                return names

    def iterate_vectors(self, partition: str) -> Iterator[StoredVector]:
        offset, page_size = 0, _READ_BATCH_SIZE
        while page_size == _READ_BATCH_SIZE:
            page = self.list_vectors(partition, offset)
            yield from page
            page_size = len(page)
            offset += page_size

    def list_vectors(self, partition: str, offset: int) -> list[StoredVector]:
        """Return up to 2,000 vectors of the partition after the first *offset*."""
        page = self._with_collection(partition, partial(_read_page, offset=offset))
        if page is None:
            return []
        return [
            StoredVector(chunk_id, str(metadata["document_id"]), int(str(metadata["generation"])))
            for chunk_id, metadata in zip(page["ids"], page["metadatas"] or [], strict=True)
        ]

    def fetch_vectors(self, partition: str, ids: Sequence[str]) -> dict[str, Vector]:
        vectors: dict[str, Vector] = {}
        for start in range(0, len(ids), _WRITE_BATCH_SIZE):
            batch = list(ids[start : start + _WRITE_BATCH_SIZE])
            page = self._with_collection(partition, partial(_read_vectors, ids=batch))
            if page is None:
                return vectors
            embeddings = np.asarray(page["embeddings"], np.float32)
            vectors |= dict(zip(page["ids"], embeddings, strict=True))
        return vectors

    def check_connection(self) -> None:
        self._client.heartbeat()

    def connect(self) -> None:
        self.check_connection()

    def close(self) -> None:
        with self._client_lock:
            self._collections.clear()
            client: Any = self._open_client  # ClientAPI does not declare close()
            self._open_client = None
        if client is not None:
            client.close()
        self._disconnect()

    def _with_collection(
        self, partition: str, operation: "Callable[[ChromaCollection], T]"
    ) -> T | None:
        """Return the result of *operation* on the partition, or None if it does not exist.

        Looks the collection up again if its id is outdated: a partition that was dropped and
        created again has another id.
        """
        # Connect before the import below: two threads must not import chromadb at the same time.
        client = self._client
        from chromadb.errors import NotFoundError

        collection = self._collections.get(partition)
        if collection is not None:
            try:
                return operation(collection)
            except NotFoundError:
                self._collections.pop(partition, None)
        try:
            collection = client.get_collection(partition, embedding_function=None)
            self._collections[partition] = collection
            return operation(collection)
        except NotFoundError:
            return None

    @property
    def _client(self) -> "ClientAPI":
        with self._client_lock:
            if self._open_client is None:
                self._open_client = self._connect()
            return self._open_client


def _delete_ids(collection: "ChromaCollection", ids: list[str]) -> None:
    collection.delete(ids=ids)


def _read_vectors(collection: "ChromaCollection", ids: list[str]) -> "GetResult":
    return collection.get(ids=ids, include=["embeddings"])


def _read_all(collection: "ChromaCollection", max_vectors: int) -> "GetResult | None":
    if not 0 < collection.count() <= max_vectors:
        return None
    page = collection.get(limit=max_vectors + 1, include=["embeddings", "metadatas"])
    return page if len(page["ids"]) <= max_vectors else None


def _read_page(collection: "ChromaCollection", offset: int) -> "GetResult":
    return collection.get(limit=_READ_BATCH_SIZE, offset=offset, include=["metadatas"])
