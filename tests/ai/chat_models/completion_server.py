"""A model server whose responses are given as bytes, and the headers and bodies it received."""

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.services.agent.fakes import run_server


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

    def handle_request(self, handler: BaseHTTPRequestHandler) -> None:
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


def run_completion_server(*responses: RawResponse) -> AbstractContextManager[CompletionServer]:
    """Serve *responses* on a free loopback port."""
    return run_server(CompletionServer(list(responses)))
