"""Chroma: on a server that several processes share, or embedded in this one process."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from backend.services.rag.store.vectors import IMPORTING, Row, Rows, Stored

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection as ChromaCollection
    from chromadb.api.types import GetResult
    from chromadb.config import Settings

T = TypeVar("T")

_WRITE_AT_ONCE = 250
_READ_AT_ONCE = 2000
# A search asks for a hundred hits, and Chroma would look at a hundred candidates alone for them:
# benchmarks/rag/stores.py shows what more of them cost and find.
_HNSW: Any = {"space": "cosine", "ef_search": 400, "ef_construction": 200, "max_neighbors": 16}


@cache
def _settings() -> "Settings":
    """Reading them takes longer than adding a document's vectors."""
    from chromadb.config import Settings

    return Settings()


class ChromaVectors:
    """Opens at its first use, and again after it was away.

    *connect* gives a client, or raises VectorsUnavailable.
    """

    def __init__(self, connect: Callable[[], "ClientAPI"], disconnect: Callable[[], None]) -> None:
        self._connect = connect
        self._disconnect = disconnect
        self._opening = threading.Lock()
        self._opened: ClientAPI | None = None
        # By name, as the server was told once: asking again at every search costs a round trip.
        self._known: dict[str, ChromaCollection] = {}

    def add(
        self, partition: str, document_id: str, generation: int, ids: Sequence[str], rows: Rows
    ) -> None:
        client = self._client
        with IMPORTING:
            from langchain_chroma import Chroma

            from backend.services.rag.store.vectors.precomputed import Precomputed

        for start in range(0, len(ids), _WRITE_AT_ONCE):
            part = list(ids[start : start + _WRITE_AT_ONCE])
            Chroma(
                client=client,
                client_settings=_settings(),
                collection_name=partition,
                collection_configuration={"hnsw": _HNSW},
                embedding_function=Precomputed(rows[start : start + _WRITE_AT_ONCE]),
            ).add_texts(
                # The texts stay in the tables; here they would only be read along.
                texts=[""] * len(part),
                metadatas=[{"document_id": document_id, "generation": generation} for _ in part],
                ids=part,
            )

    def nearest(
        self, partition: str, vector: Row, limit: int, documents: Collection[str] | None = None
    ) -> dict[str, float]:
        if documents is not None and not documents:
            return {}
        within: Any = None if documents is None else {"document_id": {"$in": list(documents)}}
        # Not through LangChain's search, which reads texts along and leaves out what has none.
        found = self._ask(
            partition,
            lambda collection: collection.query(
                query_embeddings=vector[None, :],
                n_results=limit,
                where=within,
                include=["distances"],
            ),
        )
        if found is None:
            return {}
        (ids,), (distances,) = found["ids"], found["distances"] or [[]]
        return {key: 1.0 - distance for key, distance in zip(ids, distances, strict=True)}

    def forget(self, partition: str, document_id: str, but_generation: int = 0) -> None:
        others: Any = {"generation": {"$ne": but_generation}}
        where: Any = {"$and": [{"document_id": document_id}, others]}
        self._ask(partition, lambda collection: collection.delete(where=where))

    def remove(self, partition: str, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _WRITE_AT_ONCE):
            part = list(ids[start : start + _WRITE_AT_ONCE])
            self._ask(partition, partial(_delete, ids=part))

    def drop(self, partition: str) -> None:
        client = self._client
        from chromadb.errors import NotFoundError

        self._known.pop(partition, None)
        try:
            client.delete_collection(partition)
        except NotFoundError:
            return

    def partitions(self) -> list[str]:
        names: list[str] = []
        while True:
            page = self._client.list_collections(limit=_READ_AT_ONCE, offset=len(names))
            names += [collection.name for collection in page]
            if len(page) < _READ_AT_ONCE:
                return names

    def stored(self, partition: str) -> Iterator[Stored]:
        read, last = 0, _READ_AT_ONCE
        while last == _READ_AT_ONCE:
            page = self._ask(partition, partial(_page, offset=read))
            if page is None:
                return
            for key, about in zip(page["ids"], page["metadatas"] or [], strict=True):
                yield Stored(key, str(about["document_id"]), int(str(about["generation"])))
            last = len(page["ids"])
            read += last

    def fetch(self, partition: str, ids: Sequence[str]) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for start in range(0, len(ids), _WRITE_AT_ONCE):
            part = list(ids[start : start + _WRITE_AT_ONCE])
            page = self._ask(partition, partial(_vectors, ids=part))
            if page is None:
                return found
            rows = np.asarray(page["embeddings"], np.float32)
            found |= dict(zip(page["ids"], rows, strict=True))
        return found

    def check(self) -> None:
        self._client.heartbeat()

    def close(self) -> None:
        with self._opening:
            self._known.clear()
            opened: Any = self._opened  # whose interface does not name what closes it
            self._opened = None
        if opened is not None:
            opened.close()
        self._disconnect()

    def _ask(self, partition: str, question: "Callable[[ChromaCollection], T]") -> T | None:
        """The answer of the partition's collection, or None where there is none.

        One that was dropped and made anew has another id, so it is looked up once more.
        """
        # First, because its import is one that two threads must not do at once.
        client = self._client
        from chromadb.errors import NotFoundError

        collection = self._known.get(partition)
        if collection is not None:
            try:
                return question(collection)
            except NotFoundError:
                self._known.pop(partition, None)
        try:
            collection = client.get_collection(partition, embedding_function=None)
            self._known[partition] = collection
            return question(collection)
        except NotFoundError:
            return None

    @property
    def _client(self) -> "ClientAPI":
        with self._opening:
            if self._opened is None:
                self._opened = self._connect()
            return self._opened


def _delete(collection: "ChromaCollection", ids: list[str]) -> None:
    collection.delete(ids=ids)


def _vectors(collection: "ChromaCollection", ids: list[str]) -> "GetResult":
    return collection.get(ids=ids, include=["embeddings"])


def _page(collection: "ChromaCollection", offset: int) -> "GetResult":
    return collection.get(limit=_READ_AT_ONCE, offset=offset, include=["metadatas"])
