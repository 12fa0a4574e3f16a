"""Relay: delivers the events of an outbox in the order in which they were added."""

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from prometheus_client.core import GaugeMetricFamily, Metric

from backend.chassis.messaging.events import EventRejected, OutboxEvent, Publisher
from backend.chassis.messaging.outbox import Outbox
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import PolledCollector

_log = logging.getLogger(__name__)
_LEASE = "outbox relay"
# Longer than one delivery takes: a batch has one request with a timeout of ten seconds.
_LEASE_LIFETIME = timedelta(seconds=30)
_BATCH_SIZE = 100
_CLEANUP_INTERVAL = timedelta(hours=1)


class OutboxRelay:
    """Delivers pending events. A lease restricts this to one process of the service at a time."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._now = now
        self._holder = secrets.token_hex(16)
        self._next_cleanup_at = datetime.min.replace(tzinfo=UTC)

    def deliver_pending_events(self) -> bool:
        """Deliver one batch of events. Returns True if there may be more.

        Raises:
            UpstreamError: a consumer does not respond. The events stay pending.
        """
        self._delete_old_events()
        if not self._outbox.has_pending_events():
            return False
        if not self._outbox.acquire_lease(_LEASE, self._holder, self._now(), _LEASE_LIFETIME):
            return False
        events = self._outbox.list_pending_events(_BATCH_SIZE)
        try:
            self._publisher.publish_events(events)
        except EventRejected as rejection:
            self._set_aside(events, rejection)
            return True
        self._outbox.mark_published([event.id for event in events], self._now())
        return len(events) == _BATCH_SIZE

    def _set_aside(self, events: Sequence[OutboxEvent], rejection: EventRejected) -> None:
        """Mark the event as rejected and those before it as published, to deliver later ones."""
        _log.error("event %s was rejected: %s", rejection.event_id, rejection)
        self._outbox.mark_rejected(rejection.event_id, str(rejection))
        ids = [event.id for event in events]
        if delivered := ids[: ids.index(rejection.event_id)]:
            self._outbox.mark_published(delivered, self._now())

    def _delete_old_events(self) -> None:
        if self._now() >= self._next_cleanup_at:
            self._outbox.delete_published_events(self._now())
            self._next_cleanup_at = self._now() + _CLEANUP_INTERVAL


def register_outbox_metrics(metrics: Metrics, outbox: Outbox) -> None:
    """Report the number and age of events that wait for delivery in *metrics*."""

    def read() -> Iterator[Metric]:
        state = outbox.get_state()
        oldest = state.oldest_pending_at
        age = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0
        yield GaugeMetricFamily(
            "events_outbox_pending", "Events that wait for delivery.", state.pending
        )
        yield GaugeMetricFamily(
            "events_outbox_rejected", "Events that their consumer rejected.", state.rejected
        )
        yield GaugeMetricFamily(
            "events_outbox_oldest_seconds",
            "Age of the oldest event that waits for delivery; 0 if none waits.",
            max(0.0, age),
        )

    metrics.register_polled(PolledCollector("the outbox", read))
