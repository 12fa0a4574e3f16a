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
        traceparent: trace in which the event occurred, if any.
    """

    id: str
    type: str
    subject: str
    key: str
    tenant_id: str
    time: datetime
    data: Mapping[str, Any]
    traceparent: str | None = None


class EventsRejected(Exception):
    """The consumer rejects a request permanently. None of its events was delivered."""


class Publisher(Protocol):
    """Delivers events to their consumers."""

    def publish_events(self, events: Sequence[OutboxEvent]) -> None:
        """Deliver *events*. Returns when the consumers have stored all of them.

        Raises:
            EventsRejected: a consumer rejects the events permanently. If there are several,
                deliver them one by one: the consumer may accept some.
            UpstreamError, BrokerUnavailable: a consumer or the broker does not respond; deliver
                the events again later.
        """
