"""Open the vector store that the settings name."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backend.services.rag.errors import VectorsUnavailable
from backend.services.rag.store.vectors import VectorStore
from backend.services.rag.store.vectors.chroma import ChromaVectors
from backend.services.rag.store.vectors.folder import FolderLock

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

Kind = Literal["chroma", "pgvector", "qdrant"]


@dataclass(frozen=True, slots=True)
class Place:
    """Which store, and where. Without a URL, *folder* holds the vectors."""

    kind: Kind
    folder: Path
    url: str | None = None
    api_key: str | None = None


def open_vectors(place: Place) -> VectorStore:
    """Nothing is connected or imported before it is used."""
    lock = FolderLock(place.folder)
    return ChromaVectors(lambda: _connect_to_chroma(place, lock), lock.release)


def _connect_to_chroma(place: Place, lock: FolderLock) -> "ClientAPI":
    from backend.services.rag.store.vectors import chroma_clients

    if place.url:
        return chroma_clients.server(place.url)
    if lock.take():
        return chroma_clients.embedded(place.folder)
    url = lock.holder_url()
    if url is None:
        raise VectorsUnavailable(
            f"Another process works in {place.folder}; end it, or let both use one server."
        )
    return chroma_clients.server(url)
