"""Counters and timings for Prometheus."""

import os
import time

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector


class Metrics:
    """The registry of one app; a service adds its own counters to `registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "http_server_requests_total",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.durations = Histogram(
            "http_server_request_duration_seconds",
            "From the first byte of a request to the head of its answer.",
            ("method", "route"),
            registry=self.registry,
        )

    def text(self) -> bytes:
        """The Prometheus text of this process, or of all workers of the service."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def count_requests(app: Flask) -> Metrics:
    """Count and time what *app* answers, by route and not by path: paths hold ids."""
    metrics = Metrics()

    @app.before_request
    def start_clock() -> None:
        g.counted_from = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        route = str(request.url_rule) if request.url_rule else "(unknown)"
        metrics.requests.labels(request.method, route, str(response.status_code)).inc()
        if "counted_from" in g:
            took = time.perf_counter() - g.counted_from
            metrics.durations.labels(request.method, route).observe(took)
        return response

    return metrics


def metrics_response(metrics: Metrics) -> Response:
    return Response(metrics.text(), content_type=CONTENT_TYPE_LATEST)
