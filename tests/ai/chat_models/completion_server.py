"""A model server whose responses are given as bytes, and the headers and bodies it received."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class RawResponse:
    """One response. *body* is sent in these parts, each after the client's previous read."""

    body: list[bytes] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class CompletionServer:
    """Sends *responses* in order, the last one repeatedly."""

    def __init__(self, responses: list[RawResponse]) -> None:
        self._responses = responses
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections: set[int] = set()
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.requests.append(json.loads(body))
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        self.connections.add(handler.client_address[1])
        response = self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]
        handler.send_response(response.status)
        for name, value in ({"Content-Type": "text/event-stream"} | response.headers).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(sum(map(len, response.body))))
        handler.end_headers()
        for part in response.body:
            handler.wfile.write(part)
            handler.wfile.flush()


@contextmanager
def run_completion_server(*responses: RawResponse) -> Iterator[CompletionServer]:
    """Serve *responses* on a free loopback port."""
    completion_server = CompletionServer(list(responses))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            completion_server.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    completion_server.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield completion_server
    finally:
        server.shutdown()
        server.server_close()
