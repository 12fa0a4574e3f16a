"""Chroma clients: of a server, or embedded in this process.

Importing this module takes a second. Import it only to connect.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from chromadb.api.fastapi import FastAPI
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings, System
from chromadb.errors import ChromaError, InternalError
from chromadb.utils.embedding_functions import (
    known_embedding_functions,
    sparse_known_embedding_functions,
)
from typing_extensions import override

from backend.chassis.settings import Secret
from backend.services.rag.errors import VectorSearchUnavailable

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

_DEFAULT_API_NAME = "chromadb.api.fastapi.FastAPI"
_TIMEOUT_API_NAME = f"{__name__}.TimeoutApi"
_QUERY_SECONDS = 5.0
_WRITE_SECONDS = 30.0


class _TimeoutSettings(Settings):
    """Settings that replace Chroma's HTTP client with TimeoutApi.

    Chroma validates the configured class name, so the replacement happens on lookup.
    """

    def require(self, key: str) -> Any:
        return _TIMEOUT_API_NAME if key == "chroma_api_impl" else super().require(key)


class TimeoutApi(FastAPI):
    """Chroma's HTTP client with timeouts. The original waits without limit."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self._session.timeout = httpx.Timeout(_WRITE_SECONDS, connect=2.0)

    @override
    def _make_request(self, method: str, path: str, **kwargs: Any) -> Any:
        if method == "get" or path.endswith("/query"):
            kwargs["timeout"] = httpx.Timeout(_QUERY_SECONDS, connect=2.0)
        try:
            return super()._make_request(method, path, **kwargs)
        except (httpx.HTTPError, InternalError) as error:
            raise VectorSearchUnavailable(str(error)) from error


def connect_to_server(url: str, api_key: Secret | None = None) -> "ClientAPI":
    """Return a client of the server at *url*. Raises VectorSearchUnavailable.

    Chroma's own server has no authentication. *api_key* is sent as bearer token (RFC 6750) for a
    proxy in front of it.
    """
    import chromadb

    _disable_stored_embedding_functions()
    address = urlsplit(url)
    host = address.hostname or "127.0.0.1"
    settings = _TimeoutSettings(
        anonymized_telemetry=False,
        chroma_api_impl=_DEFAULT_API_NAME,
        # Chroma's client inserts the host into its URL unchanged, so an IPv6 address needs
        # brackets.
        chroma_server_host=f"[{host}]" if ":" in host else host,
        chroma_server_http_port=address.port or (443 if address.scheme == "https" else 8000),
        chroma_server_ssl_enabled=address.scheme == "https",
        chroma_server_headers=(
            None if api_key is None else {"Authorization": f"Bearer {api_key.reveal()}"}
        ),
    )
    try:
        return chromadb.Client(settings, DEFAULT_TENANT, DEFAULT_DATABASE)
    except (ChromaError, ValueError) as error:  # the constructor already sends a request
        raise VectorSearchUnavailable(str(error)) from error


def open_embedded(folder: Path) -> "ClientAPI":
    """Return a client that stores vectors in *folder*. The caller holds its lock."""
    import chromadb

    _disable_stored_embedding_functions()
    folder.mkdir(parents=True, exist_ok=True)
    return chromadb.PersistentClient(folder, Settings(anonymized_telemetry=False))


def _disable_stored_embedding_functions() -> None:
    """Remove all embedding functions that Chroma creates from the names in a collection.

    Chroma reads name and arguments from the stored configuration, which another client of the
    store may have changed, and creates the function when vectors are added. We pass vectors only.
    """
    known_embedding_functions.clear()
    sparse_known_embedding_functions.clear()
