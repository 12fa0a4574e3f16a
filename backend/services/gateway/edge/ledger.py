"""What the edge writes down: a line for each request, and the numbers for Prometheus."""

import os
import sys
from bisect import bisect_left
from collections.abc import Iterator
from time import gmtime, strftime

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from backend.services.gateway.clients.instances import Instances

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_FLUSH_ENTRIES = 256
# Gauges of what several workers see alike, each for itself: the highest counts.
FLAGS = (
    "gateway_limits_counted_locally",
    "gateway_circuit_open",
    "gateway_instances",
    "gateway_instances_ejected",
)


# One answered request: (when it ended, method, path, status, seconds, client, request id,
# route, bytes sent, user, instance, reason). A plain tuple, because one is made for every
# request. Each value is of a known alphabet: a path has its normal form, an id its pattern;
# user and instance are members of the JSON object, written by those who know them.
Entry = tuple[float, str, str, int, float, str, str, str, int, str, str, str | None]


class AccessLog:
    """One JSON line a request, written out in batches.

    Put together without an encoder, and only when many have come together: in between
    requests the same work costs twice as much, because nothing of it is in the cache.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stderr.fileno() if descriptor is None else descriptor

    def write(self, entries: list[Entry]) -> None:
        second, stamp = 0, ""
        lines = []
        for each in entries:
            ended, method, path, status, took, remote, identity, route, sent, *_ = each
            user, upstream, reason = each[-3:]
            now = int(ended)
            if now != second:
                second, stamp = now, strftime("%Y-%m-%dT%H:%M:%S", gmtime(now))
            last = f',"reason":"{reason}"' if reason else ""
            lines.append(
                f'{{"timestamp":"{stamp}.{int((ended - now) * 1000):03d}Z","level":"info",'
                f'"service":"gateway","logger":"access","message":"{method} {path} {status}",'
                f'"request_id":"{identity}","method":"{method}","path":"{path}",'
                f'"status":{status},"took_ms":{took * 1000:.2f},"remote":"{remote}",'
                f'"route":"{route}","bytes":{sent}{user}{upstream}{last}}}\n'
            )
        data = "".join(lines).encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            # A log that can't be written (a full disk, a closed pipe) stops no request.
            return


class _Histogram:
    __slots__ = ("counts", "told", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.total = 0.0
        self.told = 0

    def add(self, took: float) -> None:
        self.counts[bisect_left(_BUCKETS, took)] += 1
        self.total += took

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound with how many were no longer, as Prometheus counts."""
        below, told = 0, []
        for bound, count in zip((*_BUCKETS, "+Inf"), self.counts, strict=True):
            below += count
            told.append((str(bound), float(below)))
        return told


class Tally:
    """The decisions of one limit: by Redis, by this process, and against the caller."""

    __slots__ = ("allowed", "near", "refused")

    def __init__(self) -> None:
        self.allowed = 0
        self.near = 0
        self.refused = 0


class Numbers:
    """Counters of one worker; a collector for prometheus_client."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log
        self._entries: list[Entry] = []
        self.requests: dict[tuple[str, str, int], _Histogram] = {}
        self.answered: list[tuple[str, float]] = []
        """The services whose answers have begun since the last count, and after how long."""
        self._heads: dict[str, _Histogram] = {}
        self.received: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self.limits: dict[str, Tally] = {}
        self.errors: dict[tuple[str, str], int] = {}
        self.refusals: dict[str, int] = {}
        self.retries = 0
        self.streams = 0
        self.sockets = 0
        self.connections = 0
        self.instances: list[Instances] = []
        self.counting_locally = False

    def note(self, entry: Entry) -> None:
        """Count and log a request, when there are more of them."""
        self._entries.append(entry)
        if len(self._entries) >= _FLUSH_ENTRIES:
            self.flush()

    def flush(self) -> None:
        entries, self._entries = self._entries, []
        if entries:
            for _, method, _, status, took, _, _, route, sent, *_ in entries:
                self._count(route, method, status, took)
                self._sent[route] = self._sent.get(route, 0) + sent
            self._log.write(entries)
        answered, self.answered = self.answered, []
        for service, took in answered:
            histogram = self._heads.get(service)
            if histogram is None:
                histogram = self._heads[service] = _Histogram()
            histogram.add(took)

    def _count(self, route: str, method: str, status: int, took: float) -> None:
        key = (route, method, status)
        histogram = self.requests.get(key)
        if histogram is None:
            histogram = self.requests[key] = _Histogram()
        histogram.add(took)

    def news(self) -> Iterator[tuple[str, int, int]]:
        """Route, status and number of the requests that were counted since this was asked last.

        Read off the histograms: that costs something now and then, and nothing a request.
        """
        for (route, _, status), histogram in self.requests.items():
            counted = sum(histogram.counts)
            if counted > histogram.told:
                yield route, status, counted - histogram.told
                histogram.told = counted

    def tally(self, limit: str) -> Tally:
        """How often *limit* let in and refused."""
        tally = self.limits.get(limit)
        if tally is None:
            tally = self.limits[limit] = Tally()
        return tally

    def failed(self, service: str, reason: str) -> None:
        key = (service, reason)
        self.errors[key] = self.errors.get(key, 0) + 1

    def took_in(self, route: str, size: int) -> None:
        """A request along *route* had a body of so many bytes."""
        self.received[route] = self.received.get(route, 0) + size

    def refused(self, reason: str) -> None:
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """What `/metrics` shows."""
        yield self._durations()
        yield from self._upstream()
        limits = CounterMetricFamily(
            "gateway_limit_decisions", "Requests by limit and outcome.", labels=("limit", "outcome")
        )
        for limit, tally in list(self.limits.items()):
            limits.add_metric((limit, "allowed"), tally.allowed)
            limits.add_metric((limit, "allowed_locally"), tally.near)
            limits.add_metric((limit, "refused"), tally.refused)
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
        yield from self._circuits()

    def _durations(self) -> Metric:
        durations = HistogramMetricFamily(
            "gateway_request_duration_seconds",
            "From a request's head to the last byte of its answer.",
            labels=("route", "method", "status"),
        )
        for (route, method, status), histogram in list(self.requests.items()):
            labels = (route, method, str(status))
            durations.add_metric(labels, histogram.buckets(), histogram.total)
        return durations

    def _upstream(self) -> Iterator[Metric]:
        heads = HistogramMetricFamily(
            "gateway_upstream_duration_seconds",
            "From sending a request on to the head of the service's answer.",
            labels=("service",),
        )
        for service, histogram in list(self._heads.items()):
            heads.add_metric((service,), histogram.buckets(), histogram.total)
        yield heads
        for name, told, counts in (
            ("gateway_received_bytes", "Bytes of requests' bodies.", self.received),
            ("gateway_sent_bytes", "Bytes of answers' bodies.", self._sent),
        ):
            family = CounterMetricFamily(name, told, labels=("route",))
            for route, count in list(counts.items()):
                family.add_metric((route,), count)
            yield family

    def _circuits(self) -> Iterator[Metric]:
        """By service and not by instance: addresses come and go, and their numbers would stay."""
        for name, told, value in (
            ("gateway_active_requests", "Requests that a service has in hand.", _outstanding),
            ("gateway_instances", "Instances of a service.", _known),
            ("gateway_instances_ejected", "Those of them that are left alone.", _ejected),
            ("gateway_circuit_open", "1 while no instance is asked.", _is_open),
        ):
            family = GaugeMetricFamily(name, told, labels=("service",))
            for group in self.instances:
                family.add_metric((group.service,), value(group))
            yield family


def _outstanding(group: Instances) -> int:
    return group.outstanding


def _known(group: Instances) -> int:
    return len(group.all)


def _ejected(group: Instances) -> int:
    return sum(each.ejected for each in group.all)


def _is_open(group: Instances) -> int:
    return int(group.state == "open")
