"""Sends prepared requests from one thread, so that sending takes little of the CPU time."""

import selectors
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import Final

_TIMEOUT_SECONDS: Final = 30.0
# Between a refused request and its repetition.
_REPEAT_SECONDS: Final = 0.2
_LENGTH: Final = b"content-length:"


class _Connection:
    """A connection with at most one request in progress."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = b""
        self.started = 0.0
        self.is_refused = False
        self.response = b""
        self._received = b""

    def send(self, request: bytes, started: float) -> None:
        self.request, self.started = request, started
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what has arrived. Returns True at the end of the response.

        Raises:
            RuntimeError: the connection was closed.
        """
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("The server has closed a connection.")
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _get_length(head):
            return False
        self.is_refused = not head.startswith(b"HTTP/1.1 200")
        self.response = self._received
        self._received = b""
        return True

    def describe_response(self) -> str:
        head, _, body = self.response.partition(b"\r\n\r\n")
        return f"{head.splitlines()[0].decode()}: {body[:500].decode()}"


def send_requests(
    port: int,
    requests: Sequence[bytes],
    connections: int,
    rate: float | None = None,
    on_accepted: Callable[[int], None] | None = None,
) -> list[float]:
    """Send *requests* to this host in their order. Returns the seconds that each took, unordered.

    Args:
        requests: heads and bodies of HTTP/1.1 requests.
        connections: number of connections; each has at most one request in progress.
        rate: requests a second; time is then measured from when a request was due. With None, a
            request is sent on each connection after the previous response.
        on_accepted: called with the number of responses with status 200 so far. A request with
            another status is sent again then, and its time is that until it is accepted.

    Raises:
        RuntimeError: a response has another status than 200 and *on_accepted* is None, or none came
            within 30 seconds.
    """
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        idle: deque[_Connection] = deque()
        for _ in range(min(connections, len(requests))):
            connection = _Connection(port)
            stack.callback(connection.socket.close)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            idle.append(connection)
        return _exchange(selector, idle, requests, rate, on_accepted)


def _exchange(
    selector: selectors.BaseSelector,
    idle: deque[_Connection],
    requests: Sequence[bytes],
    rate: float | None,
    on_accepted: Callable[[int], None] | None,
) -> list[float]:
    times: list[float] = []
    # Refused requests, with the times of their repetition and of their first attempt.
    refused: deque[tuple[float, float, bytes]] = deque()
    start, sent = perf_counter(), 0
    while len(times) < len(requests):
        pause = _TIMEOUT_SECONDS
        while idle and refused and refused[0][0] <= perf_counter():
            _, started, request = refused.popleft()
            idle.popleft().send(request, started)
        while idle and sent < len(requests):
            now = perf_counter()
            due = now if rate is None else start + sent / rate
            if due > now:
                pause = due - now
                break
            idle.popleft().send(requests[sent], due)
            sent += 1
        if refused:
            pause = min(pause, max(0.0, refused[0][0] - perf_counter()))
        ready = selector.select(pause)
        if not ready and pause == _TIMEOUT_SECONDS:
            raise RuntimeError("No response came within 30 seconds.")
        for key, _ in ready:
            connection: _Connection = key.data
            if not connection.receive():
                continue
            idle.append(connection)
            now = perf_counter()
            if not connection.is_refused:
                times.append(now - connection.started)
                if on_accepted is not None:
                    on_accepted(len(times))
            elif on_accepted is None:
                raise RuntimeError(connection.describe_response())
            else:
                refused.append((now + _REPEAT_SECONDS, connection.started, connection.request))
    return times


def _get_length(head: bytes) -> int:
    for line in head.splitlines():
        if line.lower().startswith(_LENGTH):
            return int(line[len(_LENGTH) :])
    raise RuntimeError("A response has no Content-Length.")
