"""Spans of forwarded requests, between the caller's span and the service's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backend.chassis.observability.tracing import (
    SpanKind,
    attach_span_context,
    build_trace_headers,
    format_trace_ids,
    get_span_context,
    parse_traceparent,
    set_span_error,
    split_traceparent,
    start_span,
)

if TYPE_CHECKING:
    from backend.chassis.observability.tracing import AttributeValue, Span
    from backend.services.gateway.clients.rate_limit_counter import DecisionCallback
    from backend.services.gateway.edge.header_block import GatewayRequest
    from backend.services.gateway.edge.worker_state import ResolvedRequestLine

_REDIS_ATTRIBUTES: dict[str, AttributeValue] = {
    "db.system.name": "redis",
    "db.operation.name": "EVALSHA",
}
_TRACE_LINES = re.compile(r"\r\n(?:traceparent|tracestate):[^\r]*(?=\r\n)", re.IGNORECASE)


def start_request_span(request: GatewayRequest, resolved_line: ResolvedRequestLine) -> Span:
    """Start a server span whose parent is the caller's span, if the request names one."""
    headers = request.headers
    upstreams = resolved_line.upstreams
    route = "" if upstreams is None else upstreams.route.name
    attributes = {
        "http.request.method": request.method,
        "url.path": resolved_line.log_path,
        "gateway.route": route,
    }
    with attach_span_context(
        parse_traceparent(headers.get("traceparent", ""), headers.get("tracestate", ""))
    ):
        return start_span(f"{request.method} {route}", SpanKind.SERVER, attributes)


def trace_redis_call(span: Span, callback: DecisionCallback) -> DecisionCallback:
    """Wrap *callback* so that a child span of *span* ends when it is called."""
    with attach_span_context(get_span_context(span)):
        redis_span = start_span("EVALSHA", SpanKind.CLIENT, _REDIS_ATTRIBUTES)

    def finish_span(reply: list[int], is_local: bool) -> None:
        if is_local:
            set_span_error(redis_span, "counted_locally")
        redis_span.end()
        callback(reply, is_local)

    return finish_span


def end_span(span: Span, status: int, reason: str | None) -> None:
    """End *span* with the response *status*; *reason* is the error code, if any."""
    span.set_attributes({"http.response.status_code": status})
    if reason is not None or status >= 500:
        set_span_error(span, reason or str(status))
    span.end()


def inject_span_context(span: Span, header_lines: str) -> str:
    """Return *header_lines* with the trace headers of *span* instead of the caller's."""
    headers = build_trace_headers(get_span_context(span))
    if not headers:
        return header_lines
    own = "".join(f"\r\n{name}: {value}" for name, value in headers.items())
    return own + _TRACE_LINES.sub("", header_lines)


def format_trace_members(span: Span | None, traceparent: str | None) -> str:
    """Return the trace and span id as members of a log line's JSON object.

    They are those of *span*, or else those of the caller's *traceparent*; "" without a valid one.
    """
    context = None if span is None else get_span_context(span)
    ids: tuple[str, str] | None = None
    if context is not None:
        ids = format_trace_ids(context)
    elif traceparent is not None:
        # Cheaper than creating a span context: this runs for every request with the header.
        ids = split_traceparent(traceparent)
    return "" if ids is None else f',"trace_id":"{ids[0]}","span_id":"{ids[1]}"'
