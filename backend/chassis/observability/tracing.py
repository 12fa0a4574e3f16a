"""Distributed tracing with the OpenTelemetry API and W3C Trace Context.

The trace of an incoming request is always continued and passed on to other services. Spans are
recorded only if OTEL_EXPORTER_OTLP_ENDPOINT names a collector: `otel_spans.py` then sets up the
OpenTelemetry SDK, which no other module imports.
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol, Self

from flask import Flask, Response, g, request
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from backend.chassis.settings import CommonSettings

__all__ = [
    "AttributeValue",
    "Span",
    "SpanContext",
    "SpanKind",
    "attach_span_context",
    "build_trace_headers",
    "configure_tracing",
    "current_span_context",
    "format_trace_ids",
    "get_span_context",
    "is_recording",
    "parse_traceparent",
    "set_span_error",
    "split_traceparent",
    "start_as_current_span",
    "start_span",
    "trace_requests",
]

_log = logging.getLogger(__name__)

_LANGSMITH_OVERRIDE: Final = "LANGSMITH_TRACING_V2"
_MAX_HEADER_CHARACTERS: Final = 512
_UNTRACED_PATHS: Final = ("/health", "/metrics")
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_INVALID_TRACE_ID: Final = "0" * 32
_INVALID_SPAN_ID: Final = "0" * 16
_propagator: Final = TraceContextTextMapPropagator()


class SpanRecorder(Protocol):
    """Source of a tracer whose spans are exported."""

    def get_tracer(self) -> Tracer: ...

    def close(self) -> None: ...


# One per process, like the log handlers, so that callers need not pass it around.
_recorder: SpanRecorder | None = None


def configure_tracing(common: CommonSettings, full_name: str) -> None:
    """Record spans as service *full_name* if a collector is configured, else stop recording."""
    global _recorder
    _configure_langsmith(common.langsmith_enabled)
    if _recorder is not None:
        _recorder.close()
        _recorder = None
    if common.otlp_endpoint is None:
        return
    from backend.chassis.observability.otel_spans import create_recorder

    _recorder = create_recorder(full_name)


def _configure_langsmith(is_enabled: bool) -> None:
    """Send LangChain traces to LangSmith only if LANGSMITH_TRACING is on.

    LangChain reads several variables. One of them may be set in the shell for other work, and one
    overrides all others.
    """
    os.environ[_LANGSMITH_OVERRIDE] = str(is_enabled).lower()
    for outdated in ("LANGCHAIN_TRACING", "LANGCHAIN_HANDLER"):
        os.environ.pop(outdated, None)
    if is_enabled:
        _log.warning("prompts and model output are sent to LangSmith (LANGSMITH_TRACING)")


def is_recording() -> bool:
    """Return True if spans are exported to a collector."""
    return _recorder is not None


def current_span_context() -> SpanContext | None:
    """Return the context of the current span, or None outside any trace."""
    return get_span_context(trace.get_current_span())


def get_span_context(span: Span) -> SpanContext | None:
    """Return the context of *span*, or None if the span belongs to no trace."""
    context = span.get_span_context()
    return context if context.is_valid else None


def parse_traceparent(traceparent: str, tracestate: str = "") -> SpanContext | None:
    """Return the span context of W3C Trace Context headers, or None if *traceparent* is invalid.

    A *tracestate* longer than 512 characters is dropped.
    """
    # Checked here because the propagator logs a warning for each such header.
    if len(traceparent) > _MAX_HEADER_CHARACTERS:
        return None
    carrier = {"traceparent": traceparent}
    if tracestate and len(tracestate) <= _MAX_HEADER_CHARACTERS:
        carrier["tracestate"] = tracestate
    return get_span_context(trace.get_current_span(_propagator.extract(carrier)))


def split_traceparent(traceparent: str) -> tuple[str, str] | None:
    """Return the trace id and span id of a `traceparent` header in hex, or None if it is invalid.

    For the gateway's data path, where `parse_traceparent` costs too much.
    """
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, span_id, extension = match.groups()
    # Version ff is forbidden, and version 00 has exactly four fields.
    if version == "ff" or (version == "00" and extension):
        return None
    if trace_id == _INVALID_TRACE_ID or span_id == _INVALID_SPAN_ID:
        return None
    return trace_id, span_id


def format_trace_ids(context: SpanContext) -> tuple[str, str]:
    """Return the trace id and span id of *context* in hex."""
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)


def build_trace_headers(context: SpanContext | None) -> dict[str, str]:
    """Return the `traceparent` and `tracestate` headers that pass *context* on; {} for None."""
    headers: dict[str, str] = {}
    _propagator.inject(headers, _to_otel_context(context))
    return headers


def _to_otel_context(context: SpanContext | None) -> otel_context.Context:
    span = trace.INVALID_SPAN if context is None else trace.NonRecordingSpan(context)
    return trace.set_span_in_context(span)


def start_span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Span:
    """Start a child of the current span. The caller ends it; it does not become current."""
    if _recorder is None:
        return trace.INVALID_SPAN
    return _recorder.get_tracer().start_span(name, kind=kind, attributes=attributes)


@contextmanager
def start_as_current_span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """Run the block in a child of the current span; an exception marks the span as failed.

    Do not use it around the `yield` of a generator: the span would stay current for the code that
    iterates.
    """
    if _recorder is None:
        yield trace.INVALID_SPAN
        return
    span = start_span(name, kind, attributes)
    with trace.use_span(
        span, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        try:
            yield span
        except BaseException as error:
            set_span_error(span, type(error).__name__)
            raise


def set_span_error(span: Span, error_type: str) -> None:
    """Mark *span* as failed. Exception messages are not recorded: they may contain user data."""
    span.set_attribute("error.type", error_type)
    span.set_status(trace.StatusCode.ERROR)


@contextmanager
def attach_span_context(context: SpanContext | None) -> Iterator[None]:
    """Make *context* current within the block, such as a job that continues a request's trace.

    None detaches the block from any trace. Use it for polling loops, whose many spans would hide
    the rest of a trace.
    """
    token = otel_context.attach(_to_otel_context(context))
    try:
        yield
    finally:
        otel_context.detach(token)


class _ContextIterator:
    """Iterator over a streamed response in an OpenTelemetry context.

    The context is attached for each item only: a stream may be iterated or closed by another
    thread than the one that handled the request.
    """

    def __init__(self, chunks: Iterable[Any], context: otel_context.Context) -> None:
        self._chunks = chunks
        self._iterator = iter(chunks)
        self._context = context

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        token = otel_context.attach(self._context)
        try:
            return next(self._iterator)
        finally:
            otel_context.detach(token)

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is None:
            return
        token = otel_context.attach(self._context)
        try:
            close()
        finally:
            otel_context.detach(token)


def trace_requests(app: Flask) -> None:
    """Continue the callers' traces in *app*. A request's span ends when the response is sent."""

    @app.before_request
    def start_request_span() -> None:
        headers = request.headers
        parent = parse_traceparent(headers.get("traceparent", ""), headers.get("tracestate", ""))
        context = _to_otel_context(parent)
        if _recorder is not None and not request.path.startswith(_UNTRACED_PATHS):
            route = str(request.url_rule) if request.url_rule else ""
            g.span = _recorder.get_tracer().start_span(
                f"{request.method} {route}".strip(),
                context,
                SpanKind.SERVER,
                {
                    "http.request.method": request.method,
                    "http.route": route,
                    "url.path": request.path,
                    "url.scheme": request.scheme,
                },
            )
            context = trace.set_span_in_context(g.span, context)
        g.trace_token = otel_context.attach(context)

    @app.after_request
    def end_request_span(response: Response) -> Response:
        has_trace = current_span_context() is not None
        if has_trace and response.is_streamed and not response.direct_passthrough:
            # Flask detaches the context before the server iterates over the response.
            response.response = _ContextIterator(response.response, otel_context.get_current())
        span: Span | None = g.pop("span", None)
        if span is not None:
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                set_span_error(span, str(response.status_code))
            response.call_on_close(span.end)
        return response

    @app.teardown_request
    def detach_request_span(_error: BaseException | None) -> None:
        token = g.pop("trace_token", None)
        if token is not None:
            otel_context.detach(token)
