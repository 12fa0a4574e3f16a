"""Metrics of the asyncio data path, as a collector for prometheus_client."""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from backend.services.gateway.clients.instances import InstanceGroup
from backend.services.gateway.edge.observability.access_log import AccessLog, AccessLogEntry

_BUCKETS_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120
)  # fmt: skip
_FLUSH_ENTRIES = 256
MAX_AGGREGATED_GAUGES = (
    "gateway_limits_counted_locally",
    "gateway_circuit_open",
    "gateway_instances",
    "gateway_instances_ejected",
)
"""Gauges with which all workers describe the same objects: their maximum is used, not the sum."""


class _Histogram:
    __slots__ = ("counts", "reported", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS_SECONDS) + 1)
        self.total = 0.0
        self.reported = 0
        """Number of observations that `iter_new_requests` has already returned."""

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(_BUCKETS_SECONDS, seconds)] += 1
        self.total += seconds

    def cumulative_buckets(self) -> list[tuple[str, float]]:
        """Return (upper bound, number of observations up to it), as Prometheus expects."""
        cumulative, buckets = 0, []
        for bound, count in zip((*_BUCKETS_SECONDS, "+Inf"), self.counts, strict=True):
            cumulative += count
            buckets.append((str(bound), float(cumulative)))
        return buckets


class LimitDecisionCounts:
    """Decisions of one limit: allowed by Redis, allowed by this process, and rejected."""

    __slots__ = ("allowed", "allowed_locally", "rejected")

    def __init__(self) -> None:
        self.allowed = 0
        self.allowed_locally = 0
        self.rejected = 0


class EdgeMetrics:
    """Metrics of one worker, and the buffer of its access log."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log
        self._entries: list[AccessLogEntry] = []
        self.requests: dict[tuple[str, str, int], _Histogram] = {}
        self.response_start_times: list[tuple[str, float]] = []
        """(service, seconds until the response head) since the last flush."""
        self._response_start_histograms: dict[str, _Histogram] = {}
        self.received: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self.limits: dict[str, LimitDecisionCounts] = {}
        self.errors: dict[tuple[str, str], int] = {}
        self.refusals: dict[str, int] = {}
        self.retries = 0
        self.open_streams = 0
        self.open_websockets = 0
        self.connections = 0
        self.instance_groups: list[InstanceGroup] = []
        self.is_counting_locally = False

    def record_request(self, entry: AccessLogEntry) -> None:
        """Buffer a finished request. It is counted and logged with the next batch."""
        self._entries.append(entry)
        if len(self._entries) >= _FLUSH_ENTRIES:
            self.flush()

    def flush(self) -> None:
        entries, self._entries = self._entries, []
        if entries:
            for _, method, _, status, duration, _, _, route, bytes_sent, *_ in entries:
                self._count(route, method, status, duration)
                self._sent[route] = self._sent.get(route, 0) + bytes_sent
            self._log.write_entries(entries)
        response_start_times, self.response_start_times = self.response_start_times, []
        for service, seconds in response_start_times:
            histogram = self._response_start_histograms.get(service)
            if histogram is None:
                histogram = self._response_start_histograms[service] = _Histogram()
            histogram.observe(seconds)

    def _count(self, route: str, method: str, status: int, duration: float) -> None:
        key = (route, method, status)
        histogram = self.requests.get(key)
        if histogram is None:
            histogram = self.requests[key] = _Histogram()
        histogram.observe(duration)

    def iter_new_requests(self) -> Iterator[tuple[str, int, int]]:
        """Yield (route, status, number of requests) counted since the last call.

        Computed from the histograms, so that it costs nothing per request.
        """
        for (route, _, status), histogram in self.requests.items():
            count = sum(histogram.counts)
            if count > histogram.reported:
                yield route, status, count - histogram.reported
                histogram.reported = count

    def get_decision_counts(self, limit: str) -> LimitDecisionCounts:
        """Return the counters of *limit*."""
        counts = self.limits.get(limit)
        if counts is None:
            counts = self.limits[limit] = LimitDecisionCounts()
        return counts

    def count_upstream_error(self, service: str, reason: str) -> None:
        key = (service, reason)
        self.errors[key] = self.errors.get(key, 0) + 1

    def count_received_bytes(self, route: str, size: int) -> None:
        """Count *size* bytes of a request body."""
        self.received[route] = self.received.get(route, 0) + size

    def count_refusal(self, reason: str) -> None:
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, for `/metrics`."""
        yield self._collect_durations()
        yield from self._collect_upstreams()
        limits = CounterMetricFamily(
            "gateway_limit_decisions",
            "Rate-limit decisions by limit and outcome.",
            labels=("limit", "outcome"),
        )
        for limit, counts in list(self.limits.items()):
            limits.add_metric((limit, "allowed"), counts.allowed)
            limits.add_metric((limit, "allowed_locally"), counts.allowed_locally)
            limits.add_metric((limit, "refused"), counts.rejected)
        yield limits
        errors = CounterMetricFamily(
            "gateway_upstream_errors",
            "Failed attempts to forward a request.",
            labels=("service", "reason"),
        )
        for (service, reason), count in list(self.errors.items()):
            errors.add_metric((service, reason), count)
        yield errors
        refusals = CounterMetricFamily(
            "gateway_refusals", "Error responses of the gateway itself.", labels=("reason",)
        )
        for reason, count in list(self.refusals.items()):
            refusals.add_metric((reason,), count)
        yield refusals
        yield CounterMetricFamily("gateway_retries", "Requests sent again.", value=self.retries)
        yield GaugeMetricFamily(
            "gateway_open_streams", "Responses in progress.", value=self.open_streams
        )
        yield GaugeMetricFamily(
            "gateway_open_websockets", "Open WebSockets.", value=self.open_websockets
        )
        yield GaugeMetricFamily(
            "gateway_connections", "Open client connections.", value=self.connections
        )
        yield GaugeMetricFamily(
            "gateway_limits_counted_locally",
            "1 while Redis does not respond and limits are counted in the process.",
            value=int(self.is_counting_locally),
        )
        yield from self._collect_instances()

    def _collect_durations(self) -> Metric:
        durations = HistogramMetricFamily(
            "gateway_request_duration_seconds",
            "Time from the request head to the last byte of the response.",
            labels=("route", "method", "status"),
        )
        for (route, method, status), histogram in list(self.requests.items()):
            labels = (route, method, str(status))
            durations.add_metric(labels, histogram.cumulative_buckets(), histogram.total)
        return durations

    def _collect_upstreams(self) -> Iterator[Metric]:
        response_starts = HistogramMetricFamily(
            "gateway_upstream_duration_seconds",
            "Time from forwarding a request to the response head of the service.",
            labels=("service",),
        )
        for service, histogram in list(self._response_start_histograms.items()):
            response_starts.add_metric((service,), histogram.cumulative_buckets(), histogram.total)
        yield response_starts
        for name, description, counts in (
            ("gateway_received_bytes", "Bytes of request bodies.", self.received),
            ("gateway_sent_bytes", "Bytes of response bodies.", self._sent),
        ):
            family = CounterMetricFamily(name, description, labels=("route",))
            for route, count in list(counts.items()):
                family.add_metric((route,), count)
            yield family

    def _collect_instances(self) -> Iterator[Metric]:
        """Yield gauges per service. A label per instance would leave series of removed ones."""
        for name, description, get_value in (
            ("gateway_active_requests", "Outstanding requests to a service.", _get_outstanding),
            ("gateway_instances", "Instances of a service.", _count_instances),
            ("gateway_instances_ejected", "Ejected instances of a service.", _count_ejected),
            ("gateway_circuit_open", "1 while all instances are ejected.", _is_circuit_open),
        ):
            family = GaugeMetricFamily(name, description, labels=("service",))
            for group in self.instance_groups:
                family.add_metric((group.service,), get_value(group))
            yield family


def _get_outstanding(group: InstanceGroup) -> int:
    return group.outstanding


def _count_instances(group: InstanceGroup) -> int:
    return len(group.instances)


def _count_ejected(group: InstanceGroup) -> int:
    return sum(instance.is_ejected for instance in group.instances)


def _is_circuit_open(group: InstanceGroup) -> int:
    return int(group.circuit_state == "open")
