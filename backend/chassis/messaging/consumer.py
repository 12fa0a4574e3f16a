"""Consumer of domain events: applies each event once, in the transaction that records its id."""

import atexit
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from time import monotonic

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError

from backend.chassis.background import PeriodicTask
from backend.chassis.database.errors import classify_error
from backend.chassis.database.sessions import Database, Session
from backend.chassis.messaging.brokers import BrokerUnavailable, EventBroker, Subscription
from backend.chassis.messaging.cloud_events import Event, InvalidEvent, parse_event
from backend.chassis.messaging.received_events import DeadLetter, ReceivedEvents
from backend.chassis.observability.metrics import Metrics
from backend.chassis.observability.polled_metrics import PolledCollector
from backend.chassis.observability.tracing import attach_span_context, parse_traceparent

_log = logging.getLogger(__name__)
MAX_FAILURES = 5
_MAX_BACKOFF_SECONDS = 60.0
_RECEIVE_SECONDS = 5.0
# Between two looks for dead letters to apply again, and at how many events wait.
_CHECK_SECONDS = 10.0
_CLEANUP_INTERVAL = timedelta(hours=1)
_REPLAY_BATCH_SIZE = 100

Handler = Callable[[Session, Event], None]
"""Applies an event in the given transaction. Raises if it cannot; it is then called again."""


@dataclass(frozen=True, slots=True)
class _ReceivedEvent:
    """An event, its handler, and the message that contained it."""

    event: Event
    handler: Handler
    content: bytes


class EventConsumer:
    """Receives the events of some services in a background thread.

    An event is applied by the handler of its type; types without one are ignored. It is
    acknowledged after the commit. Events of one tenant that are received together share a
    transaction. If one of them fails, each is applied alone; after five failures alone it is stored
    as a dead letter, and later events are applied. While the database or another server that the
    handlers need is unavailable, events wait.

    Args:
        service: service that consumes the events; its migrations create the tables of
            received_events.py.
        name: name of the consumer. Processes with the same name share the events.
        handlers: handlers by event type.
        before_commit: called at the end of each transaction in which events were applied, to do at
            once what their handlers have collected in `Session.info`. It may raise like a handler.
        outage_errors: errors of handlers and of *before_commit* that mean that a server is
            unavailable. Events then wait as they do for the database.
        wait: waits between two attempts. Tests replace it.
    """

    def __init__(
        self,
        service: str,
        database: Database,
        broker: EventBroker,
        name: str,
        handlers: Mapping[str, Handler],
        before_commit: Callable[[Session], None] = lambda _session: None,
        outage_errors: tuple[type[Exception], ...] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        wait: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self.name = name
        self._database = database.across_tenants()
        self._broker = broker
        self._handlers = handlers
        self._before_commit = before_commit
        self._outage_errors = outage_errors
        self._services = sorted({event_type.partition(".")[0] for event_type in handlers})
        self._now = now
        self._wait = wait
        self._stopping = threading.Event()
        self._received_events = ReceivedEvents(service, database)
        self._subscription: Subscription | None = None
        self._check_at = 0.0
        self._next_cleanup_at = datetime.min.replace(tzinfo=UTC)
        self._waiting_events = 0
        self._task = PeriodicTask(
            f"consumer {name}",
            0.0,
            lambda: self.receive_once(_RECEIVE_SECONDS) >= 0,
            on_stop=self._stopping.set,
            expected_errors=(BrokerUnavailable, SQLAlchemyError, *outage_errors),
            max_backoff_seconds=_MAX_BACKOFF_SECONDS,
        )

    def start(self) -> None:
        """Start to receive events. Threads do not survive a fork, so call it in the worker."""
        self._task.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop after the current event, and let another process receive the next ones."""
        atexit.unregister(self.stop)
        self._task.stop()
        self.close()

    def register_metrics(self, metrics: Metrics) -> None:
        """Report the numbers of waiting events and dead letters in *metrics*."""

        def read() -> Iterator[Metric]:
            lag = GaugeMetricFamily(
                "events_consumer_lag",
                "Published events that the consumer has not acknowledged.",
                labels=["consumer"],
            )
            lag.add_metric([self.name], self._waiting_events)
            letters = GaugeMetricFamily(
                "events_dead_letters",
                "Events that the consumer could not apply.",
                labels=["consumer"],
            )
            counts = self._received_events.count_dead_letters()
            letters.add_metric([self.name], counts.get(self.name, 0))
            yield from (lag, letters)

        metrics.register_polled(PolledCollector(f"consumer {self.name}", read))

    def receive_once(self, timeout_seconds: float) -> int:
        """Receive, apply and acknowledge the next events. Returns their number.

        Raises:
            BrokerUnavailable, SQLAlchemyError, one of the outage errors: events that were not
                applied are received again.
        """
        if self._subscription is None:
            self._subscription = self._broker.subscribe(self.name, self._services)
        try:
            contents = self._subscription.receive_events(timeout_seconds)
            self.apply_messages(contents)
            if self._stopping.is_set():
                return 0  # some of these events may not be applied yet
            self._subscription.acknowledge_events()
            self._run_checks(self._subscription)
        except BaseException:
            self.close()
            raise
        return len(contents)

    def close(self) -> None:
        """Close the subscription. The next call of `receive_once` opens another one."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()

    def apply_messages(self, contents: Sequence[bytes]) -> None:
        """Apply the events in messages that were received together.

        Raises:
            SQLAlchemyError, one of the outage errors: a server is unavailable. Some of the events
                are applied.
        """
        received = filter(None, map(self._read_content, contents))
        for _, events in groupby(received, lambda each: each.event.tenant):
            self._apply_events(list(events))
            if self._stopping.is_set():
                return

    def apply_replayed_letters(self) -> None:
        """Apply the dead letters whose replay was requested."""
        for letter in self._received_events.list_replayed_letters(self.name, _REPLAY_BATCH_SIZE):
            try:
                event = parse_event(letter.content.encode())
                self._apply_letter(event, letter)
            except Exception as error:  # handlers raise any type; the event becomes a dead letter
                if self._is_outage(error):
                    raise
                self._received_events.keep_dead_letter(letter, _describe(error), self._now())

    def _read_content(self, content: bytes) -> _ReceivedEvent | None:
        """Return the event in a message, or None if there is nothing to apply."""
        try:
            event = parse_event(content)
        except InvalidEvent as error:
            digest = hashlib.sha256(content).hexdigest()
            self._add_dead_letter(digest, "", content, error)
            return None
        handler = self._handlers.get(event.type)
        return None if handler is None else _ReceivedEvent(event, handler, content)

    def _apply_events(self, events: Sequence[_ReceivedEvent]) -> None:
        """Apply events of one tenant, together if none of them fails."""
        if len(events) > 1 and self._try_together(events):
            return
        for each in events:
            self._apply_alone(each)
            if self._stopping.is_set():
                return

    def _try_together(self, events: Sequence[_ReceivedEvent]) -> bool:
        """Apply events in one transaction. Returns False if one has failed and none is applied."""
        try:
            with self._database.write(events[0].event.tenant) as session:
                ids = [each.event.id for each in events]
                new = self._received_events.add_all_seen(session, self.name, ids, self._now())
                for each in events:
                    if each.event.id in new:
                        new.remove(each.event.id)
                        _call_handler(session, each.event, each.handler)
                self._before_commit(session)
        except Exception as error:  # handlers raise any type; each event is applied alone then
            if self._is_outage(error):
                raise
            reason = _describe(error)
            _log.info("%s applies %d events one by one: %s", self.name, len(events), reason)
            return False
        return True

    def _apply_alone(self, received: _ReceivedEvent) -> None:
        event = received.event
        for failures in range(1, MAX_FAILURES + 1):
            try:
                self._apply_event(event, received.handler)
            except Exception as error:  # handlers raise any type; the event becomes a dead letter
                if self._is_outage(error):
                    raise
                _log.warning(
                    "%s cannot apply event %s (%s), attempt %d of %d: %s",
                    *(self.name, event.id, event.type, failures, MAX_FAILURES, _describe(error)),
                )
                if failures == MAX_FAILURES:
                    self._add_dead_letter(event.id, event.type, received.content, error)
                else:
                    self._wait(self._stopping, float(2 ** (failures - 1)))
            else:
                return
            if self._stopping.is_set():
                return

    def _apply_event(self, event: Event, handler: Handler) -> None:
        with self._database.write(event.tenant) as session:
            if self._received_events.add_seen(session, self.name, event.id, self._now()):
                _call_handler(session, event, handler)
                self._before_commit(session)

    def _apply_letter(self, event: Event, letter: DeadLetter) -> None:
        with self._database.write(event.tenant) as session:
            if self._received_events.delete_dead_letter(session, self.name, letter.id):
                self._handlers[event.type](session, event)
                self._before_commit(session)

    def _add_dead_letter(
        self, event_id: str, event_type: str, content: bytes, error: Exception
    ) -> None:
        _log.error("%s stores event %s as a dead letter", self.name, event_id, exc_info=error)
        self._received_events.add_dead_letter(
            DeadLetter(
                self.name,
                event_id,
                event_type,
                content.decode("utf-8", "replace"),
                _describe(error),
                self._now(),
            )
        )

    def _is_outage(self, error: Exception) -> bool:
        """Return whether a server prevents progress; the event is not the cause."""
        return isinstance(error, self._outage_errors) or classify_error(error) is not None

    def _run_checks(self, subscription: Subscription) -> None:
        if monotonic() < self._check_at:
            return
        self._check_at = monotonic() + _CHECK_SECONDS
        self._waiting_events = subscription.count_waiting_events()
        self.apply_replayed_letters()
        if self._now() >= self._next_cleanup_at:
            self._received_events.delete_old_ids(self._now())
            self._next_cleanup_at = self._now() + _CLEANUP_INTERVAL


def _call_handler(session: Session, event: Event, handler: Handler) -> None:
    trace = parse_traceparent(event.traceparent) if event.traceparent else None
    with attach_span_context(trace):
        handler(session, event)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
