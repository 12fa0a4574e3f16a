"""Metrics of the connections of one process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from backend.services.realtime.edge.server import RealtimeServer


class RealtimeCollector:
    """Prometheus collector of one process."""

    def __init__(self, server: RealtimeServer) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        server, hub = self._server, self._server.hub
        yield GaugeMetricFamily(
            "realtime_sockets", "Open WebSockets, including Socket.IO.", value=len(server.sockets)
        )
        yield GaugeMetricFamily(
            "realtime_event_streams", "Open event streams.", value=len(server.event_streams)
        )
        yield GaugeMetricFamily(
            "realtime_topics", "Topics with subscribers.", value=len(hub.streams)
        )
        yield CounterMetricFamily(
            "realtime_publications", "Publications that were delivered.", value=hub.publications
        )
        yield CounterMetricFamily(
            "realtime_deliveries", "Publications sent to subscribers.", value=hub.deliveries
        )
        yield CounterMetricFamily(
            "realtime_lost_streams",
            "Times that subscribers had to start again because publications were lost.",
            value=hub.lost_streams,
        )
        closes = CounterMetricFamily(
            "realtime_closes", "Connections closed by the service.", labels=("reason",)
        )
        for reason, count in list(server.closes.items()):
            closes.add_metric((reason,), count)
        yield closes
