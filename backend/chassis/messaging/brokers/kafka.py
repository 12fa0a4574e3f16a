"""Events in Kafka: one topic for each service, partitioned by the key of the events.

Processes that subscribe as the same consumer share the partitions.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from backend.chassis.events_url import parse_kafka_servers
from backend.chassis.messaging.brokers import BrokerUnavailable, Subscription
from backend.chassis.messaging.cloud_events import CONTENT_TYPE, Event

_TIMEOUT_SECONDS = 10.0
_PARTITIONS = 6
_MAX_EVENTS = 100
# Errors of a topic that was created a moment ago, or has no events yet.
_TRANSIENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._PARTITION_EOF})


class KafkaBroker:
    """Publishes to and reads from a Kafka cluster."""

    def __init__(self, url: str) -> None:
        self._servers = ",".join(parse_kafka_servers(url))
        self._producer: Producer | None = None
        self._topics: set[str] = set()

    def publish_events(self, events: Sequence[Event]) -> None:
        try:
            producer = self._get_producer(get_topic(events[0].service))
            for batch in _split_by_key(events):
                _publish_batch(producer, batch)
        except KafkaException as error:
            self.close()
            raise BrokerUnavailable(f"Kafka did not store the events: {error}") from error
        except BrokerUnavailable:
            # A new producer starts without the requests of this one.
            self.close()
            raise

    def _get_producer(self, topic: str) -> Producer:
        if topic not in self._topics:
            _create_topics(self._servers, [topic])
            self._topics.add(topic)
        if self._producer is None:
            self._producer = Producer(
                _get_common_options(self._servers)
                | {
                    "acks": "all",
                    "enable.idempotence": True,
                    "linger.ms": 2,
                    "message.timeout.ms": int(_TIMEOUT_SECONDS * 1000),
                }
            )
        return self._producer

    def subscribe(self, consumer: str, services: Sequence[str]) -> Subscription:
        topics = [get_topic(service) for service in services]
        try:
            _create_topics(self._servers, topics)
            return _KafkaSubscription(self._servers, consumer, topics)
        except KafkaException as error:
            raise BrokerUnavailable(f"Kafka does not respond: {error}") from error

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(0)


class _KafkaSubscription:
    def __init__(self, servers: str, consumer: str, topics: list[str]) -> None:
        self._consumer = Consumer(
            _get_common_options(servers)
            | {
                "group.id": f"suite.{consumer}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 10_000,
            }
        )
        self._consumer.subscribe(topics)
        self._next_offsets: dict[tuple[str, int], int] = {}

    def receive_events(self, timeout_seconds: float) -> Sequence[bytes]:
        contents: list[bytes] = []
        try:
            messages = self._consumer.consume(_MAX_EVENTS, timeout_seconds)
        except KafkaException as error:
            raise BrokerUnavailable(f"Kafka does not respond: {error}") from error
        for message in messages:
            failure = message.error()
            if failure is None:
                self._next_offsets[_get_partition(message)] = (message.offset() or 0) + 1
                contents.append(message.value() or b"")
            elif failure.code() not in _TRANSIENT:
                raise BrokerUnavailable(f"Kafka does not respond: {failure}")
        return contents

    def acknowledge_events(self) -> None:
        if not self._next_offsets:
            return
        try:
            self._consumer.commit(
                offsets=[
                    TopicPartition(topic, partition, offset)
                    for (topic, partition), offset in self._next_offsets.items()
                ],
                asynchronous=False,
            )
        except KafkaException as error:
            raise BrokerUnavailable(f"Kafka does not respond: {error}") from error
        self._next_offsets.clear()

    def count_waiting_events(self) -> int:
        try:
            assigned = self._consumer.assignment()
            committed = self._consumer.committed(assigned, _TIMEOUT_SECONDS) if assigned else []
            return sum(self._count_waiting(partition) for partition in committed)
        except KafkaException as error:
            raise BrokerUnavailable(f"Kafka does not respond: {error}") from error

    def _count_waiting(self, partition: TopicPartition) -> int:
        low, high = self._consumer.get_watermark_offsets(partition, _TIMEOUT_SECONDS)
        return max(0, high - max(low, partition.offset))

    def close(self) -> None:
        with suppress(KafkaException, RuntimeError):
            self._consumer.close()


def get_topic(service: str) -> str:
    """Return the topic with the events of *service*."""
    return f"suite.{service}"


def _publish_batch(producer: Producer, events: Iterable[Event]) -> None:
    errors: list[object] = []

    def store_error(error: object, _message: Message) -> None:
        if error is not None:
            errors.append(error)

    for event in events:
        producer.produce(
            get_topic(event.service),
            value=event.encode(),
            key=event.partitionkey.encode(),
            headers=[("content-type", CONTENT_TYPE.encode())],
            on_delivery=store_error,
        )
    waiting = producer.flush(_TIMEOUT_SECONDS)
    if waiting or errors:
        reason = errors[0] if errors else "no response"
        raise BrokerUnavailable(f"Kafka did not store the events: {reason}")


def _split_by_key(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Split *events* into batches in which each key occurs once.

    If an event of a batch is not stored, no later event with its key has been sent.
    """
    batches: list[list[Event]] = []
    counts: dict[str, int] = {}
    for event in events:
        position = counts.get(event.partitionkey, 0)
        counts[event.partitionkey] = position + 1
        if position == len(batches):
            batches.append([])
        batches[position].append(event)
    yield from batches


def _create_topics(servers: str, topics: Sequence[str]) -> None:
    """Create the topics that do not exist.

    Raises:
        KafkaException: the cluster does not respond or forbids it.
    """
    client = AdminClient(_get_common_options(servers))
    existing = client.list_topics(timeout=_TIMEOUT_SECONDS).topics
    missing = [NewTopic(topic, _PARTITIONS) for topic in topics if topic not in existing]
    if not missing:
        return
    for future in client.create_topics(missing, operation_timeout=_TIMEOUT_SECONDS).values():
        try:
            future.result(_TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _get_common_options(servers: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": servers,
        "socket.timeout.ms": int(_TIMEOUT_SECONDS * 1000),
        # Errors are reported by the calls. The library would print them as plain text lines.
        "log_level": 0,
    }


def _get_partition(message: Message) -> tuple[str, int]:
    return message.topic() or "", message.partition() or 0
