"""Open the configured vector store."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backend.chassis.settings import Secret
from backend.chassis.unix_sockets import PREFIX, connect_to_socket
from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.store.vectors import VectorStore
from backend.services.rag.store.vectors.addresses import (
    ServerAddress,
    get_socket_path,
    parse_server_address,
)
from backend.services.rag.store.vectors.chroma import ChromaStore
from backend.services.rag.store.vectors.folder import FolderLock
from backend.services.rag.store.vectors.socket_store import SocketVectorStore

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from qdrant_client import QdrantClient

VectorStoreKind = Literal["chroma", "pgvector", "qdrant"]
VECTOR_STORE_KINDS: tuple[VectorStoreKind, ...] = ("chroma", "pgvector", "qdrant")
# Package that the extra of the same name as the store installs.
_EXTRA_PACKAGES: dict[VectorStoreKind, str] = {
    "pgvector": "psycopg",
    "qdrant": "langchain_qdrant",
}
_TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class VectorStoreSettings:
    """Kind and location of the vector store. Without a URL, it is embedded and uses *folder*.

    The URL of a vector server (vector_server.py) is `unix:PATH` for its socket on this host, or
    `tls://HOST:PORT`, which needs *api_key*.
    """

    kind: VectorStoreKind
    folder: Path
    url: str | None = None
    api_key: Secret | None = None


def find_missing_extra(kind: VectorStoreKind) -> str | None:
    """Return the extra that must be installed to open a store of this kind, or None."""
    package = _EXTRA_PACKAGES.get(kind)
    return kind if package is not None and find_spec(package) is None else None


def open_vector_store(settings: VectorStoreSettings) -> VectorStore:
    """Return the vector store. It connects, and imports its library, on first use."""
    lock = FolderLock(settings.folder)
    if settings.kind == "qdrant":
        from backend.services.rag.store.vectors.qdrant import QdrantStore

        return QdrantStore(
            lambda: _connect_to_qdrant(settings, lock), lock.release, on_server=bool(settings.url)
        )
    if settings.kind == "pgvector":
        from backend.services.rag.store.vectors.pgvector import PgvectorStore

        return PgvectorStore(settings.url or "")
    address = _find_vector_server(settings, lock)
    if address is not None:
        return SocketVectorStore(address)
    return ChromaStore(lambda: _connect_to_chroma(settings, lock), lock.release)


def _find_vector_server(settings: VectorStoreSettings, lock: FolderLock) -> ServerAddress | None:
    """Return the address of the configured vector server, or of the one that uses the folder.

    A server on demand may have no process; connecting to its socket starts it.
    """
    url = settings.url or _find_listening_socket(settings.folder) or lock.find_other_holder_url()
    return None if url is None else parse_server_address(url, settings.api_key)


def _find_listening_socket(folder: Path) -> str | None:
    """Return the URL of the socket of *folder* if a server, or the supervisor, listens on it."""
    path = get_socket_path(folder)
    try:
        connect_to_socket(path, _TIMEOUT_SECONDS).close()
    except OSError:
        return None
    return f"{PREFIX}{path}"


def _connect_to_chroma(settings: VectorStoreSettings, lock: FolderLock) -> "ClientAPI":
    from backend.services.rag.store.vectors import chroma_clients

    if settings.url:
        return chroma_clients.connect_to_server(settings.url, settings.api_key)
    # Another process may use the folder: one with an embedded store, or a vector server that was
    # started after this process decided to open the folder itself.
    if not lock.acquire():
        raise _locked_error(settings)
    return chroma_clients.open_embedded(settings.folder)


def _connect_to_qdrant(settings: VectorStoreSettings, lock: FolderLock) -> "QdrantClient":
    from qdrant_client import QdrantClient

    if settings.url:
        key = None if settings.api_key is None else settings.api_key.reveal()
        return QdrantClient(settings.url, api_key=key, timeout=_TIMEOUT_SECONDS)
    if not lock.acquire():
        raise _locked_error(settings)
    return QdrantClient(path=str(settings.folder), force_disable_check_same_thread=True)


def _locked_error(settings: VectorStoreSettings) -> VectorSearchUnavailable:
    return VectorSearchUnavailable(
        f"Another process uses {settings.folder}. Stop it, or let both use one server."
    )
