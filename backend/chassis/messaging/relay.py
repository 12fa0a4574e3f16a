"""Relay: delivers the events of an outbox in the order in which they were added."""

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from prometheus_client.core import GaugeMetricFamily, Metric

from backend.chassis.messaging.events import EventsRejected, OutboxEvent, Publisher
from backend.chassis.messaging.outbox import Outbox
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import PolledCollector

_log = logging.getLogger(__name__)
_LEASE = "outbox relay"
# Longer than one request to the consumer takes, which has a timeout of ten seconds.
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
        if not self._outbox.has_pending_events() or not self._acquire_lease():
            return False
        events = self._outbox.list_pending_events(_BATCH_SIZE)
        try:
            self._publish_events(events)
        except EventsRejected:
            self._publish_one_by_one(events)
        return len(events) == _BATCH_SIZE

    def _publish_one_by_one(self, events: Sequence[OutboxEvent]) -> None:
        """Deliver *events*, and exclude those from delivery that the consumer rejects."""
        for event in events:
            # All requests together can take longer than the lease lasts.
            if not self._acquire_lease():
                return
            try:
                self._publish_events([event])
            except EventsRejected as rejection:
                _log.error("event %s was rejected: %s", event.id, rejection)
                self._outbox.mark_rejected(event.id, str(rejection))

    def _publish_events(self, events: Sequence[OutboxEvent]) -> None:
        self._publisher.publish_events(events)
        self._outbox.mark_published([event.id for event in events], self._now())

    def _acquire_lease(self) -> bool:
        return self._outbox.acquire_lease(_LEASE, self._holder, self._now(), _LEASE_LIFETIME)

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
