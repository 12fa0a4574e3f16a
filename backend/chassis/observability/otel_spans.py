"""Spans by OpenTelemetry, sent by OTLP over HTTP. Imported only where a collector is named.

The exporter reads OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS,
OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES …) by itself.
"""

import atexit
import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from backend import __version__
from backend.chassis.observability.redis_spans import watch_commands
from backend.chassis.observability.tracing import Kind, Place, Recorder, Span, Value
from backend.chassis.settings import SettingsError

try:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
except ImportError as error:
    raise SettingsError(
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed. Install it with: "
        "./start_microservices.sh install --extra otel"
    ) from error

_log = logging.getLogger(__name__)
_NAME: Final = "ai-agent-system"
_KINDS: Final = {
    Kind.INTERNAL: trace.SpanKind.INTERNAL,
    Kind.SERVER: trace.SpanKind.SERVER,
    Kind.CLIENT: trace.SpanKind.CLIENT,
    Kind.CONSUMER: trace.SpanKind.CONSUMER,
}
_LAST_MILLISECONDS: Final = 800


def open_recorder(full_name: str) -> Recorder:
    """A recorder of this process' spans as the service *full_name*."""
    # It would tell of each span that is lost; _Quiet tells once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    return _Recorder(full_name)


class _Recorder:
    """Opens its way to the collector at the first span, in each process that is forked anew."""

    def __init__(self, full_name: str) -> None:
        self._full_name = full_name
        self._opening = threading.Lock()
        self._way: _Way | None = None
        self._watches = [watch_commands()]
        # Who has no database must not load its library for this.
        if "sqlalchemy" in sys.modules:
            from backend.chassis.observability.sql_spans import watch_queries

            self._watches.append(watch_queries())
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def _forget(self) -> None:
        """A child has a thread and a connection of its own, and none of its parent's spans."""
        self._opening = threading.Lock()
        self._way = None

    def _opened(self) -> "_Way":
        with self._opening:
            if self._way is None:
                self._way = _Way(self._full_name)
            return self._way

    def close(self) -> None:
        """Send what is left, within a second."""
        atexit.unregister(self.close)
        for stop in self._watches:
            stop()
        self._watches.clear()
        way, self._way = self._way, None
        if way is not None:
            way.close()

    def begin(
        self, name: str, kind: Kind, parent: Place | None, attributes: Mapping[str, Value]
    ) -> Span:
        way = self._way or self._opened()
        context = trace.set_span_in_context(
            trace.INVALID_SPAN if parent is None else trace.NonRecordingSpan(_context(parent))
        )
        return _Span(way.tracer.start_span(name, context, kind=_KINDS[kind], attributes=attributes))


class _Way:
    """How one process' spans get to the collector."""

    def __init__(self, full_name: str) -> None:
        about: dict[str, str | int] = {
            "service.name": full_name,
            "service.version": __version__,
            "service.namespace": _NAME,
            "process.pid": os.getpid(),
        }
        # We end it ourselves: its own end waits for half a minute.
        self._provider = TracerProvider(resource=Resource.create({**about}), shutdown_on_exit=False)
        self._provider.add_span_processor(_Hasty(_Quiet(OTLPSpanExporter())))
        self.tracer = self._provider.get_tracer(_NAME, __version__)

    def close(self) -> None:
        self._provider.shutdown()


class _Hasty(BatchSpanProcessor):
    """Does not wait at the end for a collector that hangs; its thread ends with the process."""

    def shutdown(self) -> None:
        self._batch_processor.shutdown(timeout_millis=_LAST_MILLISECONDS)


class _Quiet(SpanExporter):
    """Says once that the collector is away and once that it is back, whatever it loses."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        outcome = self._exporter.export(spans)
        away = outcome is not SpanExportResult.SUCCESS
        if away and not self._away:
            _log.warning("The collector takes no spans; they are lost until it does.")
        elif self._away and not away:
            _log.warning("The collector takes spans again.")
        self._away = away
        return outcome

    def shutdown(self) -> None:
        self._exporter.shutdown()


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
