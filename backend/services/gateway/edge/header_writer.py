"""Write the heads of forwarded requests and of responses to clients."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backend.chassis.web.asyncio_server import responses
from backend.chassis.web.http1.header_writer import CLOSE_LINE, STATUS_LINES, format_header_lines
from backend.chassis.web.http1.response_head import DATE_BIT, ResponseHead
from backend.security.addresses import client_address, is_trusted, rate_limit_address
from backend.services.gateway.domain.browser_sessions import forwarded_cookies
from backend.services.gateway.domain.headers import (
    CORS_RESPONSE_HEADERS,
    parse_connection_tokens,
)

if TYPE_CHECKING:
    from backend.services.gateway.edge.header_block import GatewayHeaderBlock, GatewayRequest
    from backend.services.gateway.edge.worker_state import WorkerState

_NO_CONTENT = 204
_ACCEPT_ENCODING = re.compile(r"(\r\naccept-encoding: )[^\r]*", re.IGNORECASE)
CORS_BIT = 1 << 29
"""Bit in `ResponseHead.field_bits` that is set if the response has CORS headers."""
_FRAME_OPTIONS_BIT = responses.SECURITY_HEADER_BITS["x-frame-options"]
_PLAIN_CONNECTION_VALUES = frozenset({"close", "keep-alive"})


def prepare_forwarded_head(
    block: GatewayHeaderBlock,
    state: WorkerState,
    peer: str,
    *,
    is_upgrade: bool,
    authorization: str = "",
    service: str = "",
) -> None:
    """Set the attributes of *block* that are the same for all requests that repeat it.

    Args:
        block: the header block to complete.
        state: the state of the worker.
        peer: address of the client connection.
        is_upgrade: True for a WebSocket handshake.
        authorization: value of the Authorization header that a session cookie stands for, or "".
        service: the service that receives the request, if it has a Cookie header.
    """
    headers = block.headers
    address = client_address(peer, headers.get("x-forwarded-for", ""), state.trusted_proxies)
    scheme = state.scheme
    if headers.get("x-forwarded-proto") == "https" and is_trusted(peer, state.trusted_proxies):
        scheme = "https"
    if block.chunked:
        framing = "Transfer-Encoding: chunked\r\n"
    elif is_upgrade:
        framing = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    elif "content-length" in headers:
        framing = f"Content-Length: {block.content_length}\r\n"
    else:
        framing = ""
    block.rate_limit_address = rate_limit_address(address)
    lines = block.forwarded_lines
    if "cookie" in headers:
        lines = _replace_cookie_line(lines, forwarded_cookies(service, headers["cookie"]))
    if authorization:
        # An empty Authorization header does not take precedence over the cookie.
        lines = [line for line in lines if not line.lower().startswith("authorization:")]
        lines.append(f"Authorization: {authorization}\r\n")
    block.forwarded_variant = (is_upgrade, authorization, service)
    block.forwarded_head = (
        f"\r\n{''.join(lines)}X-Forwarded-For: {address}\r\n"
        f"X-Forwarded-Proto: {scheme}\r\nX-Forwarded-Host: {headers.get('host', '')}\r\n"
        f"{framing}X-Request-ID: "
    )


def _replace_cookie_line(lines: list[str], cookies: str) -> list[str]:
    others = [line for line in lines if not line.lower().startswith("cookie:")]
    return [*others, f"Cookie: {cookies}\r\n"] if cookies else others


def request_unencoded_response(forwarded_head: str) -> str:
    """Return *forwarded_head* with the value `identity` in each Accept-Encoding."""
    return _ACCEPT_ENCODING.sub(r"\1identity", forwarded_head)


def build_response_head(
    head: ResponseHead,
    request: GatewayRequest,
    state: WorkerState,
    own_lines: str,
    private: bool,
    keep_alive: bool,
    *,
    is_cross_origin: bool = False,
) -> bytes:
    """Return the head to send to the client for a service's response *head*.

    Args:
        head: the response head of the service.
        request: the request of the client.
        state: the state of the worker.
        own_lines: header lines of the gateway: request id and limits.
        private: True if the response must not be stored by shared caches.
        keep_alive: False adds `Connection: close`.
        is_cross_origin: True if the service's CORS headers are passed on, and it decides about
            frames.
    """
    if head.body_length is None:
        lines = "" if request.line.minor_version == 0 else "Transfer-Encoding: chunked\r\n"
    elif head.content_length is None or head.status == _NO_CONTENT:
        lines = ""
    else:
        lines = f"Content-Length: {head.content_length}\r\n"
    header_lines, field_bits = head.header_lines, head.field_bits
    dropped: frozenset[str] = frozenset()
    if head.connection and head.connection not in _PLAIN_CONNECTION_VALUES:
        dropped = parse_connection_tokens([head.connection])
    if is_cross_origin:
        field_bits |= _FRAME_OPTIONS_BIT
    elif field_bits & CORS_BIT:
        dropped |= CORS_RESPONSE_HEADERS
    if dropped:
        header_lines = head.header_lines_without(dropped)
    if not keep_alive:
        lines += CLOSE_LINE
    if not head.field_bits & DATE_BIT:
        lines += state.get_date_header()
    if "origin" in request.headers and not is_cross_origin:
        lines += format_header_lines(state.cors.response_fields(request.headers["origin"]))
    if state.scheme == "https":
        lines += responses.HSTS_LINE
    return (
        f"{STATUS_LINES[head.status]}{header_lines}{lines}{own_lines}"
        f"{responses.security_lines(field_bits, private)}\r\n"
    ).encode("latin-1")
