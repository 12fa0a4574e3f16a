"""WebSocket handshakes: authentication and limits before the upgrade, then the session."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from backend.chassis.web.asyncio_server.errors import ResponseError
from backend.security import Principal
from backend.security.authentication import Credentials
from backend.security.http_errors import unauthenticated
from backend.services.realtime.domain.positions import parse_position
from backend.services.realtime.domain.tickets import redeem_ticket
from backend.services.realtime.domain.topics import TopicForbidden, UnknownTopic, resolve_topic
from backend.services.realtime.edge.sessions.centrifuge import CentrifugeSession
from backend.services.realtime.edge.sessions.socketio import SocketIoSession
from backend.services.realtime.edge.sessions.unidirectional import UnidirectionalSession
from backend.services.realtime.errors import (
    DeliveryUnavailable,
    Draining,
    InvalidHandshake,
    InvalidPosition,
    InvalidTicket,
    TooManySockets,
    TopicNotAllowed,
    TopicNotFound,
    UpgradeRequired,
)
from backend.services.realtime.model import BrokerUnavailable

if TYPE_CHECKING:
    from backend.services.realtime.edge.http_connection import (
        RealtimeHttpConnection,
        RealtimeRequest,
    )
    from backend.services.realtime.edge.server import RealtimeServer
    from backend.services.realtime.edge.websocket import WebSocket

CONNECT_PATH = "/ws/connect"
_TOPIC_PATHS = {f"/ws/{name}": name for name in ("packages", "dashboard", "map", "agents")}
SOCKET_IO_PATHS = frozenset({"/socket.io", "/socket.io/"})
WEBSOCKET_PATHS = frozenset({CONNECT_PATH, *_TOPIC_PATHS, *SOCKET_IO_PATHS})
SUBPROTOCOL = "suite.v1"
_BEARER_PROTOCOL = "bearer."
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TIMEOUT_SECONDS = 10.0


class Handshake:
    """Answers one WebSocket handshake."""

    def __init__(
        self,
        server: RealtimeServer,
        client: RealtimeHttpConnection,
        request: RealtimeRequest,
        request_id: str,
        path: str,
        query: Mapping[str, str],
    ) -> None:
        self._server = server
        self._client = client
        self._request = request
        self._request_id = request_id
        self._path = path
        self._query = query
        self._received = b""
        self._finished = False

    # RequestHandler

    def start(self) -> None:
        error = self._check_request()
        if error is not None:
            self._reject(error)
            return
        self._client.set_timeout(_TIMEOUT_SECONDS)
        authenticate(self._server, self._request, self._query, self._authenticated)

    def receive_body(self, data: bytes, ended: bool) -> None:
        """Do nothing: a handshake with a body is rejected."""

    def client_disconnected(self) -> None:
        self._finished = True

    def handle_timeout(self, now: float) -> None:  # noqa: ARG002
        self._finished = True
        self._client.abort_response()

    def pause_response(self) -> None:
        """Do nothing: the response is small."""

    def resume_response(self) -> None:
        """Do nothing: the response is small."""

    # Steps

    def _check_request(self) -> ResponseError | None:
        request = self._request
        headers = request.headers
        if not request.is_websocket_upgrade or headers.get("sec-websocket-version") != "13":
            return UpgradeRequired()
        if not _is_valid_key(headers.get("sec-websocket-key", "")):
            return InvalidHandshake("Sec-WebSocket-Key must be 16 bytes in base64.")
        if self._path in SOCKET_IO_PATHS and self._query.get("EIO") != "4":
            return InvalidHandshake("Only Engine.IO 4 is supported: Socket.IO clients from 3.0.")
        if self._server.draining:
            return Draining()
        if self._server.is_full:
            return TooManySockets()
        return None

    def _authenticated(self, result: Principal | ResponseError | None) -> None:
        if self._finished:
            return
        if isinstance(result, Principal):
            session = self._create_session(result)
        elif result is not None:
            session = result
        elif self._path == CONNECT_PATH or self._path in SOCKET_IO_PATHS:
            # The first message contains the token.
            session = self._create_bidirectional_session(None)
        else:
            session = unauthenticated(
                "not_authenticated", "Send credentials in a header, as a subprotocol or a ticket."
            )
        if isinstance(session, Exception):
            self._reject(session)
        else:
            self._upgrade(session)

    def _create_session(self, principal: Principal) -> WebSocket | ResponseError:
        """Create the session for *principal*, registered within its limits."""
        session: WebSocket
        if self._path not in _TOPIC_PATHS:
            session = self._create_bidirectional_session(principal)
        else:
            name = _TOPIC_PATHS[self._path]
            if name == "packages" and "package_id" in self._query:
                name = f"packages:{self._query['package_id']}"
            try:
                topic = resolve_topic(name, principal)
                since = parse_position(self._query.get("since"))
            except UnknownTopic:
                return TopicNotFound()
            except TopicForbidden:
                return TopicNotAllowed()
            except InvalidPosition as error:
                return error
            session = UnidirectionalSession(self._server, principal, topic, since)
        if not self._server.register(session, principal):
            return TooManySockets()
        return session

    def _create_bidirectional_session(self, principal: Principal | None) -> WebSocket:
        if self._path in SOCKET_IO_PATHS:
            return SocketIoSession(self._server, principal)
        return CentrifugeSession(self._server, principal)

    def _upgrade(self, session: WebSocket) -> None:
        self._finished = True
        headers = self._request.headers
        accept = hashlib.sha1(
            headers["sec-websocket-key"].encode() + _GUID, usedforsecurity=False
        ).digest()
        offered = _parse_list(headers.get("sec-websocket-protocol", ""))
        protocol_line = (
            f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n" if SUBPROTOCOL in offered else ""
        )
        head = (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Accept: {base64.b64encode(accept).decode()}\r\n{protocol_line}"
            f"X-Request-ID: {self._request_id}\r\n\r\n"
        )
        client = self._client
        transport, received = client.transport, client.detach()
        session.attach(transport, head.encode("latin-1"), received)

    def _reject(self, error: ResponseError) -> None:
        self._finished = True
        self._client.send_error(error, self._request_id)


def authenticate(
    server: RealtimeServer,
    request: RealtimeRequest,
    query: Mapping[str, str],
    callback: Callable[[Principal | ResponseError | None], None],
) -> None:
    """Verify the credentials of a request and call *callback* with the result.

    It is called with None if there are no credentials. They are sent in a header, as the
    subprotocol `bearer.TOKEN`, which browsers can send, or as a ticket in the query. A token is
    never accepted in the query: URLs are logged.
    """
    headers = request.headers
    if "ticket" in query:
        server.create_task(_redeem(server, query["ticket"], callback))
        return
    authorization, key = headers.get("authorization", ""), headers.get("x-api-key", "")
    for protocol in _parse_list(headers.get("sec-websocket-protocol", "")):
        if protocol.startswith(_BEARER_PROTOCOL):
            authorization = f"Bearer {protocol[len(_BEARER_PROTOCOL) :]}"
    if not authorization and not key:
        callback(None)
        return
    server.authenticate(Credentials(authorization, key, headers.get("x-tenant-id")), callback)


async def _redeem(
    server: RealtimeServer,
    ticket: str,
    callback: Callable[[Principal | ResponseError | None], None],
) -> None:
    try:
        principal = await redeem_ticket(server.broker, ticket)
    except BrokerUnavailable:
        callback(DeliveryUnavailable())
        return
    if principal is None:
        callback(InvalidTicket())
        return
    # The session may have ended since the ticket was issued.
    server.check_session(principal, callback)


def _is_valid_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _parse_list(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]
