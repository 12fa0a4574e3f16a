"""Outbox and relay: committed events are delivered at least once and in order."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.chassis.database.sessions import open_database
from backend.chassis.http import UpstreamUnavailable
from backend.chassis.messaging import relay as relay_module
from backend.chassis.messaging.audit_events import NO_REQUEST, AuditEvent
from backend.chassis.messaging.audit_outbox import AuditOutbox
from backend.chassis.messaging.events import EventsRejected
from backend.chassis.messaging.outbox import Outbox
from backend.chassis.messaging.relay import OutboxRelay, RelayTask
from tests.servers import wait_until

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Consumer:
    """Stores the targets of delivered events."""

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.rejected: set[str] = set()
        self.is_available = True
        self.loses_confirmation = False

    def publish_events(self, events):
        if not self.is_available:
            raise UpstreamUnavailable("The consumer is stopped.")
        if any(event.subject in self.rejected for event in events):
            raise EventsRejected("invalid")
        self.delivered += [event.subject for event in events]
        if self.loses_confirmation:
            raise UpstreamUnavailable("The connection was lost after the delivery.")


@pytest.fixture
def database(each_database_url):
    database = open_database(each_database_url, "rag")
    database.migrate("rag")
    yield database
    database.engine.dispose()


@pytest.fixture
def audit(database):
    return AuditOutbox("rag", database, lambda: NOON)


@pytest.fixture
def outbox(database):
    return Outbox("rag", database, "audit")


@pytest.fixture
def consumer():
    return Consumer()


def deletion(target):
    return AuditEvent("document.delete", "user-ada", "tenant-a", NO_REQUEST, target=target)


def relay_of(outbox, consumer, now=NOON):
    return OutboxRelay(outbox, consumer, lambda: now)


def test_event_of_a_rolled_back_change_is_not_delivered(database, audit, outbox, consumer):
    with database.write("tenant-a") as session:
        audit.add_event(session, deletion("first"))
        session.rollback()
    with database.write("tenant-a") as session:
        audit.add_event(session, deletion("second"))

    relay_of(outbox, consumer).deliver_pending_events()

    assert consumer.delivered == ["second"]


def test_event_of_a_rolled_back_savepoint_is_not_delivered(database, audit, outbox, consumer):
    with database.write("tenant-a") as session:
        audit.add_event(session, deletion("before"))
        with session.begin_nested() as outer:
            with session.begin_nested():
                audit.add_event(session, deletion("in a released savepoint"))
            audit.add_event(session, deletion("in a savepoint"))
            outer.rollback()
        with session.begin_nested():
            audit.add_event(session, deletion("kept"))
        audit.add_event(session, deletion("after"))

    relay_of(outbox, consumer).deliver_pending_events()

    assert consumer.delivered == ["before", "kept", "after"]


def test_events_wait_for_an_unavailable_consumer_and_are_delivered_once_in_order(
    audit, outbox, consumer
):
    consumer.is_available = False
    for number in range(250):
        audit.record_event(deletion(str(number)))
    relay = relay_of(outbox, consumer)
    with pytest.raises(UpstreamUnavailable):
        relay.deliver_pending_events()
    assert outbox.get_state().pending == 250

    consumer.is_available = True
    while relay.deliver_pending_events():
        pass

    assert consumer.delivered == [str(number) for number in range(250)]
    assert outbox.get_state().pending == 0


def test_event_is_delivered_again_with_its_id_if_the_confirmation_was_lost(audit, outbox, consumer):
    audit.record_event(deletion("one"))
    first_ids = [event.id for event in outbox.list_pending_events(10)]
    consumer.loses_confirmation = True
    with pytest.raises(UpstreamUnavailable):
        relay_of(outbox, consumer).deliver_pending_events()

    assert [event.id for event in outbox.list_pending_events(10)] == first_ids


def test_rejected_event_does_not_block_the_others(audit, outbox, consumer):
    for target in ("one", "two", "three"):
        audit.record_event(deletion(target))
    consumer.rejected = {"two"}
    relay = relay_of(outbox, consumer)

    while relay.deliver_pending_events():
        pass

    assert consumer.delivered == ["one", "three"]
    state = outbox.get_state()
    assert (state.pending, state.rejected) == (0, 1)


def test_only_the_relay_with_the_lease_delivers_until_the_lease_expires(audit, outbox, consumer):
    first, second = Consumer(), Consumer()
    audit.record_event(deletion("one"))
    relay_of(outbox, first).deliver_pending_events()
    audit.record_event(deletion("two"))

    relay_of(outbox, second).deliver_pending_events()
    assert second.delivered == []
    relay_of(outbox, second, NOON + timedelta(minutes=1)).deliver_pending_events()

    assert (first.delivered, second.delivered) == (["one"], ["two"])


def test_lease_is_kept_while_events_are_delivered_one_by_one(audit, outbox):
    now, second = [NOON], Consumer()

    class SlowConsumer(Consumer):
        def publish_events(self, events):
            now[0] += timedelta(seconds=10)
            relay_of(outbox, second, now[0]).deliver_pending_events()
            super().publish_events(events)

    first = SlowConsumer()
    first.rejected = {"0"}
    for number in range(10):
        audit.record_event(deletion(str(number)))
    OutboxRelay(outbox, first, lambda: now[0]).deliver_pending_events()

    assert (len(first.delivered), second.delivered) == (9, [])


def test_lease_from_before_the_clock_was_set_back_counts_as_expired(audit, outbox, consumer):
    audit.record_event(deletion("one"))
    relay_of(outbox, Consumer(), NOON + timedelta(hours=1)).deliver_pending_events()
    audit.record_event(deletion("two"))

    relay_of(outbox, consumer).deliver_pending_events()

    assert consumer.delivered == ["two"]


def test_published_and_rejected_events_are_deleted_after_seven_days(
    database, audit, outbox, consumer
):
    for target in ("one", "two"):
        audit.record_event(deletion(target))
    consumer.rejected = {"two"}
    relay_of(outbox, consumer).deliver_pending_events()

    def count_rows():
        with database.across_tenants().read() as session:
            return session.connection().exec_driver_sql("SELECT count(*) FROM rag_outbox").scalar()

    relay_of(outbox, consumer, NOON + timedelta(days=6)).deliver_pending_events()
    assert count_rows() == 2
    relay_of(outbox, consumer, NOON + timedelta(days=8)).deliver_pending_events()

    assert count_rows() == 0


@pytest.mark.postgres
def test_other_tenants_events_are_invisible_in_a_tenants_session(postgres_url):
    database = open_database(postgres_url, "rag")
    database.migrate("rag")
    AuditOutbox("rag", database).record_event(deletion("one"))

    with database.read("tenant-b") as session:
        rows = session.connection().exec_driver_sql("SELECT id FROM rag_outbox").all()
    database.engine.dispose()

    assert rows == []


def test_first_event_after_a_pause_is_delivered_at_once(
    database, audit, outbox, consumer, monkeypatch
):
    monkeypatch.setitem(relay_module._COLLECT_SECONDS, "audit", 3600.0)
    task = RelayTask(outbox, relay_of(outbox, consumer), ())
    task.start()
    try:
        wait_until(lambda: not outbox.has_pending_events())
        with database.write("tenant-a") as session:
            audit.add_event(session, deletion("first"))
        wait_until(lambda: consumer.delivered == ["first"])
    finally:
        task.stop()
