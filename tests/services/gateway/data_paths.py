"""Run the gateway on either data path, over real sockets, and a raw HTTP client for it."""

import asyncio
import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvloop
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from backend.chassis.web.app_factory import use
from backend.services.gateway.domain.forwarding import RequestForwarder
from backend.services.gateway.edge.client_connection import ClientConnection
from backend.services.gateway.edge.observability.edge_metrics import AccessLog
from backend.services.gateway.edge.worker_state import WorkerState


class RunningEdge:
    """The asyncio data path, on an event loop in a separate thread."""

    def __init__(self, app: Flask, redis_url: str | None = None) -> None:
        with app.app_context():
            self._forwarder = use(RequestForwarder)
        self._app = app
        self._redis_url = redis_url
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0
        self.state: WorkerState
        self.loop: asyncio.AbstractEventLoop

    def __enter__(self) -> "RunningEdge":
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def call(self, function, *arguments):
        """Call *function* on the event loop and return its result."""

        async def run():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.log_reader, log = os.pipe()
        os.set_blocking(log, False)
        self.state = WorkerState(
            self._app, self._forwarder, self._redis_url, self.loop, log=AccessLog(log)
        )
        self.state.start()
        server = await self.loop.create_server(
            lambda: ClientConnection(self.state), "127.0.0.1", 0, backlog=512
        )
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        self.state.stop()
        await asyncio.sleep(0.05)
        os.close(log)
        os.close(self.log_reader)


class _QuietRequestHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serve_flask(app: Flask, port: int = 0) -> Iterator[int]:
    """Serve the app with Flask's development server and yield its port."""
    server = make_server(
        "127.0.0.1", port, app, threaded=True, request_handler=_QuietRequestHandler
    )
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


class Response:
    """A complete HTTP response."""

    def __init__(self, status: int, fields: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self.headers = {name.lower(): value for name, value in fields}

    def get_all(self, name: str) -> list[str]:
        return [value for field_name, value in self.fields if field_name.lower() == name]


class RawClient:
    """A raw HTTP/1.1 client with one connection to the gateway."""

    def __init__(self, port: int, timeout: float = 30.0) -> None:
        self._address = ("127.0.0.1", port)
        self._timeout = timeout
        self._must_reconnect = False
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.create_connection(self._address, self._timeout)
        self.reader = self.socket.makefile("rb")

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.reader.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(self, method: str, target: str, *headers: str, body: bytes = b"") -> Response:
        if self._must_reconnect:
            self.close()
            self._connect()
        lines = [f"{method} {target} HTTP/1.1", "Host: gateway.example", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return self.read_response(method)

    def read_response(self, method: str = "GET") -> Response:
        """Read the next final response."""
        while True:
            status, fields = self.read_head()
            if status >= 200 or status == 101:
                break
        headers = {name.lower(): value for name, value in fields}
        self._must_reconnect = headers.get("connection", "").lower() == "close"
        if method == "HEAD" or status in (101, 204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b"".join(self.read_chunks())
        elif "content-length" in headers:
            length = int(headers["content-length"])
            body = self.reader.read(length)
            if len(body) < length:
                raise EOFError("truncated body")
        else:
            body = self.reader.read()
        return Response(status, fields, body)

    def read_head(self) -> tuple[int, list[tuple[str, str]]]:
        line = self.reader.readline()
        if not line:
            raise EOFError("no response")
        status = int(line.split(b" ")[1])
        fields = []
        while (line := self.reader.readline()) != b"\r\n":
            if not line:
                raise EOFError("truncated head")
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(":")
            fields.append((name, value.strip()))
        return status, fields

    def read_chunks(self) -> Iterator[bytes]:
        while True:
            line = self.reader.readline()
            if not line:
                raise EOFError("truncated body")
            size = int(line, 16)
            data = self.reader.read(size)
            if len(data) < size or self.reader.readline() != b"\r\n":
                raise EOFError("truncated body")
            if not size:
                return
            yield data

    def is_closed(self) -> bool:
        """Return True if the gateway closes the connection without sending more data."""
        try:
            return self.reader.read(1) == b""
        except ConnectionResetError:
            return True


def get_received_headers(response: Any) -> dict[str, str]:
    """Return the headers that the echo service received, by lower-case name."""
    return {name.lower(): value for name, value in json.loads(response.body)["headers"]}
