"""Ephemeral events: published at once and not stored, such as tokens of an answer or typing.

They are lost if no process receives them at that moment, or if the server does not respond. Changes
are reported through the outbox instead.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from redis.client import PubSub
from redis.exceptions import RedisError

from backend.chassis.observability.tracing import attach_span_context
from backend.security.redis import connect, redis_key

_log = logging.getLogger(__name__)
MAX_EPHEMERAL_BYTES = 64 * 1024
# After a failure, so that a frozen server does not delay each token by its timeout.
_RETRY_SECONDS = 1.0
_POLL_SECONDS = 1.0
_PREFIX = redis_key("ephemeral", "")


@dataclass(frozen=True, slots=True)
class EphemeralEvent:
    """An event of a topic, such as `agents:run_1`, of one tenant."""

    tenant_id: str
    topic: str
    data: Mapping[str, Any]


Receiver = Callable[[EphemeralEvent], None]


class EphemeralEvents(Protocol):
    """Publishes and receives ephemeral events."""

    def publish_ephemeral(self, event: EphemeralEvent) -> None:
        """Publish *event*. Never raises for a server that does not respond.

        Raises:
            ValueError: the event is larger than 64 KB.
        """

    def receive_ephemeral(self, receiver: Receiver, stopping: threading.Event) -> None:
        """Call *receiver* with all events that are published until *stopping* is set."""


class LocalEphemeralEvents:
    """Passes ephemeral events to the receivers of this process, in the thread of the publisher."""

    def __init__(self) -> None:
        self._receivers: list[Receiver] = []

    def publish_ephemeral(self, event: EphemeralEvent) -> None:
        _encode(event)
        for receiver in tuple(self._receivers):
            receiver(event)

    def receive_ephemeral(self, receiver: Receiver, stopping: threading.Event) -> None:
        self._receivers.append(receiver)
        try:
            stopping.wait()
        finally:
            self._receivers.remove(receiver)


class RedisEphemeralEvents:
    """Publishes ephemeral events with the PUBLISH command of a Redis-compatible server."""

    def __init__(self, url: str) -> None:
        self._redis = connect(url, retries=0)
        self._url = url
        self._retry_at = 0.0

    def publish_ephemeral(self, event: EphemeralEvent) -> None:
        content = _encode(event)
        if monotonic() < self._retry_at:
            return
        try:
            # Outside of the trace: spans of these commands would hide its other spans.
            with attach_span_context(None):
                self._redis.publish(f"{_PREFIX}{event.tenant_id}:{event.topic}", content)
        except RedisError as error:
            self._retry_at = monotonic() + _RETRY_SECONDS
            _log.warning("ephemeral events are lost: %s", error)

    def receive_ephemeral(self, receiver: Receiver, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                with (
                    connect(self._url, timeout=2 * _POLL_SECONDS) as redis,
                    redis.pubsub() as pubsub,
                ):
                    pubsub.psubscribe(f"{_PREFIX}*")
                    _receive_messages(pubsub, receiver, stopping)
            except RedisError as error:
                _log.warning("ephemeral events cannot be received: %s", error)
                stopping.wait(_RETRY_SECONDS)


def open_ephemeral_events(redis_url: str | None) -> EphemeralEvents:
    """Return ephemeral events over Redis, or within this process if *redis_url* is None."""
    return LocalEphemeralEvents() if redis_url is None else RedisEphemeralEvents(redis_url)


def _receive_messages(pubsub: PubSub, receiver: Receiver, stopping: threading.Event) -> None:
    while not stopping.is_set():
        message = pubsub.get_message(ignore_subscribe_messages=True, timeout=_POLL_SECONDS)
        if message is None:
            continue
        tenant_id, _, topic = message["channel"].removeprefix(_PREFIX).partition(":")
        with suppress(ValueError):
            receiver(EphemeralEvent(tenant_id, topic, json.loads(message["data"])))


def _encode(event: EphemeralEvent) -> str:
    content = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    if (size := len(content.encode())) > MAX_EPHEMERAL_BYTES:
        raise ValueError(f"The event has {size} bytes; {MAX_EPHEMERAL_BYTES} are allowed.")
    return content
