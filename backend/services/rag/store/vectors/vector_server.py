"""Run embedded Chroma in one process, for all processes of the rag service.

    python -m backend.services.rag.store.vectors.vector_server FOLDER [HOST PORT | --on-demand]

Chroma's own server has no authentication, so every client that reaches its port could read and
change the vectors of all tenants. This server listens on a Unix socket to which only its own user
can connect. With HOST and PORT, for processes in other containers, it listens there instead, with
TLS, and accepts only clients that have the key of CHROMA_API_KEY.

With --on-demand, it uses the socket of the supervisor, which has started it because a client has
connected, and ends after minutes without a call.
"""

import signal
import socket
import socketserver
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any

import numpy as np

from backend.chassis.inherited_sockets import MAIN, VARIABLE, open_inherited_socket
from backend.chassis.service_description import ON_DEMAND_OPTION
from backend.chassis.settings import Secret, SettingsError, load_env
from backend.chassis.unix_sockets import PREFIX, bind_private_socket, parse_socket_url
from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.store.vectors import Vector, Vectors
from backend.services.rag.store.vectors.addresses import (
    check_key,
    create_tls_context,
    get_socket_path,
)
from backend.services.rag.store.vectors.chroma import ChromaStore
from backend.services.rag.store.vectors.chroma_imports import skip_unused_imports
from backend.services.rag.store.vectors.folder import FolderLock
from backend.services.rag.store.vectors.small_partitions import SmallPartitions
from backend.services.rag.store.vectors.socket_messages import (
    NO_VECTORS,
    InvalidMessage,
    receive_message,
    send_message,
)

_PRIVATE_FOLDER = 0o700
# Methods that change the vectors of a partition.
_CHANGES = ("add_vectors", "delete_document", "delete_vectors", "drop_partition")
_HANDSHAKE_SECONDS = 5.0
# A server on demand ends after this time without a call.
_IDLE_SECONDS = 300.0


class _VectorCalls:
    """Calls methods of a store by name. Arguments and results are parts of socket messages.

    Only this process changes the store, so that it can search copies of small partitions.
    """

    def __init__(self, store: ChromaStore) -> None:
        self._store = store
        self._small_partitions = SmallPartitions(store.read_partition)
        self._lock = threading.Lock()
        self._active = 0
        self._ended_at = monotonic()
        self._methods: Mapping[str, Callable[..., Any]] = {
            "delete_document": store.delete_document,
            "delete_vectors": store.delete_vectors,
            "drop_partition": store.drop_partition,
            "list_partitions": store.list_partitions,
            "list_vectors": store.list_vectors,
            "check_connection": store.check_connection,
        }

    @property
    def idle_seconds(self) -> float:
        """Time since the last call; 0 during one."""
        with self._lock:
            return 0.0 if self._active else monotonic() - self._ended_at

    def call(
        self, method: object, arguments: dict[str, Any], vectors: Vectors
    ) -> tuple[dict[str, Any], Vectors]:
        """Call a method and return its response; see `_call_method`."""
        with self._lock:
            self._active += 1
        try:
            return self._call_method(method, arguments, vectors)
        finally:
            with self._lock:
                self._active -= 1
                self._ended_at = monotonic()
            if method in _CHANGES:
                self._small_partitions.forget_partition(str(arguments.get("partition")))

    def _call_method(
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
                return {"result": self._search_nearest(**arguments, vector=vectors[0])}, NO_VECTORS
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

    def _search_nearest(
        self,
        partition: str,
        limit: int,
        document_ids: Sequence[str] | None,
        vector: Vector,
    ) -> dict[str, float]:
        copy = self._small_partitions.find_copy(partition)
        if copy is None:
            return self._store.search_nearest(partition, vector, limit, document_ids)
        return copy.search_nearest(vector, limit, document_ids)


class _Server(socketserver.ThreadingTCPServer):
    """Serves each connection of *listener* in its own thread.

    Args:
        tls: accepts the connections; None on a Unix socket.
        max_idle_seconds: the server ends after this time without a call; None if it does not.
    """

    daemon_threads = True

    def __init__(
        self,
        listener: socket.socket,
        calls: _VectorCalls,
        tls: ssl.SSLContext | None,
        max_idle_seconds: float | None,
    ) -> None:
        super().__init__(("", 0), _Connection, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.calls = calls
        self._tls = tls
        self._max_idle_seconds = max_idle_seconds

    def service_actions(self) -> None:
        """End an idle server. Called twice a second."""
        limit = self._max_idle_seconds
        if limit is not None and self.calls.idle_seconds >= limit:
            raise SystemExit(0)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection, in its own thread."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(_HANDSHAKE_SECONDS)
        try:
            connection = self._tls.wrap_socket(request, server_side=True)
        except OSError:
            return  # the client has no certificate of the key
        with connection:
            connection.settimeout(None)
            super().finish_request(connection, client_address)


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

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


def main(folder_name: str, host: str | None = None, port: str = "0") -> int:
    folder = Path(folder_name).absolute()
    if host == ON_DEMAND_OPTION:
        inherited = open_inherited_socket(load_env().optional(VARIABLE), MAIN)
        if inherited is None:
            sys.stderr.write(f"{VARIABLE} has no socket.\n")
            return 1
        url = f"{PREFIX}{get_socket_path(folder)}"
        return _serve(folder, url, lambda: inherited, None, _IDLE_SECONDS)
    if host is None:
        path = get_socket_path(folder)
        return _serve(folder, f"{PREFIX}{path}", lambda: bind_private_socket(path), None)
    try:
        key = load_env().optional("CHROMA_API_KEY")
        tls = create_tls_context(check_key(Secret(key) if key else None), server_side=True)
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return _serve(folder, "", lambda: _listen(host, int(port)), tls)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def _serve(
    folder: Path,
    url: str,
    listen: Callable[[], socket.socket],
    tls: ssl.SSLContext | None,
    max_idle_seconds: float | None = None,
) -> int:
    lock = FolderLock(folder)
    if not lock.acquire(url):
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
        with _Server(listen(), _VectorCalls(store), tls, max_idle_seconds) as server:
            server.serve_forever()
    except KeyboardInterrupt:
        return 0
    finally:
        if max_idle_seconds is None and (path := parse_socket_url(url)) is not None:
            path.unlink(missing_ok=True)
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
