"""An auth service as the others see it: it publishes keys and exchanges API keys."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Auth:
    """What it answers by path, status and body; and what it was asked."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    url: str = ""

    def publish(self, *keys: dict[str, str]) -> None:
        self.answers["/.well-known/jwks.json"] = (200, {"keys": list(keys)})

    def exchange(self, status: int, body: Any) -> None:
        self.answers["/api-keys/exchange"] = (status, body)

    def times(self, path: str) -> int:
        return sum(1 for asked, _ in self.asked if asked == path)


@contextmanager
def auth_service() -> Iterator[Auth]:
    auth = Auth()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(None)

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def answer(self, body: Any) -> None:
            auth.asked.append((self.path, body))
            status, told = auth.answers.get(self.path, (404, {}))
            raw = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    auth.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield auth
    server.shutdown()
    server.server_close()
