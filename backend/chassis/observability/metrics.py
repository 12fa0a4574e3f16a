"""Counters and timings for Prometheus."""

import fcntl
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
    Telling,
    locked,
    shared_folder,
)
from backend.chassis.observability.polled_metrics import AskedNumbers, Dependencies
from backend.chassis.observability.process_metrics import Processes

# The bounds of https://opentelemetry.io/docs/specs/semconv/http/http-metrics/, and minutes for
# answers that are written by a model.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120)
# Those of RFC 9110 and PATCH. A client may send any other word, so they all count as one.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER_METHOD = "_OTHER"
NO_ROUTE = "(unknown)"


class Metrics:
    """The registry of one app; a service adds its own numbers to `registry`."""

    def __init__(self) -> None:
        # A second line for each, which Prometheus reads as a number of its own.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.durations = Histogram(
            "http_server_request_duration_seconds",
            "From the first byte of a request to the head of its answer.",
            ("http_request_method", "http_route", "http_response_status_code"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.problems = Counter(
            "http_server_problems",
            "Problem documents that were sent, by their code.",
            ("code",),
            registry=self.registry,
        )
        self.active = Gauge(
            "http_server_active_requests",
            "Requests whose answers are not written to their ends.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        # What is the same whoever of several workers is asked.
        self._common = CollectorRegistry()
        self.tell(Processes())
        self._asked: list[AskedNumbers | Dependencies] = []

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

    def ask(self, numbers: AskedNumbers | Dependencies) -> None:
        """Show *numbers*, asked for anew by whichever worker is asked for the page."""
        self._asked.append(numbers)
        self.tell(numbers)

    def tell(self, collector: Collector) -> None:
        """Show what *collector* says in whichever worker is asked for the page."""
        self._common.register(collector)

    def text(self) -> bytes:
        """The Prometheus text of this process, or of all workers of the service."""
        for numbers in self._asked:
            numbers.begin()
        return self._counted() + generate_latest(self._common)

    def _counted(self) -> bytes:
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
        metrics.active.inc()

    @app.after_request
    def count(response: Response) -> Response:
        if "counted_from" in g:
            route = str(request.url_rule) if request.url_rule else NO_ROUTE
            method = request.method if request.method in _METHODS else _OTHER_METHOD
            took = time.perf_counter() - g.counted_from
            metrics.durations.labels(method, route, str(response.status_code)).observe(took)
            response.call_on_close(metrics.active.dec)
        if code := problem_code(response):
            metrics.problems.labels(code).inc()
        return response

    return metrics


def problem_code(response: Response) -> str:
    """Which of our problems *response* is; empty where it is none.

    The codes are those of our own classes: no caller can make one up.
    """
    if response.mimetype != "application/problem+json":
        return ""
    told = response.get_json(silent=True)
    return str(told.get("code", "")) if isinstance(told, dict) else ""


def metrics_response(metrics: Metrics) -> Response:
    return Response(metrics.text(), content_type=CONTENT_TYPE_LATEST)
