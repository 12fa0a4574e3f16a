"""Vector store in another process, over its Unix socket or TLS port (vector_server.py)."""

import select
import threading
from collections.abc import Collection, Iterator, Sequence
from socket import socket
from typing import Any

from backend.services.rag.errors import VectorSearchUnavailable
from backend.services.rag.store.vectors import StoredVector, Vector, Vectors
from backend.services.rag.store.vectors.addresses import ServerAddress
from backend.services.rag.store.vectors.socket_messages import (
    NO_VECTORS,
    InvalidMessage,
    receive_message,
    send_message,
)

_READ_SECONDS = 5.0
_WRITE_SECONDS = 30.0
_MAX_IDLE_CONNECTIONS = 8
_WRITE_BATCH_SIZE = 250


class VectorServerError(Exception):
    """A call failed in the vector server, and would fail again. The server's log has the cause."""


class SocketVectorStore:
    """Client of the vector server. Safe to share between threads: each call has a connection."""

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._idle: list[socket] = []
        self._has_failed = False
        self._lock = threading.Lock()

    def add_vectors(
        self,
        partition: str,
        document_id: str,
        generation: int,
        ids: Sequence[str],
        vectors: Vectors,
    ) -> None:
        for start in range(0, len(ids), _WRITE_BATCH_SIZE):
            batch = slice(start, start + _WRITE_BATCH_SIZE)
            self._call(
                "add_vectors",
                vectors[batch],
                timeout_seconds=_WRITE_SECONDS,
                partition=partition,
                document_id=document_id,
                generation=generation,
                ids=list(ids[batch]),
            )

    def search_nearest(
        self,
        partition: str,
        vector: Vector,
        limit: int,
        document_ids: Collection[str] | None = None,
    ) -> dict[str, float]:
        scores, _ = self._call(
            "search_nearest",
            vector[None, :],
            partition=partition,
            limit=limit,
            document_ids=None if document_ids is None else list(document_ids),
        )
        return dict(scores)

    def delete_document(self, partition: str, document_id: str, keep_generation: int = 0) -> None:
        self._call(
            "delete_document",
            timeout_seconds=_WRITE_SECONDS,
            partition=partition,
            document_id=document_id,
            keep_generation=keep_generation,
        )

    def delete_vectors(self, partition: str, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _WRITE_BATCH_SIZE):
            batch = list(ids[start : start + _WRITE_BATCH_SIZE])
            self._call(
                "delete_vectors", timeout_seconds=_WRITE_SECONDS, partition=partition, ids=batch
            )

    def drop_partition(self, partition: str) -> None:
        self._call("drop_partition", timeout_seconds=_WRITE_SECONDS, partition=partition)

    def list_partitions(self) -> list[str]:
        names, _ = self._call("list_partitions", timeout_seconds=_WRITE_SECONDS)
        return list(names)

    def iterate_vectors(self, partition: str) -> Iterator[StoredVector]:
        offset = 0
        while True:
            rows, _ = self._call(
                "list_vectors", timeout_seconds=_WRITE_SECONDS, partition=partition, offset=offset
            )
            if not rows:
                return
            yield from (StoredVector(*row) for row in rows)
            offset += len(rows)

    def fetch_vectors(self, partition: str, ids: Sequence[str]) -> dict[str, Vector]:
        vectors: dict[str, Vector] = {}
        for start in range(0, len(ids), _WRITE_BATCH_SIZE):
            batch = list(ids[start : start + _WRITE_BATCH_SIZE])
            found, rows = self._call("fetch_vectors", partition=partition, ids=batch)
            vectors |= dict(zip(found, rows, strict=True))
        return vectors

    def check_connection(self) -> None:
        """Raise VectorSearchUnavailable if the server does not respond.

        A server on demand that has no process, because it was idle for minutes, is not
        started for this, unless the last call failed.
        """
        if self._address.starts_on_demand and not self._has_failed and not self._is_connected():
            return
        self._call("check_connection")

    def connect(self) -> None:
        """Start the server if it is on demand and has no process."""
        if not self._is_connected():
            self._call("check_connection")

    def _is_connected(self) -> bool:
        """Return whether the server has left a connection open."""
        with self._lock:
            connections, self._idle = self._idle, []
            for connection in connections:
                if _is_open(connection):
                    self._idle.append(connection)
                else:
                    connection.close()
            return bool(self._idle)

    def close(self) -> None:
        with self._lock:
            connections, self._idle = self._idle, []
        for connection in connections:
            connection.close()

    def _call(
        self,
        method: str,
        vectors: Vectors = NO_VECTORS,
        timeout_seconds: float = _READ_SECONDS,
        **arguments: Any,
    ) -> tuple[Any, Vectors]:
        """Return the result of a call and its vectors.

        A failed call on a reused connection is sent once more: the server may have been restarted,
        and every call can be repeated.
        """
        request = {"method": method, "arguments": arguments}
        with self._lock:
            reused = self._idle.pop() if self._idle else None
        if reused is not None:
            try:
                return self._exchange(reused, request, vectors, timeout_seconds)
            except TimeoutError as error:
                self._has_failed = True
                raise VectorSearchUnavailable(
                    f"{self._address} did not respond in time."
                ) from error
            except (OSError, InvalidMessage):
                self.close()  # other idle connections may have been lost as well
        try:
            connection = self._address.connect(timeout_seconds)
            result = self._exchange(connection, request, vectors, timeout_seconds)
        except (OSError, InvalidMessage) as error:
            self._has_failed = True
            raise VectorSearchUnavailable(f"{self._address}: {error}") from error
        self._has_failed = False
        return result

    def _exchange(
        self, connection: socket, request: dict[str, Any], vectors: Vectors, timeout_seconds: float
    ) -> tuple[Any, Vectors]:
        try:
            connection.settimeout(timeout_seconds)
            send_message(connection, request, vectors)
            response = receive_message(connection)
        except BaseException:
            connection.close()
            raise
        if response is None:
            connection.close()
            raise InvalidMessage("The server closed the connection.")
        self._keep(connection)
        body, rows = response
        if "unavailable" in body:
            raise VectorSearchUnavailable(f"{self._address}: {body['unavailable']}")
        if "error" in body:
            raise VectorServerError(f"{self._address}: {body['error']}")
        return body["result"], rows

    def _keep(self, connection: socket) -> None:
        with self._lock:
            if len(self._idle) < _MAX_IDLE_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()


def _is_open(connection: socket) -> bool:
    """Return False if the server has closed the connection, or has sent unrequested data."""
    readable = select.poll()
    readable.register(connection, select.POLLIN)
    return not readable.poll(0)
