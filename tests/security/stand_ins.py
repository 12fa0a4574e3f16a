"""Stand-in for the auth service: publishes keys and exchanges API keys."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class AuthStandIn:
    """Responses (status, body) by path, and the recorded requests (path, body)."""

    responses: dict[str, tuple[int, Any]] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    url: str = ""
    # Requests wait for it before they are answered.
    may_respond: threading.Event = field(default_factory=threading.Event)

    def publish(self, *keys: dict[str, str]) -> None:
        self.responses["/.well-known/jwks.json"] = (200, {"keys": list(keys)})

    def respond_to_exchange(self, status: int, body: Any) -> None:
        self.responses["/api-keys/exchange"] = (status, body)

    def count_requests(self, path: str) -> int:
        return sum(1 for requested, _ in self.requests if requested == path)


@contextmanager
def auth_service() -> Iterator[AuthStandIn]:
    auth = AuthStandIn()
    auth.may_respond.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.respond(None)

        def do_POST(self) -> None:
            self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def respond(self, body: Any) -> None:
            auth.requests.append((self.path, body))
            auth.may_respond.wait(10)
            status, content = auth.responses.get(self.path, (404, {}))
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
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
