"""Metrics of the chat service."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ChatMetrics:
    """Times of the processing of messages, by kind: answer, webhook or delivery."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._processing_time = Histogram(
            "chat_message_processing_time_seconds",
            "Time to process a message: answer, webhook or delivery.",
            ["kind"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def record_processing_time(self, kind: str, seconds: float) -> None:
        self._processing_time.labels(kind).observe(seconds)


def queue_metrics(counts: Mapping[str, int]) -> Iterator[Metric]:
    """Yield the numbers of waiting messages by queue."""
    gauge = GaugeMetricFamily(
        "chat_queue_messages", "Messages that wait, by queue.", labels=["queue"]
    )
    for queue, count in counts.items():
        gauge.add_metric([queue], count)
    yield gauge
