"""Prometheus metrics of a service, and the request metrics of a Flask app."""

import time
from collections.abc import Collection

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from backend.chassis.observability.multiprocess_metrics import (
    Collector,
    MultiprocessExporter,
    get_multiprocess_folder,
    lock_folder,
)
from backend.chassis.observability.polled_metrics import DependencyCollector, PolledCollector
from backend.chassis.observability.process_metrics import ProcessCollector

# The buckets of https://opentelemetry.io/docs/specs/semconv/http/http-metrics/, and longer ones for
# responses that a model generates.
_BUCKETS_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    *(30, 60, 120),
)
# The methods of RFC 9110 and PATCH. Clients may send any other word, so all others share a label.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER_METHOD = "_OTHER"
UNKNOWN_ROUTE = "(unknown)"


class Metrics:
    """The metrics of one app. A service adds its own to `registry`."""

    def __init__(self) -> None:
        # prometheus_client adds a `_created` series to each counter, which doubles their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.request_durations = Histogram(
            "http_server_request_duration_seconds",
            "Time from the first byte of a request to the header of its response.",
            ("http_request_method", "http_route", "http_response_status_code"),
            buckets=_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.problem_responses = Counter(
            "http_server_problems",
            "Problem responses by code.",
            ("code",),
            registry=self.registry,
        )
        self.active_requests = Gauge(
            "http_server_active_requests",
            "Requests whose response is not completely written.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        # Collectors that return the same values in every worker.
        self._shared_registry = CollectorRegistry()
        self.register_shared(ProcessCollector())
        self._polled: list[PolledCollector | DependencyCollector] = []

    def register(
        self, collector: Collector, max_gauges: Collection[str] = ()
    ) -> MultiprocessExporter | None:
        """Register a collector of this worker's values.

        Args:
            collector: its counters, histograms and gauges are summed over the workers.
            max_gauges: names of gauges of which the maximum over the workers is reported instead.

        Returns:
            With several workers, an exporter to call regularly so that the others see the values.
        """
        folder = get_multiprocess_folder()
        if folder is not None:
            return MultiprocessExporter(collector, folder, max_gauges)
        self.registry.register(collector)
        return None

    def register_polled(self, collector: PolledCollector | DependencyCollector) -> None:
        """Register *collector*, which the worker that serves `/metrics` refreshes."""
        self._polled.append(collector)
        self.register_shared(collector)

    def register_shared(self, collector: Collector) -> None:
        """Register a collector that returns the same values in every worker."""
        self._shared_registry.register(collector)

    def render_text(self) -> bytes:
        """Return the metrics of all workers of the service in Prometheus' text format."""
        for collector in self._polled:
            collector.start_refresh()
        return self._render_worker_metrics() + generate_latest(self._shared_registry)

    def _render_worker_metrics(self) -> bytes:
        folder = get_multiprocess_folder()
        if folder is None:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
        with lock_folder(folder, exclusive=False):
            return generate_latest(registry)


def count_requests(app: Flask, metrics: Metrics) -> Metrics:
    """Count and time the requests of *app* by route, not by path: paths contain ids."""

    @app.before_request
    def start_clock() -> None:
        g.counted_from = time.perf_counter()
        metrics.active_requests.inc()

    @app.after_request
    def count(response: Response) -> Response:
        if "counted_from" in g:
            route = str(request.url_rule) if request.url_rule else UNKNOWN_ROUTE
            method = request.method if request.method in _METHODS else _OTHER_METHOD
            duration_seconds = time.perf_counter() - g.counted_from
            labels = (method, route, str(response.status_code))
            metrics.request_durations.labels(*labels).observe(duration_seconds)
            response.call_on_close(metrics.active_requests.dec)
        if code := get_problem_code(response):
            metrics.problem_responses.labels(code).inc()
        return response

    return metrics


def get_problem_code(response: Response) -> str:
    """Return the `code` of a problem response, or "" for any other response.

    The codes are those of our own error classes, so clients cannot create new label values. The
    body of a streamed response, such as one that the gateway forwards, is left to the client:
    its code is "".
    """
    if response.mimetype != "application/problem+json" or response.is_streamed:
        return ""
    problem = response.get_json(silent=True)
    return str(problem.get("code", "")) if isinstance(problem, dict) else ""


def build_metrics_response(metrics: Metrics) -> Response:
    """Return the response of `GET /metrics`."""
    return Response(metrics.render_text(), content_type=CONTENT_TYPE_LATEST)
