"""Audit events of services without tables, kept in memory until auth has stored them."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from backend.chassis.messaging.audit_events import (
    MAX_EVENTS_PER_REQUEST,
    AuditEvent,
    to_outbox_event,
)
from backend.chassis.messaging.events import EventsRejected, OutboxEvent, Publisher

_log = logging.getLogger(__name__)
_MAX_PENDING_EVENTS = 1000


class AuditQueue:
    """Bounded queue of audit events.

    Events that auth has not stored are lost when the process ends. If auth does not respond, the
    queue keeps the oldest events and drops further ones.

    Args:
        service: name of the service.
        wake: called after an event was added.
    """

    def __init__(
        self,
        service: str,
        publisher: Publisher,
        wake: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_pending_events: int = _MAX_PENDING_EVENTS,
    ) -> None:
        self._service = service
        self._publisher = publisher
        self._wake = wake
        self._now = now
        self._max_pending_events = max_pending_events
        self._pending: deque[OutboxEvent] = deque()
        self._dropped = 0
        self._lock = threading.Lock()

    def record_event(self, event: AuditEvent) -> None:
        """Add *event*, or drop it if the queue is full."""
        with self._lock:
            if len(self._pending) >= self._max_pending_events:
                self._dropped += 1
                return
            self._pending.append(to_outbox_event(self._service, event, self._now()))
        self._wake()

    def deliver_pending_events(self) -> bool:
        """Deliver one batch of events, in one thread at a time. Returns True if there are more.

        Raises:
            UpstreamError: auth does not respond. The events stay in the queue.
        """
        with self._lock:
            events = list(self._pending)[:MAX_EVENTS_PER_REQUEST]
        if not events:
            return False
        try:
            self._publish_events(events)
        except EventsRejected:
            self._publish_one_by_one(events)
        with self._lock:
            dropped, self._dropped = self._dropped, 0
            has_more = bool(self._pending)
        if dropped:
            _log.error("%d audit events were dropped, because auth did not respond", dropped)
        return has_more

    def _publish_one_by_one(self, events: Sequence[OutboxEvent]) -> None:
        for event in events:
            try:
                self._publish_events([event])
            except EventsRejected as rejection:
                _log.error("event %s was rejected: %s", event.id, rejection)
                self._remove_oldest(1)

    def _publish_events(self, events: Sequence[OutboxEvent]) -> None:
        self._publisher.publish_events(events)
        self._remove_oldest(len(events))

    def _remove_oldest(self, count: int) -> None:
        with self._lock:
            for _ in range(count):
                self._pending.popleft()
