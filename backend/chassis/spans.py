"""Spans by OpenTelemetry, sent by OTLP over HTTP. Imported only where a collector is named.

The exporter reads OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS,
OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES …) by itself.
"""

from collections.abc import Mapping
from typing import Final

from backend import __version__
from backend.chassis.settings import SettingsError
from backend.chassis.tracing import Kind, Place, Recorder, Span, Value

try:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
except ImportError as error:
    raise SettingsError(
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed. Install it with: "
        "./start_microservices.sh install --extra otel"
    ) from error

_NAME: Final = "ai-agent-system"
_KINDS: Final = {
    Kind.INTERNAL: trace.SpanKind.INTERNAL,
    Kind.SERVER: trace.SpanKind.SERVER,
    Kind.CLIENT: trace.SpanKind.CLIENT,
}


def open_recorder(full_name: str) -> Recorder:
    """A recorder of this process' spans as the service *full_name*."""
    about = {"service.name": full_name, "service.version": __version__, "service.namespace": _NAME}
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return _Recorder(provider)


class _Recorder:
    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_NAME, __version__)

    def close(self) -> None:
        self._provider.shutdown()

    def begin(
        self, name: str, kind: Kind, parent: Place | None, attributes: Mapping[str, Value]
    ) -> Span:
        context = trace.set_span_in_context(
            trace.INVALID_SPAN if parent is None else trace.NonRecordingSpan(_context(parent))
        )
        return _Span(
            self._tracer.start_span(name, context, kind=_KINDS[kind], attributes=attributes)
        )


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.place = Place(
            trace.format_trace_id(context.trace_id),
            trace.format_span_id(context.span_id),
            int(context.trace_flags),
            context.trace_state.to_header(),
        )

    def set(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(attributes)

    def fail(self, error_type: str) -> None:
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(trace.StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()


def _context(place: Place) -> trace.SpanContext:
    return trace.SpanContext(
        int(place.trace_id, 16),
        int(place.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(place.flags),
        trace_state=trace.TraceState.from_header([place.state] if place.state else []),
    )
