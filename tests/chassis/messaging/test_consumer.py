"""Consumers apply each event once; events that cannot be applied become dead letters."""

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from backend.chassis.database.sessions import open_database
from backend.chassis.messaging import received_events
from backend.chassis.messaging.consumer import EventConsumer
from backend.chassis.messaging.received_events import ReceivedEvents
from backend.chassis.observability.metrics import Metrics
from tests.chassis.messaging.test_brokers import event
from tests.servers import wait_until

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_APPLIED = sa.Table("applied", sa.MetaData(), sa.Column("number", sa.Integer))


class Messages:
    """A broker with one subscription, whose messages a test adds."""

    def __init__(self):
        self.waiting: list[bytes] = []
        self.acknowledged = 0

    def subscribe(self, consumer, services):
        assert services == ["orders"]
        return self

    def receive_events(self, timeout_seconds):
        return list(self.waiting)

    def acknowledge_events(self):
        self.acknowledged += len(self.waiting)
        self.waiting.clear()

    def count_waiting_events(self):
        return len(self.waiting)

    def close(self):
        pass


@pytest.fixture
def database(each_database_url):
    database = open_database(each_database_url, "billing")
    with database.as_owner() as connection:
        received_events.create_tables(connection, "billing")
        _APPLIED.create(connection)
    yield database
    database.engine.dispose()


@pytest.fixture
def messages():
    return Messages()


class Handler:
    """Stores the numbers of events, after a number of failures."""

    def __init__(self):
        self.errors: list[Exception] = []

    def __call__(self, session, event):
        session.info["handled"] = session.info.get("handled", 0) + 1
        session.execute(sa.insert(_APPLIED).values(number=event.data["number"]))
        if self.errors:
            raise self.errors.pop()


@pytest.fixture
def handler():
    return Handler()


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def consumer(database, messages, handler, pauses):
    """Return a consumer with `commits`, the numbers of events that it has committed together."""
    commits, errors = [], []

    def before_commit(session):
        if errors:
            raise errors.pop()
        commits.append(session.info.get("handled", 0))

    consumer = EventConsumer(
        "billing",
        database,
        messages,
        "billing",
        {"orders.placed": handler},
        before_commit,
        outage_errors=(ConnectionError,),
        now=lambda: NOON,
        wait=lambda _, seconds: pauses.append(seconds),
    )
    consumer.commits, consumer.commit_errors = commits, errors
    return consumer


def applied(database):
    with database.read() as session:
        return list(session.scalars(sa.select(_APPLIED.c.number)))


def test_repeated_event_is_applied_once(database, messages, consumer):
    placed = event(1).encode()
    messages.waiting = [placed, placed]
    consumer.receive_once(0)
    messages.waiting = [placed]
    consumer.receive_once(0)

    assert applied(database) == [1]
    assert messages.acknowledged == 3


def test_event_of_an_unknown_type_is_ignored(database, messages, consumer):
    other = event(1).model_copy(update={"type": "orders.archived"})
    messages.waiting = [other.encode(), event(2).encode()]

    consumer.receive_once(0)

    assert applied(database) == [2]


def test_failing_event_is_tried_again_without_its_effects(
    database, messages, handler, consumer, pauses
):
    handler.errors = [ValueError("no stock")] * 4
    messages.waiting = [event(1).encode()]

    consumer.receive_once(0)

    assert applied(database) == [1]
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_events_of_one_tenant_share_a_transaction(database, messages, consumer):
    messages.waiting = [event(number).encode() for number in (1, 2, 3)]

    consumer.receive_once(0)

    assert applied(database) == [1, 2, 3]
    assert consumer.commits == [3]


def test_events_of_different_tenants_have_transactions_of_their_own(database, messages, consumer):
    tenants = ("ten_1", "ten_1", "ten_2")
    messages.waiting = [
        event(number).model_copy(update={"tenant": tenant}).encode()
        for number, tenant in enumerate(tenants)
    ]

    consumer.receive_once(0)

    assert consumer.commits == [2, 1]


def test_event_that_fails_among_others_is_applied_alone_and_the_others_once(
    database, messages, handler, consumer, pauses
):
    handler.errors = [ValueError("no stock")] * 2
    messages.waiting = [event(1).encode(), event(2).encode()]

    consumer.receive_once(0)

    assert applied(database) == [1, 2]
    assert pauses == [1.0]
    assert messages.acknowledged == 2


def test_failure_before_the_commit_leaves_no_event_applied(database, messages, consumer):
    consumer.commit_errors.append(ValueError("the broker does not respond"))
    messages.waiting = [event(1).encode(), event(2).encode()]

    consumer.receive_once(0)

    assert applied(database) == [1, 2]
    assert consumer.commits == [1, 1]


def test_events_wait_while_a_server_that_their_handlers_need_is_unavailable(
    database, messages, consumer
):
    consumer.commit_errors[:] = [ConnectionError()] * 6
    waiting = [event(1).encode(), event(2).encode()]
    for _ in range(6):
        messages.waiting = list(waiting)
        with pytest.raises(ConnectionError):
            consumer.receive_once(0)
    messages.waiting = waiting
    consumer.receive_once(0)

    assert applied(database) == [1, 2]
    assert ReceivedEvents("billing", database).list_dead_letters(10) == []


def test_event_becomes_a_dead_letter_after_five_failures_and_later_ones_are_applied(
    database, messages, handler, consumer
):
    # The first time with the other one, and then five times alone.
    handler.errors = [ValueError("no stock")] * 6
    failing = event(1)
    messages.waiting = [failing.encode(), event(2).encode()]

    consumer.receive_once(0)

    assert applied(database) == [2]
    (letter,) = ReceivedEvents("billing", database).list_dead_letters(10)
    assert (letter.consumer, letter.id, letter.type) == ("billing", failing.id, "orders.placed")
    assert letter.error == "ValueError: no stock"
    messages.waiting = [failing.encode()]
    consumer.receive_once(0)
    assert applied(database) == [2]


def test_replayed_dead_letter_is_applied_once(database, messages, handler, consumer):
    handler.errors = [ValueError("no stock")] * 5
    messages.waiting = [event(1).encode()]
    consumer.receive_once(0)
    received = ReceivedEvents("billing", database)

    assert received.request_replay("billing", None) == 1
    consumer.apply_replayed_letters()
    consumer.apply_replayed_letters()

    assert applied(database) == [1]
    assert received.list_dead_letters(10) == []


def test_dead_letter_that_fails_again_is_kept(database, messages, handler, consumer):
    handler.errors = [ValueError("no stock")] * 6
    messages.waiting = [event(1).encode()]
    consumer.receive_once(0)
    received = ReceivedEvents("billing", database)
    handler.errors = [ValueError("still none")]

    received.request_replay("billing", None)
    consumer.apply_replayed_letters()

    assert [letter.error for letter in received.list_dead_letters(10)] == ["ValueError: still none"]
    assert received.list_replayed_letters("billing", 10) == []
    assert applied(database) == []


def test_message_that_is_no_event_becomes_a_dead_letter(database, messages, consumer):
    messages.waiting = [b'{"specversion": "2.0"}', event(1).encode()]

    consumer.receive_once(0)

    assert applied(database) == [1]
    (letter,) = ReceivedEvents("billing", database).list_dead_letters(10)
    assert letter.content == '{"specversion": "2.0"}'
    assert letter.error.startswith("InvalidEvent: specversion")


def test_message_with_bytes_that_cannot_be_stored_becomes_a_dead_letter(
    database, messages, consumer
):
    messages.waiting = [b'{"\x00\xff"}', event(1).encode()]

    consumer.receive_once(0)

    assert applied(database) == [1]
    (letter,) = ReceivedEvents("billing", database).list_dead_letters(10)
    assert letter.content == '{"\ufffd\ufffd"}'


def test_event_waits_while_the_database_is_busy(database, messages, handler, consumer):
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    handler.errors = [OperationalError("", {}, busy)]
    messages.waiting = [event(1).encode()]
    with pytest.raises(OperationalError):
        consumer.receive_once(0)
    assert messages.acknowledged == 0

    consumer.receive_once(0)

    assert applied(database) == [1]
    assert ReceivedEvents("billing", database).list_dead_letters(10) == []


def test_ids_are_deleted_after_thirty_days(database, messages, consumer):
    messages.waiting = [event(1).encode()]
    consumer.receive_once(0)
    received = ReceivedEvents("billing", database)

    def count():
        with database.read() as session:
            query = "SELECT count(*) FROM billing_seen_events"
            return session.connection().exec_driver_sql(query).scalar()

    received.delete_old_ids(NOON + timedelta(days=29))
    assert count() == 1
    received.delete_old_ids(NOON + timedelta(days=31))
    assert count() == 0


def test_metrics_report_waiting_events_and_dead_letters(messages, handler, consumer):
    handler.errors = [ValueError("no stock")] * 5
    messages.waiting = [event(1).encode()]
    consumer.receive_once(0)
    metrics = Metrics()

    consumer.register_metrics(metrics)

    wait_until(lambda: 'events_dead_letters{consumer="billing"} 1.0' in read_text(metrics))
    assert 'events_consumer_lag{consumer="billing"} 0.0' in read_text(metrics)


def read_text(metrics):
    return metrics.render_text().decode()
