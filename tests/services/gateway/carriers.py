"""The same gateway on its two carriers, on real sockets: the Flask view and the edge."""

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
from backend.services.gateway.domain.forwarding import Forwarding
from backend.services.gateway.edge.carrier import Carrier
from backend.services.gateway.edge.client import Client
from backend.services.gateway.edge.ledger import AccessLog


class RunningEdge:
    """The edge on a loop in a thread of its own."""

    def __init__(self, app: Flask, redis_url: str | None = None) -> None:
        with app.app_context():
            self._forwarding = use(Forwarding)
        self._app = app
        self._redis_url = redis_url
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0
        self.carrier: Carrier
        self.loop: asyncio.AbstractEventLoop

    def __enter__(self) -> "RunningEdge":
        self._thread.start()
        assert self._started.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def run(self, function, *arguments):
        """Call *function* on the loop and wait for what it gives."""

        async def call():
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(5)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.log_end, log = os.pipe()
        os.set_blocking(log, False)
        self.carrier = Carrier(
            self._app, self._forwarding, self._redis_url, self.loop, log=AccessLog(log)
        )
        self.carrier.start()
        server = await self.loop.create_server(
            lambda: Client(self.carrier), "127.0.0.1", 0, backlog=512
        )
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        self.carrier.stop()
        await asyncio.sleep(0.05)
        os.close(log)
        os.close(self.log_end)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def running_view(app: Flask) -> Iterator[int]:
    """The port on which the Flask view is served, a thread a request."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(5)
        server.server_close()


class Answer:
    """One answer, read strictly enough for a test."""

    def __init__(self, status: int, fields: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.fields = fields
        self.body = body
        self.headers = {name.lower(): value for name, value in fields}

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.fields if known.lower() == name]


class Caller:
    """A raw connection to a gateway."""

    def __init__(self, port: int, timeout: float = 5.0) -> None:
        self._address = ("127.0.0.1", port)
        self._timeout = timeout
        self._ends = False
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.create_connection(self._address, self._timeout)
        self.reader = self.socket.makefile("rb")

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.reader.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, method: str, target: str, *headers: str, body: bytes = b"") -> Answer:
        if self._ends:
            self.close()
            self._connect()
        lines = [f"{method} {target} HTTP/1.1", "Host: gateway.example", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return self.answer(method)

    def answer(self, method: str = "GET") -> Answer:
        """The next final answer."""
        while True:
            status, fields = self.head()
            if status >= 200 or status == 101:
                break
        headers = {name.lower(): value for name, value in fields}
        self._ends = headers.get("connection", "").lower() == "close"
        if method == "HEAD" or status in (101, 204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b"".join(self.chunks())
        elif "content-length" in headers:
            length = int(headers["content-length"])
            body = self.reader.read(length)
            if len(body) < length:
                raise EOFError("the body was cut")
        else:
            body = self.reader.read()
        return Answer(status, fields, body)

    def head(self) -> tuple[int, list[tuple[str, str]]]:
        line = self.reader.readline()
        if not line:
            raise EOFError("no answer")
        status = int(line.split(b" ")[1])
        fields = []
        while (line := self.reader.readline()) != b"\r\n":
            if not line:
                raise EOFError("the head was cut")
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(":")
            fields.append((name, value.strip()))
        return status, fields

    def chunks(self) -> Iterator[bytes]:
        while True:
            line = self.reader.readline()
            if not line:
                raise EOFError("the body was cut")
            size = int(line, 16)
            data = self.reader.read(size)
            if len(data) < size or self.reader.readline() != b"\r\n":
                raise EOFError("the body was cut")
            if not size:
                return
            yield data

    def closed(self) -> bool:
        """Whether the gateway ends the connection, and says no more before it does."""
        try:
            return self.reader.read(1) == b""
        except ConnectionResetError:
            return True


def received(answer: Any) -> dict[str, str]:
    """The fields that the echoing service was sent, by their names in lower case."""
    return {name.lower(): value for name, value in json.loads(answer.body)["headers"]}
