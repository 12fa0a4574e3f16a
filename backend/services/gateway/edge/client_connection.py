"""The protocol of one client connection to the gateway: finds routes and chooses handlers."""

from __future__ import annotations

from time import time

from backend.chassis.web.asyncio_server.connection import HttpConnection
from backend.chassis.web.asyncio_server.flask_handler import FlaskRequestHandler
from backend.chassis.web.asyncio_server.request_handler import RequestHandler
from backend.chassis.web.http1.header_writer import format_header_lines
from backend.chassis.web.http1.request_head import ALLOWED_METHODS, Request
from backend.services.gateway.domain.cors import is_preflight
from backend.services.gateway.edge.handlers.proxy_exchange import ProxyExchange
from backend.services.gateway.edge.handlers.websocket_tunnel import WebSocketTunnel
from backend.services.gateway.edge.header_block import GatewayHeaderBlock, GatewayRequest
from backend.services.gateway.edge.worker_state import ResolvedRequestLine, WorkerState

_MAX_CACHED_BLOCK_BYTES = 4096


class ClientConnection(HttpConnection[WorkerState, GatewayHeaderBlock]):
    """One connection of a client to the gateway."""

    __slots__ = ("_cached_block", "_cached_block_bytes", "resolved_line")

    def __init__(self, server: WorkerState) -> None:
        super().__init__(server)
        self._cached_block: GatewayHeaderBlock | None = None
        self._cached_block_bytes = b""
        self.resolved_line: ResolvedRequestLine | None = None

    def _parse_request(self, data: bytes, end: int) -> GatewayRequest:
        """Parse the request whose head ends at *end*.

        The request line and the header block of the previous request are reused if they are the
        same bytes, because clients repeat them.
        """
        server = self.server
        first = data.find(b"\r\n")
        raw_line = data[:first]
        resolved_line = server.request_lines.get(raw_line)
        if resolved_line is None:
            resolved_line = server.resolve_request_line(raw_line)
        self.resolved_line = resolved_line
        raw_block = data[first + 2 : end]
        block = self._cached_block
        if block is None or raw_block != self._cached_block_bytes:
            block = server.header_parser.parse_block(raw_block, first < end)
            if len(raw_block) <= _MAX_CACHED_BLOCK_BYTES:
                self._cached_block_bytes, self._cached_block = raw_block, block
        return Request(resolved_line.line, block)

    def _select_handler(self, request: GatewayRequest, request_id: str) -> RequestHandler | None:
        resolved_line = self.resolved_line
        if resolved_line is None or resolved_line.upstreams is None:
            return self._handle_unrouted(request, request_id)
        headers = request.headers
        is_cross_origin = resolved_line.upstreams.route.is_cross_origin
        if (
            "origin" in headers
            and not is_cross_origin
            and self._answer_preflight(request, request_id)
        ):
            return None
        handler_type = (
            WebSocketTunnel
            if "upgrade" in headers and request.is_websocket_upgrade
            else ProxyExchange
        )
        return handler_type(self.server, self, request, request_id, resolved_line)

    def _handle_unrouted(self, request: GatewayRequest, request_id: str) -> RequestHandler | None:
        """Return the handler of a request without a route, or None if it is already answered."""
        resolved_line = self.resolved_line
        if resolved_line is None or resolved_line.line.target == "*":
            self._answer_empty(200, request_id, f"Allow: {ALLOWED_METHODS}\r\n")
            return None
        if resolved_line.error is not None:
            self.send_error(resolved_line.error, request_id)
            return None
        if self._answer_preflight(request, request_id):
            return None
        return FlaskRequestHandler(
            self.server, self, request, request_id, resolved_line.path, resolved_line.query
        )

    def _answer_preflight(self, request: GatewayRequest, request_id: str) -> bool:
        """Answer a CORS preflight request. Returns False for any other request."""
        headers = request.headers
        origin = headers.get("origin", "")
        requested_method = headers.get("access-control-request-method", "")
        if not is_preflight(request.method, origin, requested_method):
            return False
        fields = self.server.cors.preflight_fields(origin)
        self._answer_empty(204, request_id, format_header_lines(fields))
        return True

    def _answer_empty(self, status: int, request_id: str, extra_lines: str) -> None:
        self._record_request(request_id, status, None)
        self._send_empty_response(status, request_id, extra_lines)

    def uses_openai_errors(self) -> bool:
        return self.resolved_line is not None and self.resolved_line.has_openai_errors

    def _record_rejection(self, request_id: str, status: int, code: str) -> None:
        self.server.metrics.count_refusal(code)
        self._record_request(request_id, status, code)

    def _record_request(self, request_id: str, status: int, reason: str | None) -> None:
        request = self.request
        method = "-" if request is None else request.method
        path = "-"
        if request is not None and self.resolved_line is not None:
            path = self.resolved_line.path or "-"
        self.server.metrics.record_request(
            (time(), method, path, status, 0.0, self.peer, request_id, "-", 0, "", "", reason)
        )
