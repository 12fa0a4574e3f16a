"""Open the vector store that the settings name."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backend.chassis.settings import Secret
from backend.services.rag.errors import VectorsUnavailable
from backend.services.rag.store.vectors import VectorStore
from backend.services.rag.store.vectors.chroma import ChromaVectors
from backend.services.rag.store.vectors.folder import FolderLock

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from qdrant_client import QdrantClient

Kind = Literal["chroma", "pgvector", "qdrant"]
KINDS: tuple[Kind, ...] = ("chroma", "pgvector", "qdrant")
# What each needs installed beyond the locked dependencies, by the name of the extra.
_EXTRAS: dict[Kind, str] = {"pgvector": "langchain_postgres", "qdrant": "langchain_qdrant"}
_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Which store, and where. Without a URL, *folder* holds the vectors."""

    kind: Kind
    folder: Path
    url: str | None = None
    api_key: Secret | None = None


def missing_extra(kind: Kind) -> str | None:
    """The extra that must be installed before a store of this kind can be opened."""
    package = _EXTRAS.get(kind)
    return kind if package is not None and find_spec(package) is None else None


def open_vectors(place: Place) -> VectorStore:
    """Nothing is connected or imported before it is used."""
    lock = FolderLock(place.folder)
    if place.kind == "qdrant":
        from backend.services.rag.store.vectors.qdrant import QdrantVectors

        return QdrantVectors(
            lambda: _connect_to_qdrant(place, lock), lock.release, on_server=bool(place.url)
        )
    if place.kind == "pgvector":
        from backend.services.rag.store.vectors.pgvector import PgVectors

        return PgVectors(place.url or "")
    return ChromaVectors(lambda: _connect_to_chroma(place, lock), lock.release)


def _connect_to_chroma(place: Place, lock: FolderLock) -> "ClientAPI":
    from backend.services.rag.store.vectors import chroma_clients

    if place.url:
        return chroma_clients.server(place.url)
    if lock.take():
        return chroma_clients.embedded(place.folder)
    url = lock.holder_url()
    if url is None:
        raise _taken(place)
    return chroma_clients.server(url)


def _connect_to_qdrant(place: Place, lock: FolderLock) -> "QdrantClient":
    from qdrant_client import QdrantClient

    if place.url:
        key = None if place.api_key is None else place.api_key.reveal()
        return QdrantClient(place.url, api_key=key, timeout=_SECONDS)
    if not lock.take():
        raise _taken(place)
    return QdrantClient(path=str(place.folder), force_disable_check_same_thread=True)


def _taken(place: Place) -> VectorsUnavailable:
    return VectorsUnavailable(
        f"Another process works in {place.folder}; end it, or let both use one server."
    )
