"""Gauges of the active users and sessions of the whole suite, without labels of users."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import PolledCollector
from backend.services.auth.domain.stats import StatsService

# Counting takes longer with more sessions, so it is not done at every scrape.
_FRESH_SECONDS: Final = 30.0


def register_activity_metrics(metrics: Metrics, stats: StatsService) -> None:
    """Report active users and sessions in *metrics*."""

    def read() -> Iterator[Metric]:
        users, sessions = stats.count_activity()
        gauge = GaugeMetricFamily(
            "auth_active_users",
            "Distinct users who used a session or an API key in the window.",
            labels=["window"],
        )
        for window, count in users.items():
            gauge.add_metric([window], count)
        yield gauge
        yield GaugeMetricFamily(
            "auth_active_sessions",
            "Sessions that have neither ended nor expired.",
            value=sessions,
        )

    metrics.register_polled(PolledCollector("active users", read, _FRESH_SECONDS))
