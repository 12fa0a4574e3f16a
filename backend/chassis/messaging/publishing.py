"""Publisher of domain events: from the outbox to the broker."""

from collections.abc import Sequence

from pydantic import ValidationError

from backend.chassis.messaging.brokers import EventBroker
from backend.chassis.messaging.cloud_events import MAX_EVENT_BYTES, Event
from backend.chassis.messaging.events import EventsRejected, OutboxEvent


class EventPublisher:
    """Publishes the events of a service as CloudEvents."""

    def __init__(self, service: str, broker: EventBroker) -> None:
        self._service = service
        self._broker = broker

    def publish_events(self, events: Sequence[OutboxEvent]) -> None:
        """Publish *events*.

        Raises:
            EventsRejected: an event is invalid or larger than 256 KB. None is published.
            BrokerUnavailable: publish the events again later.
        """
        try:
            cloud_events = [to_cloud_event(self._service, event) for event in events]
        except ValueError as error:
            raise EventsRejected(str(error)) from error
        self._broker.publish_events(cloud_events)


def to_cloud_event(service: str, event: OutboxEvent) -> Event:
    """Return *event* in the form of CloudEvents.

    Raises:
        ValueError: it is invalid, or larger than 256 KB.
    """
    try:
        cloud_event = Event(
            specversion="1.0",
            id=event.id,
            source=f"/{service}",
            type=event.type,
            subject=event.subject,
            time=event.time,
            partitionkey=event.key,
            tenant=event.tenant_id or None,
            traceparent=event.traceparent,
            data=dict(event.data),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if (size := len(cloud_event.encode())) > MAX_EVENT_BYTES:
        raise ValueError(f"The event has {size} bytes; {MAX_EVENT_BYTES} are allowed.")
    return cloud_event
