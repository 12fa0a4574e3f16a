"""What the edge writes down: a line for each request, and the numbers for Prometheus."""

import os
import sys
from bisect import bisect_left
from collections.abc import Iterator
from json import dumps
from time import gmtime, strftime, time

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from backend.services.gateway.clients.instances import Instances

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_FLUSH_LINES = 256


class AccessLog:
    """One JSON line a request, written out in batches.

    Every value is of a known alphabet (a path has its normal form, an id its pattern), so
    that a line is put together without an encoder; what is not goes through `dumps`.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stderr.fileno() if descriptor is None else descriptor
        self._lines: list[str] = []
        self._second = 0
        self._stamp = ""

    def line(
        self,
        method: str,
        path: str,
        status: int,
        took: float,
        remote: str,
        request_id: str,
        route: str,
        sent: int,
        *,
        user: str | None = None,
        upstream: str | None = None,
        reason: str | None = None,
    ) -> None:
        now = time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        more = f',"upstream":"{upstream}"' if upstream else ""
        if user:
            more += f',"user":{dumps(user)}'
        if reason:
            more += f',"reason":"{reason}"'
        self._lines.append(
            f'{{"time":"{self._stamp}.{int((now - second) * 1000):03d}+00:00","level":"info",'
            f'"service":"gateway","logger":"access","message":"{method} {path} {status}",'
            f'"request_id":"{request_id}","method":"{method}","path":"{path}",'
            f'"status":{status},"took_ms":{took * 1000:.2f},"remote":"{remote}",'
            f'"route":"{route}","bytes":{sent}{more}}}\n'
        )
        if len(self._lines) >= _FLUSH_LINES:
            self.flush()

    def flush(self) -> None:
        if not self._lines:
            return
        data = "".join(self._lines).encode("utf-8", "replace")
        self._lines.clear()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            # A log that can't be written (a full disk, a closed pipe) stops no request.
            return


class _Histogram:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0


class Numbers:
    """Counters of one worker; a collector for prometheus_client."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], _Histogram] = {}
        self.limits: dict[tuple[str, str], int] = {}
        self.errors: dict[tuple[str, str], int] = {}
        self.refusals: dict[str, int] = {}
        self.retries = 0
        self.streams = 0
        self.sockets = 0
        self.connections = 0
        self.instances: list[Instances] = []
        self.counting_locally = False

    def request(self, route: str, method: str, status: int, took: float) -> None:
        key = (route, method, status)
        histogram = self.requests.get(key)
        if histogram is None:
            histogram = self.requests[key] = _Histogram()
        histogram.counts[bisect_left(_BUCKETS, took)] += 1
        histogram.total += took

    def decided(self, limit: str, outcome: str) -> None:
        key = (limit, outcome)
        self.limits[key] = self.limits.get(key, 0) + 1

    def failed(self, service: str, reason: str) -> None:
        key = (service, reason)
        self.errors[key] = self.errors.get(key, 0) + 1

    def refused(self, reason: str) -> None:
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """What `/metrics` shows."""
        yield self._durations()
        limits = CounterMetricFamily(
            "gateway_limit_decisions", "Requests by limit and outcome.", labels=("limit", "outcome")
        )
        for (limit, outcome), count in list(self.limits.items()):
            limits.add_metric((limit, outcome), count)
        yield limits
        errors = CounterMetricFamily(
            "gateway_upstream_errors", "Attempts that failed.", labels=("service", "reason")
        )
        for (service, reason), count in list(self.errors.items()):
            errors.add_metric((service, reason), count)
        yield errors
        refusals = CounterMetricFamily(
            "gateway_refusals", "Answers made by the gateway itself.", labels=("reason",)
        )
        for reason, count in list(self.refusals.items()):
            refusals.add_metric((reason,), count)
        yield refusals
        yield CounterMetricFamily("gateway_retries", "Requests sent again.", value=self.retries)
        yield GaugeMetricFamily("gateway_open_streams", "Answers under way.", value=self.streams)
        yield GaugeMetricFamily("gateway_open_websockets", "Tunnels.", value=self.sockets)
        yield GaugeMetricFamily("gateway_connections", "Clients.", value=self.connections)
        yield GaugeMetricFamily(
            "gateway_limits_counted_locally",
            "1 while Redis does not answer and limits are counted in the process.",
            value=int(self.counting_locally),
        )
        yield self._circuits()

    def _durations(self) -> Metric:
        durations = HistogramMetricFamily(
            "gateway_request_duration_seconds",
            "From a request's head to the last byte of its answer.",
            labels=("route", "method", "status"),
        )
        for (route, method, status), histogram in list(self.requests.items()):
            below, buckets = 0, []
            for bound, count in zip((*_BUCKETS, "+Inf"), histogram.counts, strict=True):
                below += count
                buckets.append((str(bound), float(below)))
            durations.add_metric((route, method, str(status)), buckets, histogram.total)
        return durations

    def _circuits(self) -> Metric:
        circuits = GaugeMetricFamily(
            "gateway_instance_ejected",
            "1 while an instance is left alone.",
            labels=("service", "instance"),
        )
        for group in self.instances:
            for each in group.all:
                circuits.add_metric((group.service, each.authority), int(each.ejected))
        return circuits
