"""A service for gateway tests whose behaviour depends on the path, over real sockets."""

import base64
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

PROBE_PATH = "/health/live"


class EchoService:
    """Responds with the received request as JSON. Some paths misbehave deliberately.

    `requests` does not contain the gateway's probes, which it sends every second.
    """

    def __init__(self, name: str = "echo", host: str = "127.0.0.1", port: int = 0) -> None:
        self.name = name
        self.host = host
        self.requests: list[dict] = []
        self.closed_early = threading.Event()
        self.connections = 0
        self.sent = 0
        self.documents: dict[str, object] = {}
        self._listener = socket.create_server((host, port), backlog=512)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://{host}:{self.port}"
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Refuse new connections and close the open ones."""
        self._listener.close()
        with suppress(OSError):
            # Wake up `accept`, which still holds the listening socket.
            socket.create_connection((self.host, self.port), 0.2).close()
        self._thread.join(60)
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._listener.fileno() < 0:
                connection.close()
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        try:
            while (request := _read_request(reader)) is not None:
                if request["target"] != PROBE_PATH:
                    self.requests.append(request)
                if not self._respond(connection, request):
                    break
        except (OSError, ValueError):
            self.closed_early.set()
        finally:
            self._open.discard(connection)
            reader.close()
            connection.close()

    def _respond(self, connection: socket.socket, request: dict) -> bool:
        path = request["target"].partition("?")[0]
        respond = RESPONDERS.get(path)
        if respond is not None:
            return respond(self, connection, request)
        body = json.dumps(self.documents.get(path, request | {"service": self.name})).encode()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: echo/1\r\n"
            f"Content-Length: {len(body)}\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
        )
        connection.sendall(head.encode() + (b"" if request["method"] == "HEAD" else body))
        return True


def _read_request(reader) -> dict | None:
    line = reader.readline(65536)
    if not line:
        return None
    method, target, _ = line.decode("latin-1").rstrip("\r\n").split(" ")
    if target == "/early-413":
        return {"method": method, "target": target, "headers": [], "body_size": 0}
    headers = []
    while (line := reader.readline(65536)) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").rstrip("\r\n").partition(":")
        headers.append([name, value.strip()])
    by_name = {name.lower(): value for name, value in headers}
    size = 0
    if by_name.get("transfer-encoding") == "chunked":
        while (length := int(reader.readline(100).split(b";")[0], 16)) > 0:
            size += _discard(reader, length)
            reader.readline(10)
        reader.readline(10)
    elif "content-length" in by_name:
        size = _discard(reader, int(by_name["content-length"]))
    return {"method": method, "target": target, "headers": headers, "body_size": size}


def _discard(reader, length: int) -> int:
    remaining = length
    while remaining:
        piece = reader.read1(min(remaining, 65536))
        if not piece:
            raise ValueError("truncated body")
        remaining -= len(piece)
    return length


def _raw(response: bytes, *, keep_alive: bool = False) -> Callable[..., bool]:
    def respond(_: EchoService, connection: socket.socket, __: dict) -> bool:
        connection.sendall(response)
        return keep_alive

    return respond


def _hang(service: EchoService, connection: socket.socket, _: dict) -> bool:
    connection.settimeout(10)
    if not connection.recv(1):
        service.closed_early.set()
    return False


def _events(service: EchoService, connection: socket.socket, _: dict) -> bool:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for number in range(5):
        event = f"data: {number} {time.monotonic()}\n\n".encode()
        connection.sendall(b"%x\r\n%b\r\n" % (len(event), event))
        time.sleep(0.05)
    connection.sendall(b"0\r\n\r\n")
    return True


def _endless(service: EchoService, connection: socket.socket, _: dict) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            connection.sendall(b"6\r\ndata\n\n\r\n")
            time.sleep(0.01)
    except OSError:
        service.closed_early.set()
    return False


def _flood(service: EchoService, connection: socket.socket, _: dict) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    with suppress(OSError):
        while True:
            service.sent += connection.send(b"x" * 65536)
    return False


def _websocket(service: EchoService, connection: socket.socket, request: dict) -> bool:
    headers = {name.lower(): value for name, value in request["headers"]}
    if headers.get("upgrade") != "websocket":
        return False
    key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()  # noqa: S324
    connection.sendall(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n"
        f"Sec-WebSocket-Protocol: {headers['sec-websocket-protocol']}\r\n\r\n".encode()
    )
    while data := connection.recv(65536):
        connection.sendall(data)
    service.closed_early.set()
    return False


def _model(service: EchoService, connection: socket.socket, request: dict) -> bool:
    headers = {name.lower(): value for name, value in request["headers"]}
    used_tokens = int(headers.get("x-use", 30))
    body = json.dumps({"usage": {"prompt_tokens": 10, "total_tokens": used_tokens}}).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    connection.sendall(head % len(body) + body)
    return True


def _stalled_stream(service: EchoService, connection: socket.socket, _: dict) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
    connection.settimeout(10)
    connection.recv(1)
    return False


_LONG_VALUE = b"x" * 1000
RESPONDERS: dict[str, Callable[..., bool]] = {
    "/hang": _hang,
    "/flood": _flood,
    "/stalled-stream": _stalled_stream,
    "/socket": _websocket,
    "/ws/socket": _websocket,
    "/socket-refused": _raw(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", keep_alive=True),
    "/socket-false": _raw(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: forged\r\n\r\n"
    ),
    "/v1/chat/completions": _model,
    "/query": _model,
    "/early-413": _raw(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"),
    "/events": _events,
    "/endless": _endless,
    "/die": _raw(b""),
    "/die-in-body": _raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"),
    "/die-in-chunk": _raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"),
    "/garbage": _raw(b"220 smtp.example ESMTP ready\r\n\r\n"),
    "/two-lengths": _raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
    "/both-framings": _raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "/bytes-after": _raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"
        b"Content-Length: 6\r\n\r\npoison",
        keep_alive=True,
    ),
    **dict.fromkeys(
        ("/web/acc_1", "/web/acc_1/sessions", "/cors"),
        _raw(
            b"HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: https://shop.example\r\n"
            b"Access-Control-Allow-Methods: POST\r\nAccess-Control-Allow-Credentials: true\r\n"
            b"Vary: Origin\r\n"
            b"Content-Security-Policy: frame-ancestors https://shop.example\r\n\r\n",
            keep_alive=True,
        ),
    ),
    "/early-hints": _raw(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        keep_alive=True,
    ),
    "/huge-head": _raw(
        b"HTTP/1.1 200 OK\r\n"
        + b"".join(b"X-%d: %b\r\n" % (i, _LONG_VALUE) for i in range(2000))
        + b"\r\n"
    ),
    "/until-close": _raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it"),
    "/problem": _raw(
        b"HTTP/1.1 409 Conflict\r\nContent-Type: application/problem+json\r\n"
        b'Retry-After: 7\r\nContent-Length: 25\r\n\r\n{"code": "echo_conflict"}',
        keep_alive=True,
    ),
    "/no-content": _raw(b"HTTP/1.1 204 No Content\r\n\r\n", keep_alive=True),
    "/named-by-connection": _raw(
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-Stays: 1\r\n"
        b"Content-Length: 2\r\n\r\nok",
        keep_alive=True,
    ),
}
