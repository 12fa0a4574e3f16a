"""Stored events of the last run of each conversation, for clients that reconnect.

Events are stored in Redis, which all workers share, or else in this process. Both drop old events.
Clients that reconnect later receive the answer from the conversation.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final, Protocol

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError

from backend.chassis.messaging.topics import (
    PUBLISH_KEYS,
    PUBLISH_SCRIPT,
    PUBLISH_SHA,
    RUN_RETENTION,
    publish_arguments,
    user_stream,
)
from backend.chassis.observability.tracing import attach_span_context
from backend.security.redis import connect, redis_key
from backend.services.agent.model import Caller

_log = logging.getLogger(__name__)

_TTL_SECONDS: Final = 3600
_MAX_STREAM_LENGTH: Final = 40_000
_MAX_EVENTS_IN_MEMORY: Final = 100_000
_READ_BATCH_SIZE: Final = 500


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event; `data` is JSON. The events of a run are numbered from 1."""

    number: int
    name: str
    data: str


class Recording(Protocol):
    """Stores the events of one run. Never raises; events may be lost instead."""

    def add_records(self, records: Sequence[EventRecord]) -> None:
        """Store *records*, which follow those of the previous call."""


class EventStore(Protocol):
    """Stores the events of one run per conversation."""

    def start_recording(self, conversation_id: str, run_id: str, owner: Caller) -> Recording:
        """Start to store the events of this run of *owner*, and drop those of the previous run."""

    def read_events(self, conversation_id: str, run_id: str, number: int) -> Sequence[EventRecord]:
        """Return the stored events of this run after *number*, in order and without gaps."""

    def delete_events(self, conversation_id: str) -> None:
        """Delete the events of the conversation."""


class RedisEventStore:
    """Stores events in one Redis stream per conversation.

    If Redis does not respond, clients that reconnect receive the answer from the conversation.
    """

    def __init__(self, url: str) -> None:
        self._redis = connect(url)

    def start_recording(self, conversation_id: str, run_id: str, owner: Caller) -> Recording:
        return _RedisRecording(self._redis, conversation_id, run_id, owner)

    def read_events(self, conversation_id: str, run_id: str, number: int) -> Sequence[EventRecord]:
        try:
            entries: Any = self._redis.xrange(
                _get_key(conversation_id), f"({number}-0", count=_READ_BATCH_SIZE
            )
        except RedisError as error:
            _log.warning("stored events cannot be read: %s", error)
            return []
        records = [
            EventRecord(int(entry.partition("-")[0]), fields["name"], fields["data"])
            for entry, fields in entries
            if fields["run"] == run_id
        ]
        return _take_consecutive(records, number)

    def delete_events(self, conversation_id: str) -> None:
        try:
            self._redis.delete(_get_key(conversation_id))
        except RedisError as error:
            _log.warning(
                "events of a conversation cannot be deleted and remain until they expire: %s", error
            )


class _RedisRecording:
    """Stores the events of a run, and publishes them to the owner's topic of the run."""

    def __init__(self, redis: Redis, conversation_id: str, run_id: str, owner: Caller) -> None:
        self._redis = redis
        self._key = _get_key(conversation_id)
        self._run_id = run_id
        self._run_stream = user_stream(owner.tenant_id, owner.user_id, f"agents:{run_id}")
        self._failed = False

    def add_records(self, records: Sequence[EventRecord]) -> None:
        # Stop after the first failure: each further attempt would delay the answer by its timeout.
        if self._failed or not records:
            return
        try:
            # Outside of the trace: spans of Redis commands would hide all its other spans.
            with attach_span_context(None):
                self._add_records(records)
        except RedisError as error:
            self._failed = True
            _log.warning("events of a run cannot be stored: %s", error)

    def _add_records(self, records: Sequence[EventRecord]) -> None:
        is_start = records[0].number == 1
        pipeline = self._redis.pipeline()
        if is_start:
            pipeline.delete(self._key)
        for record in records:
            fields: dict[Any, Any] = {"run": self._run_id, "name": record.name, "data": record.data}
            is_last = record is records[-1]
            pipeline.xadd(
                self._key,
                fields,
                f"{record.number}-0",
                maxlen=_MAX_STREAM_LENGTH if is_last else None,
                approximate=True,
                # Do not recreate a stream that was deleted with its conversation.
                nomkstream=record.number > 1,
            )
        if is_start:
            pipeline.expire(self._key, _TTL_SECONDS)
        self._publish_records(pipeline, records)
        pipeline.execute()

    def _publish_records(self, pipeline: Pipeline, records: Sequence[EventRecord]) -> None:
        time = _format_now()
        for record in records:
            data = (
                f'{{"id":"{self._run_id}-{record.number}","type":"{record.name}",'
                f'"time":"{time}","data":{record.data}}}'
            )
            arguments = publish_arguments(self._run_stream, data, RUN_RETENTION)
            if record is records[0]:
                # The server caches the script for the following records.
                pipeline.eval(PUBLISH_SCRIPT, PUBLISH_KEYS, *arguments)
            else:
                pipeline.evalsha(PUBLISH_SHA, PUBLISH_KEYS, *arguments)


class LocalEventStore:
    """Stores events in this process. Drops the oldest runs if there are too many events."""

    def __init__(self, max_events: int = _MAX_EVENTS_IN_MEMORY) -> None:
        self._max_events = max_events
        self._count = 0
        self._recordings: OrderedDict[str, _LocalRecording] = OrderedDict()
        self._lock = Lock()

    def start_recording(
        self,
        conversation_id: str,
        run_id: str,
        owner: Caller,  # noqa: ARG002 - only Redis is shared with the realtime service
    ) -> Recording:
        self.delete_events(conversation_id)
        recording = _LocalRecording(self, conversation_id, run_id)
        with self._lock:
            self._recordings[conversation_id] = recording
        return recording

    def read_events(self, conversation_id: str, run_id: str, number: int) -> Sequence[EventRecord]:
        with self._lock:
            recording = self._recordings.get(conversation_id)
            if recording is None or recording.run_id != run_id:
                return []
            return recording.records[number:]

    def delete_events(self, conversation_id: str) -> None:
        with self._lock:
            if (recording := self._recordings.pop(conversation_id, None)) is not None:
                self._count -= len(recording.records)

    def append_records(self, recording: "_LocalRecording", records: Sequence[EventRecord]) -> None:
        """Store *records*, unless their recording was deleted."""
        with self._lock:
            if self._recordings.get(recording.conversation_id) is not recording:
                return
            recording.records += records
            self._count += len(records)
            while self._count > self._max_events:
                _, oldest = self._recordings.popitem(last=False)
                self._count -= len(oldest.records)


class _LocalRecording:
    def __init__(self, store: LocalEventStore, conversation_id: str, run_id: str) -> None:
        self._store = store
        self.conversation_id = conversation_id
        self.run_id = run_id
        self.records: list[EventRecord] = []

    def add_records(self, records: Sequence[EventRecord]) -> None:
        self._store.append_records(self, records)


def open_event_store(redis_url: str | None) -> EventStore:
    """Return the event store in Redis, or in this process if *redis_url* is None."""
    return LocalEventStore() if redis_url is None else RedisEventStore(redis_url)


def _take_consecutive(records: Sequence[EventRecord], number: int) -> Sequence[EventRecord]:
    """Return the leading *records* whose numbers follow *number* without a gap."""
    count = 0
    for record in records:
        if record.number != number + count + 1:
            break
        count += 1
    return records[:count]


def _format_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _get_key(conversation_id: str) -> str:
    return redis_key("agent", "events", conversation_id)
