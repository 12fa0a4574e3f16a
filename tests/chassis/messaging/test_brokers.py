"""Brokers: real servers, except Kafka's and RabbitMQ's, which slow tests start."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from backend.chassis.events_url import find_missing_extra, read_events_url
from backend.chassis.messaging.brokers import BrokerUnavailable, open_broker
from backend.chassis.messaging.brokers.local import LocalBroker
from backend.chassis.messaging.cloud_events import Event, InvalidEvent, parse_event
from tests import servers

RECEIVE_SECONDS = 0.2


def event(number, key="key", service="orders"):
    return Event(
        specversion="1.0",
        id=str(uuid4()),
        source=f"/{service}",
        type=f"{service}.placed",
        subject=str(number),
        time=datetime(2026, 1, 1, 12, tzinfo=UTC),
        partitionkey=key,
        data={"number": number},
    )


def receive(subscription, count, seconds=30.0):
    """Receive and acknowledge events until there are *count*."""
    numbers = []

    def has_all():
        contents = subscription.receive_events(RECEIVE_SECONDS)
        numbers.extend(parse_event(content).data["number"] for content in contents)
        subscription.acknowledge_events()
        return len(numbers) >= count

    servers.wait_until(has_all, seconds)
    return numbers


@contextmanager
def opened(url):
    broker = open_broker(url)
    yield broker
    broker.close()


@pytest.fixture(
    params=[
        "valkey",
        pytest.param("rabbitmq", marks=pytest.mark.slow),
        pytest.param("kafka", marks=pytest.mark.slow),
    ]
)
def broker_url(request, tmp_path):
    if request.param == "valkey":
        yield request.getfixturevalue("valkey").url
    elif request.param == "rabbitmq":
        if not servers.RABBITMQ.exists():
            pytest.skip("RabbitMQ is not installed: apt-get install rabbitmq-server")
        with servers.rabbitmq(tmp_path) as server:
            yield server.url
    else:
        binary = request.getfixturevalue("tansu_binary")
        with servers.tansu(tmp_path, binary) as server:
            yield server.url


def test_events_of_a_key_are_received_in_order_and_only_by_their_consumers(broker_url):
    with opened(broker_url) as broker:
        first = broker.subscribe("first", ["orders"])
        second = broker.subscribe("second", ["orders", "stock"])
        broker.publish_events([event(number) for number in range(20)])
        broker.publish_events([event(number, service="stock") for number in range(20, 25)])

        assert receive(first, 20) == list(range(20))
        assert sorted(receive(second, 25)) == list(range(25))
        first.close()
        second.close()


def test_unacknowledged_events_are_received_again_first(broker_url):
    with opened(broker_url) as broker:
        subscription = broker.subscribe("first", ["orders"])
        broker.publish_events([event(number) for number in range(10)])
        servers.wait_until(lambda: subscription.receive_events(RECEIVE_SECONDS))
        subscription.close()
        broker.publish_events([event(number) for number in range(10, 20)])
        again = broker.subscribe("first", ["orders"])

        assert receive(again, 20) == list(range(20))
        again.close()


def test_waiting_events_are_counted(broker_url):
    with opened(broker_url) as broker:
        subscription = broker.subscribe("first", ["orders"])
        # Kafka assigns the partitions while events are received.
        broker.publish_events([event(0)])
        receive(subscription, 1)
        broker.publish_events([event(number) for number in range(5)])

        servers.wait_until(lambda: subscription.count_waiting_events() == 5)
        receive(subscription, 5)
        servers.wait_until(lambda: subscription.count_waiting_events() == 0)
        subscription.close()


def test_one_process_at_a_time_receives_the_events_of_a_consumer(valkey):
    with opened(valkey.url) as active, opened(valkey.url) as waiting:
        first = active.subscribe("same", ["orders"])
        second = waiting.subscribe("same", ["orders"])
        active.publish_events([event(1)])
        assert receive(first, 1) == [1]
        active.publish_events([event(2)])
        assert second.receive_events(0) == []

        first.close()

        assert receive(second, 1) == [2]
        second.close()


def test_large_events_are_published_in_several_commands(valkey):
    large = [
        event(number).model_copy(update={"data": {"number": number, "text": "x" * 200_000}})
        for number in range(12)
    ]
    with opened(valkey.url) as broker:
        broker.publish_events(large)
        subscription = broker.subscribe("first", ["orders"])

        assert receive(subscription, 12) == list(range(12))
        subscription.close()


def test_old_events_are_deleted(valkey):
    key = "{suite}:events:orders"
    # Streams are trimmed in nodes of a hundred entries.
    for number in range(1, 301):
        valkey.client.xadd(key, {"event": "x"}, id=f"{number}-0")
    with opened(valkey.url) as broker:
        broker.publish_events([event(1)])

    assert valkey.client.xlen(key) < 200


def test_stopped_server_is_reported(valkey):
    with opened(valkey.url) as broker:
        valkey.end()

        with pytest.raises(BrokerUnavailable):
            broker.publish_events([event(1)])
        with pytest.raises(BrokerUnavailable):
            broker.subscribe("first", ["orders"]).receive_events(RECEIVE_SECONDS)


def test_local_publisher_waits_until_all_consumers_have_acknowledged():
    broker = LocalBroker(timeout_seconds=10)
    subscription = broker.subscribe("first", ["orders"])
    publisher = threading.Thread(target=broker.publish_events, args=([event(1), event(2)],))
    publisher.start()
    assert len(subscription.receive_events(10)) == 2
    assert publisher.is_alive()

    subscription.acknowledge_events()

    publisher.join(60)
    assert not publisher.is_alive()


def test_local_publisher_fails_without_acknowledgement_and_repeats_the_events():
    broker = LocalBroker(timeout_seconds=0.01)
    subscription = broker.subscribe("first", ["orders"])
    with pytest.raises(BrokerUnavailable):
        broker.publish_events([event(1)])
    assert subscription.receive_events(0) == []


@pytest.mark.parametrize(
    ("url", "brokers", "expected"),
    [
        ("", "", "redis://shared:6379"),
        ("amqp://user:word@host/vhost", "", "amqp://user:word@host/vhost"),
        ("kafka://one,two:9093", "", "kafka://one,two:9093"),
        ("kafka://one,two:9093", "one:9092,two:9093", "kafka://one,two:9093"),
        ("", '["one:9092", "two:9092"]', "kafka://one:9092,two:9092"),
        ("", "one:9092, two:9092", "kafka://one:9092,two:9092"),
        ("memory://", "", "memory://"),
    ],
)
def test_broker_is_selected_by_the_variables(url, brokers, expected):
    assert read_events_url(url, brokers, "redis://shared:6379") == expected


def test_events_stay_in_the_process_without_a_server():
    assert read_events_url("", "", None) == "memory://"


@pytest.mark.parametrize(
    ("url", "brokers", "message"),
    [
        ("nats://secret@host", "", "EVENTS_URL must begin with"),
        ("redis://:secret@host/x", "", "EVENTS_URL must end with a database number"),
        ("amqp://user:secret@host:port", "", "port in EVENTS_URL"),
        ("kafka://", "", "names no server"),
        ("kafka://user:secret@host", "", "addresses only"),
        ("", "[1]", "KAFKA_BROKERS is no list"),
        ("amqp://user:secret@host", "one:9092", "EVENTS_URL and KAFKA_BROKERS set the same"),
        ("kafka://one:9092", "two:9092", "EVENTS_URL and KAFKA_BROKERS set the same"),
    ],
)
def test_invalid_address_is_explained_without_its_password(url, brokers, message):
    with pytest.raises(ValueError, match=message) as info:
        read_events_url(url, brokers, None)
    assert "secret" not in str(info.value)


def test_kafka_needs_its_extra(monkeypatch):
    monkeypatch.setattr("backend.chassis.events_url.find_spec", lambda _: None)

    assert find_missing_extra("kafka://one:9092") == "kafka"
    assert find_missing_extra("amqp://host") is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b'{"specversion": "1.0"}', b"x" * 300_000]
)
def test_message_that_is_no_event_is_rejected(content):
    with pytest.raises(InvalidEvent):
        parse_event(content)


def test_event_has_the_attributes_of_cloudevents_and_unknown_ones_are_ignored():
    encoded = event(1).encode()
    assert b'"specversion":"1.0"' in encoded
    assert b'"time":"2026-01-01T12:00:00Z"' in encoded
    assert b"tenant" not in encoded

    assert parse_event(encoded[:-1] + b',"new":1}') == event(1).model_copy(
        update={"id": parse_event(encoded).id}
    )
