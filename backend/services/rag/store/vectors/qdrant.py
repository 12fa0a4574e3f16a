"""Vector store in Qdrant: one collection per partition, on a server or in a local folder.

Vectors are inserted with LangChain's integration. Searches do not use it: it would request the
configuration of the collection before each search, and transfer complete payloads.
"""

import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.store.vectors import IMPORT_LOCK, StoredVector, Vector, Vectors

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

# Qdrant accepts only UUIDs as ids. Chunk ids are in the payload, below the key of LangChain.
_ID_NAMESPACE = uuid.UUID("6f1f2f64-65cf-4b8a-9d0e-0d9a4f2b7c11")
_CHUNK_ID = "metadata.chunk_id"
_DOCUMENT = "metadata.document_id"
_GENERATION = "metadata.generation"
_WRITE_BATCH_SIZE = 250
_READ_BATCH_SIZE = 2000
# Number of candidates that the HNSW index examines per search.
_HNSW_EF = 256


class QdrantStore:
    """Connects on first use.

    Args:
        connect: returns a client, or raises VectorSearchUnavailable.
        disconnect: called after the client was closed.
        on_server: whether the client connects to a server.
    """

    def __init__(
        self,
        connect: "Callable[[], QdrantClient]",
        disconnect: Callable[[], None],
        *,
        on_server: bool,
    ) -> None:
        self._connect = connect
        # A local folder has no indexes: a search compares all vectors.
        self._on_server = on_server
        self._disconnect = disconnect
        self._client_lock = threading.Lock()
        self._open_client: QdrantClient | None = None
        self._existing_partitions: set[str] = set()

    def add_vectors(
        self,
        partition: str,
        document_id: str,
        generation: int,
        ids: Sequence[str],
        vectors: Vectors,
    ) -> None:
        with self._use_client():
            for start in range(0, len(ids), _WRITE_BATCH_SIZE):
                batch = list(ids[start : start + _WRITE_BATCH_SIZE])
                metadata = {"document_id": document_id, "generation": generation}
                self._insert(partition, metadata, batch, vectors[start : start + _WRITE_BATCH_SIZE])

    def search_nearest(
        self,
        partition: str,
        vector: Vector,
        limit: int,
        document_ids: Collection[str] | None = None,
    ) -> dict[str, float]:
        if document_ids is not None and not document_ids:
            return {}
        with self._use_client() as client, _ignore_missing_collection():
            from qdrant_client import models

            query_filter = None
            if document_ids is not None:
                is_listed = models.FieldCondition(
                    key=_DOCUMENT, match=models.MatchAny(any=list(document_ids))
                )
                query_filter = models.Filter(must=[is_listed])
            response = client.query_points(
                partition,
                query=vector,
                query_filter=query_filter,
                search_params=models.SearchParams(hnsw_ef=_HNSW_EF) if self._on_server else None,
                limit=limit,
                with_payload=[_CHUNK_ID],
            )
            return {str(_metadata(hit)["chunk_id"]): hit.score for hit in response.points}
        return {}

    def delete_document(self, partition: str, document_id: str, keep_generation: int = 0) -> None:
        with self._use_client() as client, _ignore_missing_collection():
            from qdrant_client import models

            is_document = models.FieldCondition(
                key=_DOCUMENT, match=models.MatchValue(value=document_id)
            )
            is_kept = models.FieldCondition(
                key=_GENERATION, match=models.MatchValue(value=keep_generation)
            )
            client.delete(partition, models.Filter(must=[is_document], must_not=[is_kept]))

    def delete_vectors(self, partition: str, ids: Sequence[str]) -> None:
        with self._use_client() as client, _ignore_missing_collection():
            client.delete(partition, [_point_id(chunk_id) for chunk_id in ids])

    def drop_partition(self, partition: str) -> None:
        self._existing_partitions.discard(partition)
        with self._use_client() as client, _ignore_missing_collection():
            client.delete_collection(partition)

    def list_partitions(self) -> list[str]:
        with self._use_client() as client:
            return sorted(collection.name for collection in client.get_collections().collections)

    def iterate_vectors(self, partition: str) -> Iterator[StoredVector]:
        offset: Any = None
        while True:
            page: list[Any] = []
            with self._use_client() as client, _ignore_missing_collection():
                page, offset = client.scroll(
                    partition, limit=_READ_BATCH_SIZE, offset=offset, with_payload=True
                )
            for point in page:
                metadata = _metadata(point)
                yield StoredVector(
                    metadata["chunk_id"], metadata["document_id"], int(metadata["generation"])
                )
            if offset is None or not page:
                return

    def fetch_vectors(self, partition: str, ids: Sequence[str]) -> dict[str, Vector]:
        vectors: dict[str, Vector] = {}
        for start in range(0, len(ids), _WRITE_BATCH_SIZE):
            batch = [_point_id(chunk_id) for chunk_id in ids[start : start + _WRITE_BATCH_SIZE]]
            with self._use_client() as client, _ignore_missing_collection():
                for point in client.retrieve(partition, batch, with_vectors=True):
                    vectors[_metadata(point)["chunk_id"]] = np.array(point.vector, np.float32)
        return vectors

    def check_connection(self) -> None:
        with self._use_client() as client:
            client.get_collections()

    def connect(self) -> None:
        self.check_connection()

    def close(self) -> None:
        with self._client_lock:
            client, self._open_client = self._open_client, None
        if client is not None:
            client.close()
        self._disconnect()

    def _insert(
        self, partition: str, metadata: Mapping[str, object], ids: list[str], vectors: Vectors
    ) -> None:
        with IMPORT_LOCK:
            from langchain_qdrant import QdrantVectorStore

            from backend.services.rag.store.vectors.precomputed import PrecomputedEmbeddings

        self._ensure_collection(partition, vectors.shape[1])
        store = QdrantVectorStore(
            self._client,
            partition,
            PrecomputedEmbeddings(vectors),
            validate_embeddings=False,
            validate_collection_config=False,
        )

        def insert() -> None:
            store.add_texts(
                texts=[""] * len(ids),
                metadatas=[{**metadata, "chunk_id": chunk_id} for chunk_id in ids],
                ids=[_point_id(chunk_id) for chunk_id in ids],
                batch_size=len(ids),
            )

        with _ignore_missing_collection():
            insert()
            return
        # Another process dropped the collection.
        self._existing_partitions.discard(partition)
        self._ensure_collection(partition, vectors.shape[1])
        insert()

    def _ensure_collection(self, partition: str, dimensions: int) -> None:
        """Create the collection of the partition, unless it exists."""
        if partition in self._existing_partitions:
            return
        from qdrant_client import models

        client = self._client
        if not client.collection_exists(partition):
            client.create_collection(
                partition, models.VectorParams(size=dimensions, distance=models.Distance.COSINE)
            )
            if self._on_server:
                client.create_payload_index(partition, _DOCUMENT, models.PayloadSchemaType.KEYWORD)
        self._existing_partitions.add(partition)

    @contextmanager
    def _use_client(self) -> Iterator["QdrantClient"]:
        """Yield the client, and map its connection errors to VectorSearchUnavailable."""
        # Connect before the import below: two threads must not import qdrant_client at the same
        # time.
        client = self._client
        from qdrant_client.http.exceptions import ApiException

        try:
            yield client
        except (ApiException, OSError) as error:
            raise VectorSearchUnavailable(str(error)) from error

    @property
    def _client(self) -> "QdrantClient":
        with self._client_lock:
            if self._open_client is None:
                self._open_client = self._connect()
            return self._open_client


def _metadata(point: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = (point.payload or {})["metadata"]
    return metadata


def _point_id(chunk_id: str) -> str:
    return str(uuid.uuid5(_ID_NAMESPACE, chunk_id))


@contextmanager
def _ignore_missing_collection() -> Iterator[None]:
    """Treat a missing collection as empty. Embedded Qdrant raises a different exception for it."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    try:
        yield
    except UnexpectedResponse as error:
        if error.status_code != 404:
            raise
    except ValueError as error:
        if "not found" not in str(error):
            raise
