"""The HTTP side of a connection: finds the handler of each request."""

from __future__ import annotations

from urllib.parse import parse_qsl

from backend.chassis.web.asyncio_server.connection import HttpConnection
from backend.chassis.web.asyncio_server.flask_handler import FlaskRequestHandler
from backend.chassis.web.asyncio_server.request_handler import RequestHandler
from backend.chassis.web.http1.request_head import (
    ALLOWED_METHODS,
    HeaderBlock,
    HeaderParser,
    Request,
    parse_request_head,
)
from backend.chassis.web.http1.request_target import InvalidTarget, normalize_target
from backend.security import HttpError
from backend.services.realtime.edge.event_streams import EventStream
from backend.services.realtime.edge.handshake import WEBSOCKET_PATHS, Handshake
from backend.services.realtime.edge.server import RealtimeServer

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"}
)
# Headers that the Flask handler adds itself.
_ADDED = frozenset({"host", "content-length", "x-request-id", "x-forwarded-for"})
_PARSED_NAMES = frozenset(
    {
        "authorization",
        "x-api-key",
        "x-tenant-id",
        "x-request-id",
        "x-forwarded-for",
        "last-event-id",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
    }
)
_SINGLE_NAMES = frozenset(
    {"authorization", "x-api-key", "x-tenant-id", "sec-websocket-key", "sec-websocket-version"}
)

RealtimeRequest = Request[HeaderBlock]


def _is_passed_on(name: str) -> bool:
    # WSGI maps `X_User_ID` and `X-User-ID` to one variable, so names with `_` are dropped.
    return name not in _HOP_BY_HOP and name not in _ADDED and "_" not in name


_parser = HeaderParser(HeaderBlock, _is_passed_on, _PARSED_NAMES, _SINGLE_NAMES)


class RealtimeHttpConnection(HttpConnection[RealtimeServer, HeaderBlock]):
    """One HTTP connection of a client or of the gateway."""

    __slots__ = ()

    def _parse_request(self, data: bytes, end: int) -> RealtimeRequest:
        return parse_request_head(data[:end], _parser)

    def _select_handler(self, request: RealtimeRequest, request_id: str) -> RequestHandler | None:
        if request.target == "*":
            self._send_empty_response(200, request_id, f"Allow: {ALLOWED_METHODS}\r\n")
            return None
        try:
            path, query = normalize_target(request.target)
        except InvalidTarget as error:
            self.send_error(
                HttpError(400, "bad_target", "Invalid request target", str(error)), request_id
            )
            return None
        if path in WEBSOCKET_PATHS:
            return Handshake(self.server, self, request, request_id, path, parse_query(query))
        if path == "/sse" or path.startswith("/sse/"):
            return EventStream(self.server, self, request, request_id, path, parse_query(query))
        return FlaskRequestHandler(self.server, self, request, request_id, path, query)


def parse_query(query: str) -> dict[str, str]:
    """Return the parameters of *query*; the first of repeated ones."""
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query[1:], max_num_fields=32):
        parameters.setdefault(name, value)
    return parameters
