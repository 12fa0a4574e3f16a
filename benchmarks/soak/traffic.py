"""Users of all services: each repeats the same round of requests, and keeps a WebSocket open."""

import json
import random
import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import requests
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.suite.conftest import PASSWORD, RESPONSE_SECONDS, Suite

WORDS = ("valve", "pump", "runway", "invoice", "turbine", "warranty", "harbour", "ledger")
# Responses of limits, which the load may reach: rate limits, and sign-ins at once.
LIMITED = {"429 rate_limited", "503 too_busy"}
SOCKET = "WebSocket /ws/connect"
# After this time a socket is closed and opened again with another session.
SOCKET_SECONDS = 45.0
_ASSET = re.compile(r"""["'](/console/assets/[^"']+)["']""")
_numbers = count(1)


class Recorder:
    """Responses of all users so far.

    Attributes:
        seconds: durations of the expected responses by route.
        errors: unexpected responses by route and by status with the code of the problem, or by the
            name of the exception.
        deliveries: publications that WebSocket clients have received.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.errors: Counter[tuple[str, str]] = Counter()
        self.deliveries = 0
        self._lock = threading.Lock()

    def add_response(self, route: str, seconds: float) -> None:
        with self._lock:
            self.seconds[route].append(seconds)

    def add_error(self, route: str, status: str) -> None:
        with self._lock:
            self.errors[route, status] += 1

    def add_deliveries(self, number: int) -> None:
        with self._lock:
            self.deliveries += number

    def copy_counts(self) -> tuple[dict[str, int], Counter[tuple[str, str]], int]:
        """Return the numbers of responses by route, the errors, and the deliveries."""
        with self._lock:
            counts = {route: len(seconds) for route, seconds in self.seconds.items()}
            return counts, self.errors.copy(), self.deliveries


class User:
    """A registered user. *seed* determines what it does."""

    def __init__(self, suite: Suite, recorder: Recorder, seed: int) -> None:
        self._url = suite.url
        self._socket_url = suite.url.replace("http", "ws", 1) + "/ws/connect"
        self._recorder = recorder
        self._chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._username: str = suite.register_user("soak").account["user"]["username"]

    def run(self, until: float) -> None:
        """Repeat rounds until the monotonic time *until*."""
        while time.monotonic() < until:
            self.run_round()

    def run_round(self) -> None:
        """Sign in, use every service once, and sign out."""
        with self._signed_in() as send:
            if send is None:
                return
            thing = f"{self._chance.choice(WORDS)} {self._chance.randrange(10**6)}"
            document = self._upload_note(send, thing)
            self._search_and_ask(send, f"How long does the {thing} last?")
            self._write_messages(send, f"Where is the {thing}?")
            self._track_package(send)
            self._open_console(send)
            send("GET /admin/me/stats", "/admin/me/stats?days=7", 200)
            if document is not None and self._chance.random() < 0.5:
                send("DELETE /rag/documents", f"/rag/documents/{document}", 204)

    def run_socket(self, until: float) -> None:
        """Keep a WebSocket open until the monotonic time *until*, opened again now and then."""
        while time.monotonic() < until:
            with self._signed_in() as send:
                if send is None:
                    continue
                end = min(until, time.monotonic() + SOCKET_SECONDS)
                try:
                    self._receive(send.token, end)
                except (OSError, WebSocketException) as error:
                    self._recorder.add_error(SOCKET, type(error).__name__)

    def _receive(self, token: str, end: float) -> None:
        began = time.perf_counter()
        with connect(self._socket_url) as socket:
            _send_commands(
                socket,
                {"id": 1, "connect": {"token": token}},
                {"id": 2, "subscribe": {"channel": "packages"}},
            )
            is_subscribed = False
            while time.monotonic() < end:
                with suppress(TimeoutError):
                    replies = str(socket.recv(timeout=1)).split("\n")
                    if not is_subscribed and any('"subscribe"' in reply for reply in replies):
                        is_subscribed = True
                        self._recorder.add_response(SOCKET, time.perf_counter() - began)
                    if "{}" in replies:
                        socket.send("{}")
                    self._recorder.add_deliveries(sum('"pub"' in reply for reply in replies))

    @contextmanager
    def _signed_in(self) -> Iterator["Sender | None"]:
        """Yield a function that sends requests of a new session, or None without one."""
        with requests.Session() as session:
            send = Sender(self._url, session, self._recorder)
            body = {"username": self._username, "password": PASSWORD}
            tokens = send("POST /auth/login", "/auth/login", 200, json=body)
            if not isinstance(tokens, dict):
                time.sleep(0.1)
                yield None
                return
            send.set_token(tokens["access_token"])
            refresh = {"refresh_token": tokens["refresh_token"]}
            tokens = send("POST /auth/refresh", "/auth/refresh", 200, json=refresh)
            if isinstance(tokens, dict):
                send.set_token(tokens["access_token"])
            yield send
            send("POST /auth/logout", "/auth/logout", 204)

    def _upload_note(self, send: "Sender", thing: str) -> str | None:
        """Upload a note and return its id."""
        months = self._chance.randrange(90)
        text = f"The {thing} lasts {months} months. " + "It is made of steel. " * 20
        files = {"file": ("note.txt", text.encode())}
        label = "POST /rag/documents?wait"
        uploaded = send(label, "/rag/documents?wait=60", 201, 202, files=files)
        return str(uploaded["documents"][0]["id"]) if isinstance(uploaded, dict) else None

    def _search_and_ask(self, send: "Sender", question: str) -> None:
        search = {"query": question}
        for _ in range(2):
            send("POST /rag/search", "/rag/search", 200, json=search)
        send("POST /rag/query", "/rag/query", 200, json=search)
        ask = {"user_request": question}
        send("POST /agent/query", "/agent/query", 200, json=ask)
        stream = ask | {"stream": True}
        send("POST /agent/query, streamed", "/agent/query", 200, json=stream)
        send.disconnect_early("POST /agent/query, disconnected", "/agent/query", stream)
        send("GET /agent/sessions", "/agent/sessions", 200)

    def _write_messages(self, send: "Sender", question: str) -> None:
        """Open a conversation in chat, write two messages, and sometimes delete it."""
        path, label = "/chat/message?wait=30", "POST /chat/message?wait"
        opened = send(label, path, 200, 201, 202, json={"content": question})
        if not isinstance(opened, dict):
            return
        conversation = opened["conversation_id"]
        again = {"content": "And when was it sent?", "conversation_id": conversation}
        send(label, path, 200, 201, 202, json=again)
        send("GET /chat/conversations", "/chat/conversations", 200)
        if self._chance.random() < 0.5:
            target = f"/chat/conversations/{conversation}"
            send("DELETE /chat/conversations", target, 204)

    def _track_package(self, send: "Sender") -> None:
        """Create a package, record two events, and sometimes delete it."""
        body = {"tracking_number": f"SOAK{next(_numbers):010}", "carrier": "own"}
        created = send("POST /packages", "/packages", 201, json=body)
        if not isinstance(created, dict):
            return
        path = f"/packages/{created['id']}"
        for code in ("accepted", "departed"):
            event = {"code": code, "occurred_at": datetime.now(UTC).isoformat()}
            label = "POST /packages/ID/events"
            send(label, f"{path}/events", 200, 201, json={"events": [event]})
        send("GET /packages", "/packages?limit=20", 200)
        if self._chance.random() < 0.5:
            send("DELETE /packages", path, 204)

    def _open_console(self, send: "Sender") -> None:
        page = send("GET /console", "/console/", 200)
        if isinstance(page, str):
            for asset in _ASSET.findall(page)[:3]:
                send("GET /console/assets", asset, 200)


class Sender:
    """Sends requests of one session and records their responses."""

    def __init__(self, url: str, session: requests.Session, recorder: Recorder) -> None:
        self._url = url
        self._session = session
        self._recorder = recorder
        self.token = ""

    def set_token(self, token: str) -> None:
        self.token = token
        self._session.headers["Authorization"] = f"Bearer {token}"

    def __call__(self, label: str, path: str, *expected: int, **options: Any) -> Any:
        """Send the request whose method begins *label*.

        Returns:
            The content of a response with an expected status, parsed if it is JSON; else None.
        """
        method = label.partition(" ")[0]

        def send() -> requests.Response:
            return self._session.request(
                method, self._url + path, timeout=RESPONSE_SECONDS, **options
            )

        response = self._record(label, send, expected)
        if response is None:
            return None
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return response.json() if is_json else response.text

    def disconnect_early(self, label: str, path: str, body: dict[str, object]) -> None:
        """Post *body* and close the connection after the first line of the response."""

        def send() -> requests.Response:
            options = {"json": body, "timeout": RESPONSE_SECONDS, "stream": True}
            with self._session.post(self._url + path, **options) as response:
                next(response.iter_lines(), None)
            return response

        self._record(label, send, (200,))

    def _record(
        self, label: str, send: Callable[[], requests.Response], expected: tuple[int, ...]
    ) -> requests.Response | None:
        began = time.perf_counter()
        try:
            response = send()
        except requests.RequestException as error:
            self._recorder.add_error(label, type(error).__name__)
            return None
        if response.status_code not in expected:
            self._recorder.add_error(label, _describe_error(response))
            return None
        self._recorder.add_response(label, time.perf_counter() - began)
        return response


def _describe_error(response: requests.Response) -> str:
    """Return the status and, for a problem document, its code."""
    code = ""
    if "json" in response.headers.get("Content-Type", ""):
        with suppress(ValueError):
            code = str(response.json().get("code", ""))
    return f"{response.status_code} {code}".strip()


def _send_commands(socket: ClientConnection, *commands: dict[str, object]) -> None:
    socket.send("\n".join(map(json.dumps, commands)))
