"""Metrics of the chat service."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class TenantValues:
    """Values of one tenant on the current day. Times are seconds by quantile."""

    active_users: int
    opened: int
    closed: int
    completed: int
    handovers: int
    failed: int
    messages: Mapping[str, int]
    response_seconds: Mapping[str, float]
    first_response_seconds: Mapping[str, float]


_COUNTS: Final = (
    ("active_users", "chat_active_users", "Distinct users who wrote."),
    ("opened", "chat_conversations_opened", "Conversations that were opened."),
    ("closed", "chat_conversations_closed", "Conversations that were resolved."),
    ("completed", "chat_conversations_completed", "Opened conversations that are resolved now."),
    ("handovers", "chat_handovers", "Changes of conversations from the agent to people."),
    ("failed", "chat_failed_messages", "Messages that could not be delivered."),
)
_TIMES: Final = (
    ("response_seconds", "chat_response_seconds", "Time until a waiting message was answered."),
    (
        "first_response_seconds",
        "chat_first_response_seconds",
        "Time until the first answer of a conversation.",
    ),
)
_TODAY: Final = "On the current day (UTC), by tenant."


def tenant_metrics(values: Mapping[str, TenantValues]) -> Iterator[Metric]:
    """Yield the business metrics of the current day by tenant."""
    for field, name, description in _COUNTS:
        gauge = GaugeMetricFamily(name, f"{description} {_TODAY}", labels=["tenant"])
        for tenant, value in values.items():
            gauge.add_metric([tenant], getattr(value, field))
        yield gauge
    gauge = GaugeMetricFamily(
        "chat_messages", f"Messages by direction. {_TODAY}", labels=["tenant", "direction"]
    )
    for tenant, value in values.items():
        for direction, count in value.messages.items():
            gauge.add_metric([tenant, direction], count)
    yield gauge
    for field, name, description in _TIMES:
        gauge = GaugeMetricFamily(name, f"{description} {_TODAY}", labels=["tenant", "quantile"])
        for tenant, value in values.items():
            for quantile, seconds in getattr(value, field).items():
                gauge.add_metric([tenant, quantile], seconds)
        yield gauge
