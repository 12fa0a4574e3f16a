"""Counters and timings for Prometheus."""

import fcntl
import time
from collections.abc import Collection

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from backend.chassis.worker_metrics import Collector, Telling, locked, shared_folder


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

    def show(self, collector: Collector, flags: Collection[str] = ()) -> Telling | None:
        """Show the numbers that *collector* keeps by itself.

        Where there are several workers, what comes back is to be called now and then, for
        the others to know. Their gauges are added up, but for *flags*.
        """
        folder = shared_folder()
        if folder is not None:
            return Telling(collector, folder, flags)
        self.registry.register(collector)
        return None

    def text(self) -> bytes:
        """The Prometheus text of this process, or of all workers of the service."""
        folder = shared_folder()
        if folder is None:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, str(folder))  # type: ignore[no-untyped-call]
        with locked(folder, fcntl.LOCK_SH):
            return generate_latest(together)


def count_requests(app: Flask, metrics: Metrics) -> Metrics:
    """Count and time what *app* answers, by route and not by path: paths hold ids."""

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
