"""Relay: delivers the events of an outbox in the order in which they were added."""

import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.background import PeriodicTask
from backend.chassis.messaging.events import EventsRejected, OutboxEvent, Publisher
from backend.chassis.messaging.outbox import Channel, Outbox
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import PolledCollector

_log = logging.getLogger(__name__)
_LEASES: Mapping[Channel, str] = {"audit": "outbox relay", "events": "event relay"}
# A process that took over the lease while a delivery takes longer would repeat events, in order.
_LEASE_LIFETIME = timedelta(seconds=30)
_LEASE_RENEWAL = timedelta(seconds=15)
_BATCH_SIZE: Mapping[Channel, int] = {"audit": 100, "events": 500}
_CLEANUP_INTERVAL = timedelta(hours=1)
# Pause between two looks for events of other processes; those of this process wake the relay.
_POLL_SECONDS = 2.0
_MAX_BACKOFF_SECONDS = 60.0
# Minimum time between two deliveries that commits cause, so that the events of many commits are
# delivered together. The first one after a pause is delivered at once.
_COLLECT_SECONDS: Mapping[Channel, float] = {"audit": 1.0, "events": 0.05}


class OutboxRelay:
    """Delivers the pending events of a channel.

    A lease restricts this to one process of the service at a time. It saves work only: two relays
    would repeat events, and each would publish them in order.
    """

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
        self._lease_name = _LEASES[outbox.channel]
        self._batch_size = _BATCH_SIZE[outbox.channel]
        self._renew_lease_at = datetime.min.replace(tzinfo=UTC)
        self._retry_lease_at = datetime.min.replace(tzinfo=UTC)
        self._next_cleanup_at = datetime.min.replace(tzinfo=UTC)

    def deliver_pending_events(self) -> bool:
        """Deliver one batch of events. Returns True if there may be more.

        Raises:
            UpstreamError, BrokerUnavailable: a consumer or the broker does not respond. The events
                stay pending.
        """
        self._delete_old_events()
        # The lease is acquired only if there are events: each attempt blocks writers.
        if not self._is_lease_valid() and not self._outbox.has_pending_events():
            return False
        if not self._hold_lease():
            return False
        events = self._outbox.list_pending_events(self._batch_size)
        if not events:
            return False
        try:
            self._publish_events(events)
        except EventsRejected:
            self._publish_one_by_one(events)
        return len(events) == self._batch_size

    def stop(self) -> None:
        """Release the lease, so that another process need not wait for its end."""
        if self._now() < self._renew_lease_at + _LEASE_LIFETIME:
            self._outbox.release_lease(self._lease_name, self._holder)
            self._renew_lease_at = datetime.min.replace(tzinfo=UTC)

    def _hold_lease(self) -> bool:
        """Acquire the lease, or extend it if half of its time has passed."""
        now = self._now()
        if self._is_lease_valid():
            return True
        # The process that has the lease looks for events as often. Each attempt blocks writers.
        if now < self._retry_lease_at <= now + timedelta(seconds=_POLL_SECONDS):
            return False
        if self._outbox.acquire_lease(self._lease_name, self._holder, now, _LEASE_LIFETIME):
            self._renew_lease_at = now + _LEASE_RENEWAL
            return True
        self._renew_lease_at = datetime.min.replace(tzinfo=UTC)
        self._retry_lease_at = now + timedelta(seconds=_POLL_SECONDS)
        return False

    def _is_lease_valid(self) -> bool:
        """Return whether this process has the lease and need not extend it yet."""
        now = self._now()
        # The second comparison holds unless the clock was set back.
        return now < self._renew_lease_at <= now + _LEASE_RENEWAL

    def _publish_one_by_one(self, events: Sequence[OutboxEvent]) -> None:
        """Deliver *events*, and exclude those from delivery that the consumer rejects."""
        for event in events:
            # All requests together can take longer than the lease lasts.
            if not self._hold_lease():
                return
            try:
                self._publish_events([event])
            except EventsRejected as rejection:
                _log.error("event %s was rejected: %s", event.id, rejection)
                self._outbox.mark_rejected(event.id, str(rejection))

    def _publish_events(self, events: Sequence[OutboxEvent]) -> None:
        self._publisher.publish_events(events)
        self._outbox.mark_published([event.id for event in events], self._now())

    def _delete_old_events(self) -> None:
        if self._now() >= self._next_cleanup_at:
            self._outbox.delete_published_events(self._now())
            self._next_cleanup_at = self._now() + _CLEANUP_INTERVAL


class RelayTask(PeriodicTask):
    """Background thread of a relay.

    It runs after each commit of this process that adds events, and every two seconds for those of
    other processes. While the consumer is unavailable, it waits from one second up to one minute
    between two attempts.

    Args:
        delay_seconds: pause between a commit and its delivery, so that the events of commits that
            usually follow each other are delivered together.
    """

    def __init__(
        self,
        outbox: Outbox,
        relay: OutboxRelay,
        expected_errors: tuple[type[Exception], ...],
        delay_seconds: float = 0.0,
    ) -> None:
        collect_seconds = _COLLECT_SECONDS[outbox.channel]
        next_delivery = 0.0

        def wait(event: threading.Event, seconds: float) -> None:
            nonlocal next_delivery
            if not event.wait(seconds):
                return
            pause = max(next_delivery - monotonic(), delay_seconds)
            if pause > 0:
                self._stop_event.wait(pause)
            next_delivery = monotonic() + collect_seconds

        super().__init__(
            f"delivery of {'audit events' if outbox.channel == 'audit' else 'events'}",
            _POLL_SECONDS,
            relay.deliver_pending_events,
            stops_at_exit=True,
            expected_errors=(*expected_errors, SQLAlchemyError),
            max_backoff_seconds=_MAX_BACKOFF_SECONDS,
            wait=wait,
        )
        self._relay = relay
        outbox.add_listener(self.wake)

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Stop the relay and release its lease."""
        super().stop(timeout_seconds)
        try:
            self._relay.stop()
        except SQLAlchemyError as error:
            _log.info("the lease of the relay is not released: %s", type(error).__name__)


def register_outbox_metrics(metrics: Metrics, outboxes: Sequence[Outbox]) -> None:
    """Report the numbers and ages of events that wait for delivery in *metrics*."""

    def read() -> Iterator[Metric]:
        pending = GaugeMetricFamily(
            "events_outbox_pending", "Events that wait for delivery.", labels=["channel"]
        )
        rejected = GaugeMetricFamily(
            "events_outbox_rejected",
            "Events that their consumer or the broker rejected.",
            labels=["channel"],
        )
        oldest = GaugeMetricFamily(
            "events_outbox_oldest_seconds",
            "Age of the oldest event that waits for delivery; 0 if none waits.",
            labels=["channel"],
        )
        for outbox in outboxes:
            state = outbox.get_state()
            pending.add_metric([outbox.channel], state.pending)
            rejected.add_metric([outbox.channel], state.rejected)
            oldest.add_metric([outbox.channel], _get_age_seconds(state.oldest_pending_at))
        yield from (pending, rejected, oldest)

    metrics.register_polled(PolledCollector("the outbox", read))


def _get_age_seconds(time: datetime | None) -> float:
    return 0.0 if time is None else max(0.0, (datetime.now(UTC) - time).total_seconds())
