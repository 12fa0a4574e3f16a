"""Audit events of services without tables."""

from datetime import UTC, datetime

import pytest

from backend.chassis.http import UpstreamUnavailable
from backend.chassis.messaging.audit_events import NO_REQUEST, AuditEvent
from backend.chassis.messaging.audit_queue import AuditQueue
from tests.chassis.messaging.test_outbox import Consumer

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def consumer():
    return Consumer()


def open_queue(consumer, woken=None, max_pending_events=1000):
    wake = (lambda: None) if woken is None else (lambda: woken.append(1))
    return AuditQueue("admin", consumer, wake, lambda: NOON, max_pending_events)


def denial(target):
    return AuditEvent("access.denied", "user-ada", "tenant-a", NO_REQUEST, target=target)


def test_events_are_delivered_in_order_and_once(consumer):
    woken = []
    queue = open_queue(consumer, woken)
    for number in range(250):
        queue.record_event(denial(str(number)))
    assert len(woken) == 250

    assert [queue.deliver_pending_events() for _ in range(4)] == [True, True, False, False]
    assert consumer.delivered == [str(number) for number in range(250)]


def test_events_wait_while_auth_does_not_respond_and_further_ones_are_dropped(consumer, caplog):
    queue = open_queue(consumer, max_pending_events=3)
    consumer.is_available = False
    for number in range(5):
        queue.record_event(denial(str(number)))
    with pytest.raises(UpstreamUnavailable):
        queue.deliver_pending_events()

    consumer.is_available = True
    queue.deliver_pending_events()

    assert consumer.delivered == ["0", "1", "2"]
    assert "2 audit events were dropped" in caplog.text


def test_rejected_event_does_not_block_later_ones(consumer):
    queue = open_queue(consumer)
    consumer.rejected = {"second"}
    for target in ("first", "second", "third"):
        queue.record_event(denial(target))

    assert not queue.deliver_pending_events()
    assert consumer.delivered == ["first", "third"]
