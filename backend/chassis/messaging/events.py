"""Events and their delivery, without a database: also for services that have none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """An event of a service.

    Attributes:
        id: UUID; consumers recognise a repeated delivery by it.
        type: service and what happened, such as `rag.audit-recorded`.
        subject: id of the object that the event is about.
        key: events with the same key are delivered in order.
        tenant_id: tenant of the object, "" without one.
        data: JSON object that the type defines.
    """

    id: str
    type: str
    subject: str
    key: str
    tenant_id: str
    time: datetime
    data: Mapping[str, Any]


class EventRejected(Exception):
    """The consumer rejects an event permanently.

    Attributes:
        event_id: id of the rejected event. Events before it in the batch were delivered.
    """

    def __init__(self, event_id: str, reason: str) -> None:
        super().__init__(reason)
        self.event_id = event_id


class Publisher(Protocol):
    """Delivers events to their consumers."""

    def publish_events(self, events: Sequence[OutboxEvent]) -> None:
        """Deliver *events*. Returns when the consumers have stored all of them.

        Raises:
            EventRejected: a consumer rejects an event permanently.
            UpstreamError: a consumer does not respond; deliver the events again later.
        """
