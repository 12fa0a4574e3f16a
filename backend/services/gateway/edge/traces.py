"""The gateway's own span of a request it carries, put between its caller's and the service's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backend.chassis.observability.tracing import Kind, begin, read_place, standing

if TYPE_CHECKING:
    from backend.chassis.observability.tracing import Span, Value
    from backend.services.gateway.clients.counting import Decided
    from backend.services.gateway.edge.carrier import Visit
    from backend.services.gateway.edge.requests import Request

_REDIS: dict[str, Value] = {"db.system.name": "redis", "db.operation.name": "EVALSHA"}
_LINES = re.compile(r"\r\n(?:traceparent|tracestate):[^\r]*(?=\r\n)", re.IGNORECASE)


def begin_span(request: Request, visit: Visit) -> Span:
    """A span below the caller's, where there is one."""
    said = request.said
    route = "" if visit.way is None else visit.way.route.name
    about = {
        "http.request.method": request.method,
        "url.path": visit.shown,
        "gateway.route": route,
    }
    with standing(read_place(said.get("traceparent", ""), said.get("tracestate", ""))):
        return begin(f"{request.method} {route}", Kind.SERVER, about)


def asking_redis(span: Span, decided: Decided) -> Decided:
    """*decided*, with a span from now on until Redis has said what it thinks of the limits."""
    with standing(span.place):
        asking = begin("EVALSHA", Kind.CLIENT, _REDIS)

    def heard(reply: list[int], local: bool) -> None:
        if local:
            asking.fail("counted_locally")
        asking.end()
        decided(reply, local)

    return heard


def end_span(span: Span, status: int, reason: str | None) -> None:
    span.set({"http.response.status_code": status})
    if reason is not None or status >= 500:
        span.fail(reason or str(status))
    span.end()


def below(span: Span, onward: str) -> str:
    """The header lines *onward*, telling the service that it stands below *span*."""
    place = span.place
    if place is None:
        return onward
    own = "".join(f"\r\n{name}: {value}" for name, value in place.headers().items())
    return own + _LINES.sub("", onward)


def noted(span: Span | None, traceparent: str | None) -> str:
    """Where a request stands as members of a log line's JSON object: our span, else its caller."""
    place = None if span is None else span.place
    if place is None and traceparent is not None:
        place = read_place(traceparent)
    if place is None:
        return ""
    return f',"trace_id":"{place.trace_id}","span_id":"{place.span_id}"'
