"""Export of spans with the OpenTelemetry SDK over OTLP/HTTP.

Imported only if a collector is configured. The exporter reads OpenTelemetry's own environment
variables itself (OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS, OTEL_TRACES_SAMPLER,
OTEL_RESOURCE_ATTRIBUTES …).
"""

import atexit
import logging
import os
import sys
import threading
from collections.abc import Sequence
from typing import Final

from backend import __version__
from backend.chassis.observability.redis_spans import instrument_redis
from backend.chassis.observability.tracing import SpanRecorder
from backend.chassis.settings import SettingsError

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.trace import Tracer
except ImportError as error:
    raise SettingsError(
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed. Install it with: "
        "./start_microservices.sh install --extra otel"
    ) from error

_log = logging.getLogger(__name__)
_NAME: Final = "ai-agent-system"
_SHUTDOWN_TIMEOUT_MILLISECONDS: Final = 800


def create_recorder(full_name: str) -> SpanRecorder:
    """Return a recorder that exports this process's spans as service *full_name*."""
    # The SDK logs every lost span; _LoggingExporter logs the first failure only.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    return _Recorder(full_name)


class _Recorder:
    """Creates the export pipeline at the first span, and again in every forked process.

    The tracer provider is not registered globally: libraries that use the OpenTelemetry API, such
    as chromadb, would export their spans too.
    """

    def __init__(self, full_name: str) -> None:
        self._full_name = full_name
        self._lock = threading.Lock()
        self._pipeline: _ExportPipeline | None = None
        self._uninstrument = [instrument_redis()]
        # A service without a database must not import SQLAlchemy for this.
        if "sqlalchemy" in sys.modules:
            from backend.chassis.observability.sql_spans import instrument_sqlalchemy

            self._uninstrument.append(instrument_sqlalchemy())
        os.register_at_fork(after_in_child=self._reset_after_fork)
        atexit.register(self.close)

    def _reset_after_fork(self) -> None:
        """Drop the parent's pipeline: its thread, connection and queued spans belong to it."""
        self._lock = threading.Lock()
        self._pipeline = None

    def get_tracer(self) -> Tracer:
        pipeline = self._pipeline or self._open_pipeline()
        return pipeline.tracer

    def _open_pipeline(self) -> "_ExportPipeline":
        with self._lock:
            if self._pipeline is None:
                self._pipeline = _ExportPipeline(self._full_name)
            return self._pipeline

    def close(self) -> None:
        """Export the remaining spans, for at most one second, and remove the instrumentation."""
        atexit.unregister(self.close)
        for uninstrument in self._uninstrument:
            uninstrument()
        self._uninstrument.clear()
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.shutdown()


class _ExportPipeline:
    """Tracer provider, batch processor and OTLP exporter of one process."""

    def __init__(self, full_name: str) -> None:
        attributes: dict[str, str | int] = {
            "service.name": full_name,
            "service.version": __version__,
            "service.namespace": _NAME,
            "process.pid": os.getpid(),
        }
        # Shut down by _Recorder.close: the provider's own shutdown waits for half a minute.
        self._provider = TracerProvider(
            resource=Resource.create({**attributes}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            _FastShutdownProcessor(_LoggingExporter(OTLPSpanExporter()))
        )
        self.tracer = self._provider.get_tracer(_NAME, __version__)

    def shutdown(self) -> None:
        self._provider.shutdown()


class _FastShutdownProcessor(BatchSpanProcessor):
    """Batch processor that does not wait at shutdown for a collector that hangs.

    Its export thread is a daemon and ends with the process.
    """

    def shutdown(self) -> None:
        self._batch_processor.shutdown(timeout_millis=_SHUTDOWN_TIMEOUT_MILLISECONDS)


class _LoggingExporter(SpanExporter):
    """Exporter that logs when exports start to fail and when they succeed again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            _log.warning("The trace collector rejects spans or does not respond. Spans are lost.")
        elif self._is_failing and not is_failing:
            _log.warning("The trace collector accepts spans again.")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
