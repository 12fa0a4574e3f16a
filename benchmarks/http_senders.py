"""Sends prepared requests from one thread, so that sending takes little of the CPU time."""

import selectors
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import Final

_TIMEOUT_SECONDS: Final = 30.0
_LENGTH: Final = b"content-length:"


class _Connection:
    """A connection with at most one request in progress."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.started = 0.0
        self._received = b""

    def send(self, request: bytes, started: float) -> None:
        self.started = started
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what has arrived. Returns True at the end of the response.

        Raises:
            RuntimeError: the connection was closed, or the status is not 200.
        """
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("The server has closed a connection.")
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _get_length(head):
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head.splitlines()[0].decode()}: {body[:500].decode()}")
        self._received = b""
        return True


def send_requests(
    port: int, requests: Sequence[bytes], connections: int, rate: float | None = None
) -> list[float]:
    """Send *requests* to this host in their order. Returns the seconds that each took, unordered.

    Args:
        requests: heads and bodies of HTTP/1.1 requests.
        connections: number of connections; each has at most one request in progress.
        rate: requests a second; time is then measured from when a request was due. With None, a
            request is sent on each connection after the previous response.

    Raises:
        RuntimeError: a response has another status than 200, or none came within 30 seconds.
    """
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        idle: deque[_Connection] = deque()
        for _ in range(min(connections, len(requests))):
            connection = _Connection(port)
            stack.callback(connection.socket.close)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            idle.append(connection)
        return _exchange(selector, idle, requests, rate)


def _exchange(
    selector: selectors.BaseSelector,
    idle: deque[_Connection],
    requests: Sequence[bytes],
    rate: float | None,
) -> list[float]:
    times: list[float] = []
    start, sent = perf_counter(), 0
    while len(times) < len(requests):
        pause = _TIMEOUT_SECONDS
        while idle and sent < len(requests):
            now = perf_counter()
            due = now if rate is None else start + sent / rate
            if due > now:
                pause = due - now
                break
            idle.popleft().send(requests[sent], due)
            sent += 1
        ready = selector.select(pause)
        if not ready and pause == _TIMEOUT_SECONDS:
            raise RuntimeError("No response came within 30 seconds.")
        for key, _ in ready:
            connection: _Connection = key.data
            if connection.receive():
                times.append(perf_counter() - connection.started)
                idle.append(connection)
    return times


def _get_length(head: bytes) -> int:
    for line in head.splitlines():
        if line.lower().startswith(_LENGTH):
            return int(line[len(_LENGTH) :])
    raise RuntimeError("A response has no Content-Length.")
