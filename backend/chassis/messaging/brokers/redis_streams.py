"""Events in the streams of a Redis-compatible server, one for each service.

A stream has no partitions, so one process at a time receives the events of a consumer. It holds a
lease in the server, which a script checks with each read. All its reads use one name within the
consumer group, so that a process that takes over first receives what was not acknowledged.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError, ResponseError

from backend.chassis.messaging.brokers import BrokerUnavailable, Subscription, split_batches
from backend.chassis.messaging.cloud_events import Event
from backend.security.redis import connect, redis_key

# Longer than the server needs to write its append-only file, which it does each second.
_TIMEOUT_SECONDS = 5.0
_MAX_STREAM_LENGTH = 1_000_000
_MAX_AGE_SECONDS = 7 * 24 * 3600
_MAX_BATCH_BYTES = 1024 * 1024
_MAX_EVENTS = 100
_LEASE_MS = 15_000

# A script stops at the first failed command, so no event is stored without those before it.
_PUBLISH = """
for index = 3, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'event', ARGV[index])
end
local oldest = (redis.call('TIME')[1] - ARGV[2]) * 1000
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', oldest))
"""
# Returns false while another process has the lease.
_READ = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return false end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local command = {'XREADGROUP', 'GROUP', ARGV[3], ARGV[3], 'COUNT', ARGV[4], 'STREAMS'}
for index = 2, #KEYS do table.insert(command, KEYS[index]) end
for index = 2, #KEYS do table.insert(command, ARGV[5]) end
return redis.call(unpack(command)) or {}
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisStreamBroker:
    """Publishes to and reads from the streams of a Redis-compatible server or cluster."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._redis = connect(url, timeout=_TIMEOUT_SECONDS)
        # Of the process, so that it keeps its leases if a connection is lost.
        self._holder = secrets.token_hex(16)

    def publish_events(self, events: Sequence[Event]) -> None:
        stream = get_stream_key(events[0].service)
        contents = [event.encode() for event in events]
        try:
            for batch in split_batches(contents, _MAX_BATCH_BYTES):
                self._publish_batch(stream, batch)
        except RedisError as error:
            raise BrokerUnavailable(f"Redis did not store the events: {error}") from error

    def _publish_batch(self, stream: str, contents: Sequence[bytes]) -> None:
        # On one connection: WAITAOF waits for the writes of its connection.
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.eval(_PUBLISH, 1, stream, _MAX_STREAM_LENGTH, _MAX_AGE_SECONDS, *contents)
        pipeline.waitaof(1, 0, int(_TIMEOUT_SECONDS * 500))
        published, written = pipeline.execute(raise_on_error=False)
        if isinstance(published, RedisError):
            raise published
        # A server that is older than 7.2 or writes no append-only file rejects the command. Such
        # a server can lose events when it is killed; `doctor` reports it.
        if isinstance(written, ResponseError):
            return
        if isinstance(written, RedisError):
            raise written
        if written[0] < 1:
            raise BrokerUnavailable("Redis did not write the events to its append-only file.")

    def subscribe(self, consumer: str, services: Sequence[str]) -> Subscription:
        return _RedisSubscription(self._url, self._holder, consumer, services)

    def close(self) -> None:
        self._redis.close()


class _RedisSubscription:
    def __init__(self, url: str, holder: str, consumer: str, services: Sequence[str]) -> None:
        self._redis = connect(url, timeout=_TIMEOUT_SECONDS)
        self._group = consumer
        self._streams = [get_stream_key(service) for service in services]
        self._lease = redis_key("events", "lease", consumer)
        self._holder = holder
        self._has_groups = False
        # Not acknowledged events of an earlier process or connection are received first.
        self._reads_pending = True
        # The last event of each stream at the last wait; empty before the first one.
        self._positions: dict[str, str] = {}
        self._received: list[tuple[str, list[str]]] = []

    def receive_events(self, timeout_seconds: float) -> Sequence[bytes]:
        try:
            contents = self._read_events()
            if not contents and timeout_seconds:
                self._wait_for_events(timeout_seconds)
                contents = self._read_events()
        except RedisError as error:
            raise BrokerUnavailable(f"Redis does not respond: {error}") from error
        return contents

    def _read_events(self) -> Sequence[bytes]:
        self._create_groups()
        start = "0" if self._reads_pending else ">"
        keys = [self._lease, *self._streams]
        arguments = [self._holder, str(_LEASE_MS), self._group, str(_MAX_EVENTS), start]
        try:
            reply: Any = self._redis.eval(_READ, len(keys), *keys, *arguments)
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            # The server has lost its data. The groups are created again with the next read.
            self._has_groups = False
            return []
        if reply is None:
            # Another process has the lease. It may have received and not acknowledged events.
            self._reads_pending = True
            return []
        return self._collect_entries(reply)

    def _collect_entries(self, reply: Any) -> Sequence[bytes]:
        self._received, contents = [], []
        for stream, entries in reply:
            ids = [entry[0] for entry in entries]
            if ids:
                self._received.append((stream, ids))
            # An entry that was trimmed before it was acknowledged has no fields.
            contents += [entry[1][1].encode() for entry in entries if entry[1]]
        if not self._received and self._reads_pending:
            self._reads_pending = False
            return self._read_events()
        return contents

    def _wait_for_events(self, timeout_seconds: float) -> None:
        """Wait until a stream gets an event. Reads nothing, so it needs no lease."""
        milliseconds = int(min(timeout_seconds, _TIMEOUT_SECONDS / 2) * 1000)
        positions: dict[Any, Any] = dict(self._positions)
        if positions and not self._redis.xread(positions, count=1, block=milliseconds):
            return
        # Events from here on end the next wait; those before it are read now.
        self._positions = {stream: self._get_last_id(stream) for stream in self._streams}

    def _get_last_id(self, stream: str) -> str:
        entries: Any = self._redis.xrevrange(stream, count=1)
        return str(entries[0][0]) if entries else "0-0"

    def _create_groups(self) -> None:
        if self._has_groups:
            return
        for stream in self._streams:
            try:
                self._redis.xgroup_create(stream, self._group, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
        self._has_groups = True

    def acknowledge_events(self) -> None:
        try:
            for stream, ids in self._received:
                self._redis.xack(stream, self._group, *ids)
        except RedisError as error:
            raise BrokerUnavailable(f"Redis does not respond: {error}") from error
        self._received = []

    def count_waiting_events(self) -> int:
        try:
            return sum(self._count_waiting(stream) for stream in self._streams)
        except RedisError as error:
            raise BrokerUnavailable(f"Redis does not respond: {error}") from error

    def _count_waiting(self, stream: str) -> int:
        groups: Any = self._redis.xinfo_groups(stream)
        for group in groups:
            if group["name"] == self._group:
                return int(group["pending"]) + int(group.get("lag") or 0)
        return 0

    def close(self) -> None:
        with suppress(RedisError):  # the lease also expires
            self._redis.eval(_RELEASE, 1, self._lease, self._holder)
        self._redis.close()


def get_stream_key(service: str) -> str:
    """Return the key of the stream with the events of *service*."""
    return redis_key("events", service)
