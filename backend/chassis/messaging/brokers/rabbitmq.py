"""Events in RabbitMQ: one topic exchange, and one durable queue for each consumer.

A consumer receives the events from its first start on, when its queue is created. The queue has a
single active consumer, so that events are received in order by one process at a time.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from amqp.exceptions import AMQPError
from kombu import Connection, Consumer, Exchange, Producer, Queue, binding
from kombu.exceptions import KombuError
from kombu.message import Message

from backend.chassis.messaging.brokers import BrokerUnavailable, Subscription
from backend.chassis.messaging.cloud_events import CONTENT_TYPE, Event

_TIMEOUT_SECONDS = 5.0
_HEARTBEAT_SECONDS = 60
_MAX_UNACKNOWLEDGED = 100
_EXCHANGE = Exchange("suite.events", "topic", durable=True)


class RabbitMqBroker:
    """Publishes to and reads from a RabbitMQ server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._producer: Producer | None = None

    def publish_events(self, events: Sequence[Event]) -> None:
        try:
            with _convert_errors():
                producer = self._get_producer()
                for event in events:
                    producer.publish(
                        event.encode(),
                        routing_key=event.type,
                        content_type=CONTENT_TYPE,
                        content_encoding="utf-8",
                        delivery_mode="persistent",
                        message_id=event.id,
                        timeout=_TIMEOUT_SECONDS,
                    )
        except BrokerUnavailable:
            self.close()
            raise

    def _get_producer(self) -> Producer:
        if self._producer is None:
            # The relay publishes rarely, so the connection has no heartbeat. A broken one fails at
            # the next event, which is published again.
            self._connection = _connect(self._url, heartbeat=0, confirm_publish=True)
            self._producer = Producer(self._connection.default_channel, _EXCHANGE)
            self._producer.declare()
        return self._producer

    def subscribe(self, consumer: str, services: Sequence[str]) -> Subscription:
        with _convert_errors():
            return _RabbitMqSubscription(self._url, consumer, services)

    def close(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            _close(connection)


class _RabbitMqSubscription:
    def __init__(self, url: str, consumer: str, services: Sequence[str]) -> None:
        self._connection = _connect(url, heartbeat=_HEARTBEAT_SECONDS)
        self._received: list[Message] = []
        try:
            channel = self._connection.default_channel
            self._queue = _create_queue(consumer, services)(channel)
            self._queue.declare()
            self._consumer = Consumer(
                channel,
                [self._queue],
                on_message=self._received.append,
                auto_declare=False,
                prefetch_count=_MAX_UNACKNOWLEDGED,
            )
            self._consumer.consume()
        except BaseException:
            _close(self._connection)
            raise

    def receive_events(self, timeout_seconds: float) -> Sequence[bytes]:
        with _convert_errors():
            self._connection.heartbeat_check()
            with suppress(socket.timeout):
                self._connection.drain_events(timeout=timeout_seconds)
                # Those that have arrived with it.
                while len(self._received) < _MAX_UNACKNOWLEDGED:
                    self._connection.drain_events(timeout=0.001)
        return [_get_body(message) for message in self._received]

    def acknowledge_events(self) -> None:
        if not self._received:
            return
        with _convert_errors():
            self._received[-1].ack(multiple=True)
        self._received.clear()

    def count_waiting_events(self) -> int:
        with _convert_errors():
            # Unacknowledged messages are not counted by the server.
            state = self._queue.queue_declare(passive=True)
            return int(state.message_count) + len(self._received)

    def close(self) -> None:
        _close(self._connection)


def _create_queue(consumer: str, services: Sequence[str]) -> Queue:
    name = f"suite.{consumer}"
    bindings = [binding(_EXCHANGE, routing_key=f"{service}.#") for service in services]
    return Queue(
        name,
        bindings=bindings,
        durable=True,
        queue_arguments={"x-single-active-consumer": True},
    )


def _connect(url: str, *, heartbeat: int, confirm_publish: bool = False) -> Connection:
    connection = Connection(
        url,
        heartbeat=heartbeat,
        connect_timeout=_TIMEOUT_SECONDS,
        transport_options={
            "confirm_publish": confirm_publish,
            "confirm_timeout": _TIMEOUT_SECONDS,
            "read_timeout": 2 * _TIMEOUT_SECONDS,
            "write_timeout": _TIMEOUT_SECONDS,
            "max_retries": 1,
        },
    )
    try:
        connection.connect()
    except BaseException:
        _close(connection)
        raise
    return connection


def _close(connection: Connection) -> None:
    # `collect` closes the socket without waiting for the server.
    with suppress(Exception):
        connection.collect(socket_timeout=0.5)


def _get_body(message: Message) -> bytes:
    body = message.body
    return body if isinstance(body, bytes) else str(body).encode()


@contextmanager
def _convert_errors() -> Iterator[None]:
    """Convert the errors of the connection to BrokerUnavailable."""
    try:
        yield
    except (AMQPError, KombuError, OSError) as error:
        raise BrokerUnavailable(f"RabbitMQ does not respond: {error}") from error
