"""Brokers that carry domain events between services, chosen by EVENTS_URL.

All deliver at least once. Events of one service with the same key are received in the order in
which they were published, apart from repetitions.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from backend.chassis.messaging.cloud_events import Event

__all__ = [
    "BrokerUnavailable",
    "EventBroker",
    "Subscription",
    "open_broker",
]


class BrokerUnavailable(Exception):
    """The broker does not respond, or did not confirm that it has stored the events."""


class Subscription(Protocol):
    """Received events of one consumer. Used by one thread."""

    def receive_events(self, timeout_seconds: float) -> Sequence[bytes]:
        """Return the next events in order, none if there are none within *timeout_seconds*.

        Raises:
            BrokerUnavailable: close the subscription and open another one later.
        """

    def acknowledge_events(self) -> None:
        """Acknowledge all events that the last call of `receive_events` returned.

        Raises:
            BrokerUnavailable: the events will be received again.
        """

    def count_waiting_events(self) -> int:
        """Return how many events this consumer has not acknowledged; an estimate.

        Raises:
            BrokerUnavailable: the number is unknown.
        """

    def close(self) -> None:
        """Close the connection. Events that are not acknowledged will be received again."""


class EventBroker(Protocol):
    """Publishes events and delivers them to subscribed consumers."""

    def publish_events(self, events: Sequence[Event]) -> None:
        """Publish *events* of one service. Returns when the broker has stored all of them.

        Raises:
            BrokerUnavailable: some events may be published. Publish all of them again later.
        """

    def subscribe(self, consumer: str, services: Sequence[str]) -> Subscription:
        """Receive the events of *services* as *consumer*.

        Processes that subscribe as the same consumer share its events.

        Args:
            consumer: name of the consumer, such as `realtime`.

        Raises:
            BrokerUnavailable: the broker does not respond.
        """

    def close(self) -> None:
        """Close the connections."""


def open_broker(url: str | None) -> EventBroker | None:
    """Return the broker at *url*, which `chassis.events_url` accepts, or None for None.

    It connects at its first use.
    """
    if url is None:
        return None
    scheme = url.partition("://")[0]
    # Each process imports the client of its broker only.
    if scheme == "memory":
        from backend.chassis.messaging.brokers.local import LocalBroker

        return LocalBroker()
    if scheme == "kafka":
        from backend.chassis.messaging.brokers.kafka import KafkaBroker

        return KafkaBroker(url)
    if scheme in ("amqp", "amqps"):
        from backend.chassis.messaging.brokers.rabbitmq import RabbitMqBroker

        return RabbitMqBroker(url)
    from backend.chassis.messaging.brokers.redis_streams import RedisStreamBroker

    return RedisStreamBroker(url)


def split_batches(contents: Sequence[bytes], max_bytes: int) -> Iterator[Sequence[bytes]]:
    """Split *contents* into batches of at most *max_bytes*, or of one larger content."""
    batch: list[bytes] = []
    size = 0
    for content in contents:
        if batch and size + len(content) > max_bytes:
            yield batch
            batch, size = [], 0
        batch.append(content)
        size += len(content)
    if batch:
        yield batch
