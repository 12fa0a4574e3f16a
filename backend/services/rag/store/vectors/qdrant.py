"""Qdrant: a collection for each partition, on a server or in a folder of this process.

LangChain's integration puts vectors in. It does not search here: it would ask the server what
the collection is like before every search, and have the whole payloads sent.
"""

import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.services.rag.errors import VectorsUnavailable
from backend.services.rag.store.vectors import IMPORTING, Row, Rows, Stored

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

# Qdrant takes UUIDs alone for ids; ours stand in the payload, beside what LangChain puts there.
_IDS = uuid.UUID("6f1f2f64-65cf-4b8a-9d0e-0d9a4f2b7c11")
_OUR_ID = "metadata.chunk_id"
_DOCUMENT = "metadata.document_id"
_GENERATION = "metadata.generation"
_WRITE_AT_ONCE = 250
_READ_AT_ONCE = 2000
_SEARCHED = 256


class QdrantVectors:
    """Opens at its first use. *connect* gives a client, or raises VectorsUnavailable."""

    def __init__(
        self,
        connect: "Callable[[], QdrantClient]",
        disconnect: Callable[[], None],
        *,
        on_server: bool,
    ) -> None:
        self._connect = connect
        # In a folder there are no indexes: each vector is looked at.
        self._on_server = on_server
        self._disconnect = disconnect
        self._opening = threading.Lock()
        self._opened: QdrantClient | None = None
        self._made: set[str] = set()

    def add(
        self, partition: str, document_id: str, generation: int, ids: Sequence[str], rows: Rows
    ) -> None:
        with self._answering():
            for start in range(0, len(ids), _WRITE_AT_ONCE):
                part = list(ids[start : start + _WRITE_AT_ONCE])
                place = {"document_id": document_id, "generation": generation}
                self._put(partition, place, part, rows[start : start + _WRITE_AT_ONCE])

    def nearest(
        self, partition: str, vector: Row, limit: int, documents: Collection[str] | None = None
    ) -> dict[str, float]:
        if documents is not None and not documents:
            return {}
        with self._answering() as client, _perhaps_missing():
            from qdrant_client import models

            within = None
            if documents is not None:
                among = models.MatchAny(any=list(documents))
                within = models.Filter(must=[models.FieldCondition(key=_DOCUMENT, match=among)])
            found = client.query_points(
                partition,
                query=vector,
                query_filter=within,
                search_params=models.SearchParams(hnsw_ef=_SEARCHED) if self._on_server else None,
                limit=limit,
                with_payload=[_OUR_ID],
            )
            return {str(_metadata(each)["chunk_id"]): each.score for each in found.points}
        return {}

    def forget(self, partition: str, document_id: str, but_generation: int = 0) -> None:
        with self._answering() as client, _perhaps_missing():
            from qdrant_client import models

            of_it = models.FieldCondition(key=_DOCUMENT, match=models.MatchValue(value=document_id))
            this = models.MatchValue(value=but_generation)
            shown = models.FieldCondition(key=_GENERATION, match=this)
            client.delete(partition, models.Filter(must=[of_it], must_not=[shown]))

    def remove(self, partition: str, ids: Sequence[str]) -> None:
        with self._answering() as client, _perhaps_missing():
            client.delete(partition, [_point_id(key) for key in ids])

    def drop(self, partition: str) -> None:
        self._made.discard(partition)
        with self._answering() as client, _perhaps_missing():
            client.delete_collection(partition)

    def partitions(self) -> list[str]:
        with self._answering() as client:
            return sorted(each.name for each in client.get_collections().collections)

    def stored(self, partition: str) -> Iterator[Stored]:
        offset: Any = None
        while True:
            page: list[Any] = []
            with self._answering() as client, _perhaps_missing():
                page, offset = client.scroll(
                    partition, limit=_READ_AT_ONCE, offset=offset, with_payload=True
                )
            for each in page:
                about = _metadata(each)
                yield Stored(about["chunk_id"], about["document_id"], int(about["generation"]))
            if offset is None or not page:
                return

    def fetch(self, partition: str, ids: Sequence[str]) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for start in range(0, len(ids), _WRITE_AT_ONCE):
            wanted = [_point_id(key) for key in ids[start : start + _WRITE_AT_ONCE]]
            with self._answering() as client, _perhaps_missing():
                for each in client.retrieve(partition, wanted, with_vectors=True):
                    found[_metadata(each)["chunk_id"]] = np.array(each.vector, np.float32)
        return found

    def check(self) -> None:
        with self._answering() as client:
            client.get_collections()

    def close(self) -> None:
        with self._opening:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()
        self._disconnect()

    def _put(self, partition: str, place: Mapping[str, object], ids: list[str], rows: Rows) -> None:
        with IMPORTING:
            from langchain_qdrant import QdrantVectorStore

            from backend.services.rag.store.vectors.precomputed import Precomputed

        self._ensure(partition, rows.shape[1])
        store = QdrantVectorStore(
            self._client,
            partition,
            Precomputed(rows),
            validate_embeddings=False,
            validate_collection_config=False,
        )

        def put() -> None:
            store.add_texts(
                texts=[""] * len(ids),
                metadatas=[{**place, "chunk_id": key} for key in ids],
                ids=[_point_id(key) for key in ids],
                batch_size=len(ids),
            )

        with _perhaps_missing():
            put()
            return
        # Dropped by another process.
        self._made.discard(partition)
        self._ensure(partition, rows.shape[1])
        put()

    def _ensure(self, partition: str, dimensions: int) -> None:
        if partition in self._made:
            return
        from qdrant_client import models

        client = self._client
        if not client.collection_exists(partition):
            client.create_collection(
                partition, models.VectorParams(size=dimensions, distance=models.Distance.COSINE)
            )
            if self._on_server:
                client.create_payload_index(partition, _DOCUMENT, models.PayloadSchemaType.KEYWORD)
        self._made.add(partition)

    @contextmanager
    def _answering(self) -> Iterator["QdrantClient"]:
        # First, because its import is one that two threads must not do at once.
        client = self._client
        from qdrant_client.http.exceptions import ApiException

        try:
            yield client
        except (ApiException, OSError) as error:
            raise VectorsUnavailable(str(error)) from error

    @property
    def _client(self) -> "QdrantClient":
        with self._opening:
            if self._opened is None:
                self._opened = self._connect()
            return self._opened


def _metadata(point: Any) -> dict[str, Any]:
    about: dict[str, Any] = (point.payload or {})["metadata"]
    return about


def _point_id(key: str) -> str:
    return str(uuid.uuid5(_IDS, key))


@contextmanager
def _perhaps_missing() -> Iterator[None]:
    """A collection that is not there has nothing in it; in a folder it says so in another way."""
    from qdrant_client.http.exceptions import UnexpectedResponse

    try:
        yield
    except UnexpectedResponse as error:
        if error.status_code != 404:
            raise
    except ValueError as error:
        if "not found" not in str(error):
            raise
