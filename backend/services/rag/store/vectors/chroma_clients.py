"""Ways to a Chroma: a server by its URL, or the client embedded in this process.

Importing this takes a second, so it is done when a connection is wanted.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from chromadb.api.fastapi import FastAPI
from chromadb.config import DEFAULT_DATABASE, DEFAULT_TENANT, Settings, System
from chromadb.errors import ChromaError, InternalError
from typing_extensions import override

from backend.services.rag.errors import VectorsUnavailable

if TYPE_CHECKING:
    from chromadb.api import ClientAPI

_PLAIN_API = "chromadb.api.fastapi.FastAPI"
_TIMED_API = f"{__name__}.TimedApi"
_QUERY_SECONDS = 5.0
_WRITE_SECONDS = 30.0


class _TimedSettings(Settings):
    """Puts the client below in the place of Chroma's own, which must be named by its name."""

    def require(self, key: str) -> Any:
        return _TIMED_API if key == "chroma_api_impl" else super().require(key)


class TimedApi(FastAPI):
    """Chroma's client, which by itself would wait for ever."""

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
            raise VectorsUnavailable(str(error)) from error


def server(url: str) -> "ClientAPI":
    """A client of the server at *url*, or VectorsUnavailable."""
    import chromadb

    place = urlsplit(url)
    settings = _TimedSettings(
        anonymized_telemetry=False,
        chroma_api_impl=_PLAIN_API,
        chroma_server_host=place.hostname,
        chroma_server_http_port=place.port or (443 if place.scheme == "https" else 8000),
        chroma_server_ssl_enabled=place.scheme == "https",
    )
    try:
        return chromadb.Client(settings, DEFAULT_TENANT, DEFAULT_DATABASE)
    except (ChromaError, ValueError) as error:  # its constructor asks the server already
        raise VectorsUnavailable(str(error)) from error


def embedded(folder: Path) -> "ClientAPI":
    import chromadb

    folder.mkdir(parents=True, exist_ok=True)
    return chromadb.PersistentClient(folder, Settings(anonymized_telemetry=False))
