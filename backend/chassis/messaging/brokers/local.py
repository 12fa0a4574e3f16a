"""Events within one process, for installations without a server.

Nothing is stored here: `publish_events` returns when each consumer of this process has
acknowledged the events, so that those of a killed process stay in the outbox.
"""

import threading
from collections.abc import Sequence

from backend.chassis.messaging.brokers import BrokerUnavailable, Subscription
from backend.chassis.messaging.cloud_events import Event

# Longer than the attempts of a consumer whose handler fails.
_TIMEOUT_SECONDS = 20.0


class LocalBroker:
    """Passes events to the consumers that have subscribed in this process."""

    def __init__(self, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._subscriptions: list[_LocalSubscription] = []

    def publish_events(self, events: Sequence[Event]) -> None:
        deliveries = [
            (subscription, delivery)
            for subscription in tuple(self._subscriptions)
            if (delivery := subscription.offer_events(events)) is not None
        ]
        is_acknowledged = [
            delivery.acknowledged.wait(self._timeout_seconds) for _, delivery in deliveries
        ]
        if not all(is_acknowledged):
            for subscription, delivery in deliveries:
                subscription.withdraw(delivery)
            raise BrokerUnavailable("A consumer of this process did not acknowledge the events.")

    def subscribe(self, consumer: str, services: Sequence[str]) -> Subscription:
        del consumer
        subscription = _LocalSubscription(self, services)
        self._subscriptions.append(subscription)
        return subscription

    def close(self) -> None:
        self._subscriptions.clear()

    def remove_subscription(self, subscription: "_LocalSubscription") -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)


class _Delivery:
    def __init__(self, contents: Sequence[bytes]) -> None:
        self.contents = contents
        self.acknowledged = threading.Event()


class _LocalSubscription:
    def __init__(self, broker: LocalBroker, services: Sequence[str]) -> None:
        self._broker = broker
        self._services = frozenset(services)
        self._deliveries: list[_Delivery] = []
        self._received: list[_Delivery] = []
        self._changed = threading.Condition()

    def offer_events(self, events: Sequence[Event]) -> _Delivery | None:
        contents = [event.encode() for event in events if event.service in self._services]
        if not contents:
            return None
        delivery = _Delivery(contents)
        with self._changed:
            self._deliveries.append(delivery)
            self._changed.notify()
        return delivery

    def withdraw(self, delivery: _Delivery) -> None:
        """Remove a delivery that will be repeated. A running one is not interrupted."""
        with self._changed:
            if delivery in self._deliveries:
                self._deliveries.remove(delivery)

    def receive_events(self, timeout_seconds: float) -> Sequence[bytes]:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._deliveries), timeout_seconds)
            self._received, self._deliveries = self._deliveries, []
        return [content for delivery in self._received for content in delivery.contents]

    def acknowledge_events(self) -> None:
        for delivery in self._received:
            delivery.acknowledged.set()
        self._received = []

    def count_waiting_events(self) -> int:
        with self._changed:
            return sum(len(delivery.contents) for delivery in self._deliveries)

    def close(self) -> None:
        self._broker.remove_subscription(self)
