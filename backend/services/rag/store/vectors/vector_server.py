"""Run embedded Chroma in one process, for all processes of the same user.

    python -m backend.services.rag.store.vectors.vector_server FOLDER

Chroma's own server has no authentication, so every user of the host could read and change the
vectors of all tenants. This server listens on a Unix socket to which only its own user can connect.
"""

import signal
import socketserver
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from backend.chassis.unix_sockets import PREFIX, bind_private_socket
from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.store.vectors import Vectors
from backend.services.rag.store.vectors.chroma import ChromaStore
from backend.services.rag.store.vectors.chroma_imports import skip_unused_imports
from backend.services.rag.store.vectors.folder import FolderLock
from backend.services.rag.store.vectors.socket_messages import (
    NO_VECTORS,
    InvalidMessage,
    receive_message,
    send_message,
)

_PRIVATE_FOLDER = 0o700


def get_socket_path(folder: Path) -> Path:
    """Return the path of the socket of the server that uses *folder*."""
    return folder.with_name(f"{folder.name}.sock")


class _VectorCalls:
    """Calls methods of a store by name. Arguments and results are parts of socket messages."""

    def __init__(self, store: ChromaStore) -> None:
        self._store = store
        self._methods: Mapping[str, Callable[..., Any]] = {
            "delete_document": store.delete_document,
            "delete_vectors": store.delete_vectors,
            "drop_partition": store.drop_partition,
            "list_partitions": store.list_partitions,
            "list_vectors": store.list_vectors,
            "check_connection": store.check_connection,
        }

    def call(
        self, method: object, arguments: dict[str, Any], vectors: Vectors
    ) -> tuple[dict[str, Any], Vectors]:
        """Return the response to a request, and the vectors to send with it.

        The response has one of the keys `result`, `unavailable` (with the reason; the call can be
        repeated) and `error` (a repeated call would fail again).
        """
        try:
            if method == "add_vectors":
                self._store.add_vectors(**arguments, vectors=vectors)
                return {"result": None}, NO_VECTORS
            if method == "search_nearest":
                scores = self._store.search_nearest(**arguments, vector=vectors[0])
                return {"result": scores}, NO_VECTORS
            if method == "fetch_vectors":
                found = self._store.fetch_vectors(**arguments)
                rows = np.stack(list(found.values())) if found else NO_VECTORS
                return {"result": list(found)}, rows
            return {"result": self._methods[str(method)](**arguments)}, NO_VECTORS
        except VectorSearchUnavailable as error:
            return {"unavailable": error.reason}, NO_VECTORS
        except Exception as error:  # noqa: BLE001 - Chroma raises errors of any type
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}"}, NO_VECTORS


class _UnixServer(socketserver.ThreadingUnixStreamServer):
    """Serves each connection in its own thread."""

    daemon_threads = True

    def __init__(self, path: Path, calls: _VectorCalls) -> None:
        super().__init__(str(path), _Connection, bind_and_activate=False)
        self.socket.close()
        self.socket = bind_private_socket(path)
        self.calls = calls


class _Connection(socketserver.BaseRequestHandler):
    server: _UnixServer

    def handle(self) -> None:
        try:
            while (message := receive_message(self.request)) is not None:
                body, vectors = message
                arguments = body.get("arguments", {})
                send_message(
                    self.request, *self.server.calls.call(body.get("method"), arguments, vectors)
                )
        except (InvalidMessage, OSError):
            return  # the client is gone, or does not use this protocol


def main(folder_name: str) -> int:
    folder = Path(folder_name).absolute()
    path = get_socket_path(folder)
    lock = FolderLock(folder)
    if not lock.acquire(f"{PREFIX}{path}"):
        sys.stderr.write(f"Another process uses {folder}. Stop it, then start this server again.\n")
        return 1
    folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    folder.chmod(_PRIVATE_FOLDER)
    skip_unused_imports()
    from backend.services.rag.store.vectors.chroma_clients import open_embedded

    store = ChromaStore(lambda: open_embedded(folder), lock.release)
    store.check_connection()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    try:
        with _UnixServer(path, _VectorCalls(store)) as server:
            server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        path.unlink(missing_ok=True)
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
