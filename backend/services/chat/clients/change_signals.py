"""Signals of changed conversations between processes, over the Redis-compatible server.

Ephemeral events are also sent to the topics of the realtime service.
"""

import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from backend.chassis.background import PeriodicTask
from backend.chassis.messaging.topics import stream_channel, tenant_stream
from backend.chassis.observability.tracing import attach_span_context
from backend.security.redis import connect, redis_key

_log = logging.getLogger(__name__)
_CHANNEL = redis_key("chat", "changes")
_POLL_SECONDS = 1.0
_RETRY_SECONDS = 1.0
# Between the ids of a message that signals several changes.
_SEPARATOR = "\n"
_MAX_EVENT_BYTES = 64 * 1024

# Wakes the readers of a conversation in this process, with the name and data of an event or None.
Notify = Callable[[str, str | None, Mapping[str, Any]], None]


class LocalSignals:
    """Wakes the readers of this process only."""

    def __init__(self, notify: Notify) -> None:
        self._notify = notify

    def start(self) -> None:
        """Do nothing: there is no other process to listen to."""

    def publish_change(self, conversation_id: str) -> None:
        self.publish_changes([conversation_id])

    def publish_changes(self, conversation_ids: Sequence[str]) -> None:
        for conversation_id in conversation_ids:
            self._notify(conversation_id, None, {})

    def publish_event(
        self, tenant_id: str, conversation_id: str, name: str, data: Mapping[str, Any]
    ) -> None:
        del tenant_id
        self._notify(conversation_id, name, data)


class RedisSignals:
    """Publishes signals to all processes, and wakes the readers of this one.

    A process ignores its own signals when they return, because it has woken its readers before.
    """

    def __init__(self, url: str, notify: Notify, clock: Callable[[], float] = monotonic) -> None:
        self._url = url
        self._notify = notify
        self._clock = clock
        self._redis = connect(url, retries=0)
        self._process_id = uuid.uuid4().hex[:12]
        self._retry_at = 0.0
        self._task = PeriodicTask(
            "change-signals", _RETRY_SECONDS, self._receive, expected_errors=(RedisError,)
        )

    def start(self) -> None:
        """Start to receive the signals of other processes. Threads do not survive a fork."""
        self._task.start()

    def stop(self) -> None:
        """Stop to receive signals."""
        self._task.stop()

    def publish_change(self, conversation_id: str) -> None:
        self.publish_changes([conversation_id])

    def publish_changes(self, conversation_ids: Sequence[str]) -> None:
        for conversation_id in conversation_ids:
            self._notify(conversation_id, None, {})
        self._publish(_CHANNEL, f"{self._process_id} {_SEPARATOR.join(conversation_ids)}")

    def publish_event(
        self, tenant_id: str, conversation_id: str, name: str, data: Mapping[str, Any]
    ) -> None:
        self._notify(conversation_id, name, data)
        content = json.dumps([name, data], ensure_ascii=False, separators=(",", ":"))
        if len(content.encode()) > _MAX_EVENT_BYTES:
            return
        self._publish(_CHANNEL, f"{self._process_id} {conversation_id} {content}")
        stream = tenant_stream(tenant_id, f"chat:conversation:{conversation_id}")
        publication = _format_publication(f"chat.{name}", conversation_id, data)
        # As the realtime service distributes a publication that is not stored.
        self._publish(stream_channel(stream), f"- 0 {publication}")

    def _publish(self, channel: str, content: str) -> None:
        if self._clock() < self._retry_at:
            return
        try:
            with attach_span_context(None):  # these commands must not fill the trace
                self._redis.publish(channel, content)
        except RedisError as error:
            # Readers poll, so a lost signal only delays them.
            self._retry_at = self._clock() + _RETRY_SECONDS
            _log.warning("signals of changed conversations are lost: %s", error)

    def _receive(self) -> None:
        # Processes that were forked from one have had the same id.
        self._process_id = uuid.uuid4().hex[:12]
        with connect(self._url, timeout=2 * _POLL_SECONDS) as redis, redis.pubsub() as pubsub:
            pubsub.subscribe(_CHANNEL)
            while not self._task.is_stopping:
                message = pubsub.get_message(ignore_subscribe_messages=True, timeout=_POLL_SECONDS)
                if message is not None:
                    self.receive_message(str(message["data"]))

    def receive_message(self, message: str) -> None:
        """Wake the readers for a message of the channel, unless this process has sent it."""
        sender, _, rest = message.partition(" ")
        conversation_id, _, content = rest.partition(" ")
        if sender == self._process_id:
            return
        if content:
            self._notify(conversation_id, *json.loads(content))
            return
        for changed in conversation_id.split(_SEPARATOR):
            self._notify(changed, None, {})


def open_change_signals(redis_url: str | None, notify: Notify) -> LocalSignals | RedisSignals:
    """Return signals over Redis, or within this process if *redis_url* is None."""
    return LocalSignals(notify) if redis_url is None else RedisSignals(redis_url, notify)


def _format_publication(event_type: str, conversation_id: str, data: Mapping[str, Any]) -> str:
    """Return a reduced CloudEvent as JSON in one line, as the realtime service sends it."""
    event = {
        "id": uuid.uuid4().hex,
        "type": event_type,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {"conversation_id": conversation_id, **data},
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
