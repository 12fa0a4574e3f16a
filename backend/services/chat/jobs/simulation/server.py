"""The server that all simulated providers share: requests, stored messages, planned faults."""

import json
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message as HeaderMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

FaultKind = Literal[
    "rate_limited",
    "unavailable",
    "server_error",
    "lost",
    "dropped",
    "slow",
    "rejected",
    "window",
    "template_paused",
]
_MAX_BODY_BYTES: Final = 128 * 2**20
_SLOW_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure of the next request that sends a message.

    `rate_limited`: 429 with Retry-After. `unavailable`: 503. `server_error`: 500, not stored.
    `lost`: stored, but the connection closes without a response. `dropped`: the same, not stored.
    `slow`: stored, and no response until the client gives up. `rejected`: a permanent error.
    `window`: the window of the conversation is closed. `template_paused`: WhatsApp only.
    """

    kind: FaultKind
    retry_after: int = 1


@dataclass(frozen=True, slots=True)
class SimulatedRequest:
    """One HTTP request. `fields` is its JSON object, or its form."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SimulatedResponse:
    """A response. `content` is sent as JSON; None for an empty body."""

    status: int
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message that the simulated provider has accepted."""

    id: str
    to: str
    text: str
    ref: str | None
    at: float
    fields: Mapping[str, Any]


class Simulator(ABC):
    """A provider on a free port of the loopback address. Use it as a context manager."""

    channel: str

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.messages: list[StoredMessage] = []
        self.requests: list[SimulatedRequest] = []
        self.is_revoked = False
        # Half of it passes before a message is stored, and half before the response.
        self.latency_seconds = 0.0
        # Called with each stored message, to send a status or an echo.
        self.on_stored: Callable[[StoredMessage], None] | None = None
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._number = 0
        self._server = _Server((address, port), _create_handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        """Base URL of the server."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def host(self) -> str:
        """Host and port, for the list of private hosts."""
        return self.url.removeprefix("http://")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def plan(self, *faults: Fault | FaultKind, text: str = "") -> None:
        """Let the next sending requests fail, one after the other.

        Args:
            text: only requests that contain this text, which no encoding changes.
        """
        planned = [Fault(item) if isinstance(item, str) else item for item in faults]
        with self._lock:
            self._faults.extend((text, fault) for fault in planned)

    @abstractmethod
    def get_settings(self) -> dict[str, Any]:
        """Return the settings of an account at this provider."""

    @abstractmethod
    def get_credentials(self) -> dict[str, str]:
        """Return the credentials of that account."""

    @abstractmethod
    def sends(self, request: SimulatedRequest) -> bool:
        """Return whether *request* sends a message."""

    @abstractmethod
    def is_authorized(self, request: SimulatedRequest) -> bool:
        """Return whether *request* has the token."""

    @abstractmethod
    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        """Respond to a request without faults."""

    @abstractmethod
    def describe_error(self, kind: str, retry_after: int) -> SimulatedResponse:
        """Return the provider's response for a fault, or for the kind `revoked`."""

    def store(self, to: str, text: str, ref: str | None, fields: Mapping[str, Any]) -> str:
        """Store a message and return its id."""
        with self._lock:
            self._number += 1
            message_id = self.make_id(self._number)
            stored = StoredMessage(message_id, to, text, ref, time.time(), dict(fields))
            self.messages.append(stored)
        if self.on_stored is not None:
            self.on_stored(stored)
        return message_id

    def make_id(self, number: int) -> str:
        """Return the id of message *number*."""
        return f"{self.channel}-{number}"

    def handle(self, request: SimulatedRequest) -> SimulatedResponse | None:
        """Return the response, or None to close the connection without one."""
        with self._lock:
            self.requests.append(request)
            can_fail = self.sends(request) and not self.is_revoked
            fault = self._take_fault(request) if can_fail else None
        if self.is_revoked or not self.is_authorized(request):
            return self.describe_error("revoked", 0)
        if fault is None:
            self._stopping.wait(self.latency_seconds / 2)
            response = self.respond(request)
            self._stopping.wait(self.latency_seconds / 2)
            return response
        if fault.kind == "dropped":
            return None
        if fault.kind in {"lost", "slow"}:
            self.respond(request)
            if fault.kind == "slow":
                self._stopping.wait(_SLOW_SECONDS)
            return None
        return self.describe_error(fault.kind, fault.retry_after)

    def _take_fault(self, request: SimulatedRequest) -> Fault | None:
        for index, (text, fault) in enumerate(self._faults):
            if text.encode() in request.body:
                del self._faults[index]
                return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A worker that is killed can leave many connections that were not accepted.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that have closed the connection."""


def _create_handler(simulator: Simulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = _SLOW_SECONDS

        def _respond(self) -> None:
            request = self._read_request()
            response = simulator.handle(request)
            if response is None:
                self.close_connection = True
                return
            content = b"" if response.content is None else json.dumps(response.content).encode()
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _respond  # noqa: N815 - the base class's names

        def _read_request(self) -> SimulatedRequest:
            length = min(int(self.headers.get("Content-Length") or 0), _MAX_BODY_BYTES)
            body = self.rfile.read(length)
            if len(body) < length:
                raise ConnectionError("the client closed the connection within its request")
            parts = urlsplit(self.path)
            return SimulatedRequest(
                self.command,
                parts.path,
                dict(parse_qsl(parts.query, keep_blank_values=True)),
                {name.lower(): value for name, value in self.headers.items()},
                body,
                _read_fields(self.headers, body),
            )

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Print nothing."""

    return Handler


def _read_fields(headers: HeaderMessage, body: bytes) -> dict[str, Any]:
    content_type = headers.get_content_type()
    if content_type == "application/json":
        try:
            value = json.loads(body or b"{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}
    if content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    if content_type == "multipart/form-data":
        return dict(_read_multipart(headers.get_boundary() or "", body))
    return {}


def _read_multipart(boundary: str, body: bytes) -> Iterable[tuple[str, Any]]:
    for section in body.split(b"--" + boundary.encode())[1:-1]:
        head, _, content = section.strip(b"\r\n").partition(b"\r\n\r\n")
        header = HeaderMessage()
        for line in head.decode("utf-8", "replace").split("\r\n"):
            name, _, value = line.partition(":")
            header[name] = value.strip()
        field_name = header.get_param("name", "", "content-disposition")
        file_name = header.get_filename()
        text = content.decode("utf-8", "replace")
        yield str(field_name), (f"file:{file_name}:{len(content)}" if file_name else text)
