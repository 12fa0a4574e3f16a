"""A broker on the Redis-compatible server, shared by all processes of the service.

The format of the streams is that of `backend.chassis.messaging.topics`, with which other services
publish.
"""

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from backend.chassis.messaging.topics import (
    POSITION_SECONDS,
    PUBLISH_KEYS,
    PUBLISH_SCRIPT,
    PUBLISH_SHA,
    Retention,
    publish_arguments,
    stream_channel,
    stream_keys,
)
from backend.security.redis import parse_redis_url, redis_key
from backend.security.redis.slot_connections import DRIVER, ClusterNodes, find_slot_master
from backend.security.revocation import CHANNEL as REVOCATION_CHANNEL
from backend.services.realtime.model import (
    BrokerUnavailable,
    MessageCallback,
    NewPublication,
    Position,
    PresenceEntry,
    Publication,
    Replay,
)

_TIMEOUT_SECONDS: Final = 1.0
_RECONNECT_SECONDS: Final = 0.2
_MAX_RECONNECT_SECONDS: Final = 2.0
# A frozen server keeps the connection open: after this silence it must answer a PING.
_SILENCE_SECONDS: Final = 5.0
_MAX_CONNECTIONS: Final = 16
# Of publications that are sent at once.
_MAX_BATCH_CHARACTERS: Final = 1024 * 1024
_ALL: Final = Position("*", 0)
# redis-py and uvloop raise RuntimeError or AttributeError if the connection is closed while another
# task is about to use it, e.g. while streams are subscribed to again.
_FAILURES: Final = (RedisError, OSError, TimeoutError, RuntimeError, AttributeError)
_log = logging.getLogger(__name__)

# KEYS as in PUBLISH_SCRIPT. ARGV: new epoch, requested epoch, requested offset, limit, position
# seconds, mode. The epoch `*` requests all stored publications. Returns epoch, offset, 1 if
# recovered, and offsets and data of the publications.
_READ: Final = """
local epoch = redis.call('HGET', KEYS[1], 'e')
if not epoch then
  epoch = ARGV[1]
  redis.call('HSET', KEYS[1], 'e', epoch, 'o', 0)
end
redis.call('EXPIRE', KEYS[1], ARGV[5])
local top = tonumber(redis.call('HGET', KEYS[1], 'o'))
local since = tonumber(ARGV[3])
if ARGV[2] ~= '*' and (ARGV[2] ~= epoch or since > top) then
  return {epoch, top, 0, {}}
end
local found = {}
if ARGV[6] == 'latest' then
  local names = redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. since, '+inf', 'WITHSCORES')
  for i = 1, #names, 2 do
    found[#found + 1] = names[i + 1]
    found[#found + 1] = redis.call('HGET', KEYS[3], names[i])
  end
  return {epoch, top, 1, found}
end
local missing = top - since
if ARGV[2] ~= '*' and missing > tonumber(ARGV[4]) then
  return {epoch, top, 0, {}}
end
local entries = redis.call('XRANGE', KEYS[2], '(' .. since .. '-0', '+', 'COUNT', ARGV[4])
if ARGV[2] ~= '*' and #entries ~= missing then
  return {epoch, top, 0, {}}
end
for i, entry in ipairs(entries) do
  found[#found + 1] = string.match(entry[1], '%d+')
  found[#found + 1] = entry[2][2]
end
return {epoch, top, 1, found}
"""

_READ_SHA: Final = hashlib.sha1(_READ.encode(), usedforsecurity=False).hexdigest()


class ValkeyBroker:
    """Stores and distributes publications on the server at *url*."""

    is_shared = True

    def __init__(self, url: str) -> None:
        self._address = parse_redis_url(url)
        self._nodes = ClusterNodes(self._address.nodes)
        self._redis: Redis | None = None
        self._node: tuple[str, int] | None = None
        self._channel: PubSub | None = None
        self._task: asyncio.Task[None] | None = None
        self._streams: dict[str, str] = {}
        self.is_connected = False
        # Set after the first attempt to connect: what is requested before waits for it.
        self._was_tried = asyncio.Event()

    def start(
        self,
        on_message: MessageCallback,
        on_revocation: Callable[[str], None],
        on_lost: Callable[[], None],
        on_connected: Callable[[], None],
    ) -> None:
        self._on_message = on_message
        self._on_revocation = on_revocation
        self._on_lost = on_lost
        self._on_connected = on_connected
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._close_channel()
        await self._close_client()

    async def publish(
        self, stream: str, data: str, retention: Retention | None, key: str = ""
    ) -> Position:
        if retention is None:
            await self._call(lambda redis: redis.publish(stream_channel(stream), f"- 0 {data}"))
            return Position("", 0)
        epoch, offset = await self._evaluate(
            PUBLISH_SCRIPT, PUBLISH_SHA, publish_arguments(stream, data, retention, key)
        )
        return Position(epoch, int(offset))

    async def publish_all(self, publications: Sequence[NewPublication]) -> None:
        for batch in _split_batches(publications):
            await self._publish_batch(batch)

    async def _publish_batch(self, batch: Sequence[NewPublication]) -> None:
        async def run(redis: Redis) -> None:
            replies = await _send_batch(redis, batch, is_loaded=True)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                # The server has lost the script, and has executed none of these commands.
                missing = [
                    each
                    for each, reply in zip(batch, replies, strict=True)
                    if isinstance(reply, NoScriptError)
                ]
                replies = await _send_batch(redis, missing, is_loaded=False)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply

        await self._call(run)

    async def read(
        self, stream: str, since: Position | None, limit: int, retention: Retention
    ) -> Replay:
        epoch, offset = since or Position("", 0)
        # A client could send the epoch that requests everything.
        if epoch == _ALL.epoch and since is not _ALL:
            epoch = ""
        arguments = (
            secrets.token_hex(4), epoch, offset, limit, POSITION_SECONDS, retention.mode
        )  # fmt: skip
        epoch, top, recovered, found = await self._evaluate(
            _READ, _READ_SHA, (*stream_keys(stream), *arguments)
        )
        publications = [
            Publication(int(found[index]), found[index + 1]) for index in range(0, len(found), 2)
        ]
        return Replay(Position(epoch, int(top)), bool(recovered), publications)

    async def read_all(self, stream: str, retention: Retention) -> Replay:
        return await self.read(stream, _ALL, retention.max_entries, retention)

    async def subscribe(self, stream: str) -> None:
        await self._wait_for_first_attempt()
        channel = self._channel
        # The first command takes a connection from the pool, which two tasks must not do at once.
        if channel is None or not channel.subscribed:
            raise BrokerUnavailable
        self._streams[stream_channel(stream)] = stream
        try:
            # Returns after the command was sent. What is read later, on another connection, may
            # be older than the subscription, so wait for its confirmation.
            confirmed = asyncio.get_running_loop().create_future()
            self._confirmations.setdefault(stream_channel(stream), []).append(confirmed)
            await cast("Awaitable[None]", channel.subscribe(stream_channel(stream)))
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await confirmed
        except _FAILURES as error:
            raise BrokerUnavailable from error

    async def unsubscribe(self, stream: str) -> None:
        self._streams.pop(stream_channel(stream), None)
        if self._channel is not None:
            try:
                await cast("Awaitable[None]", self._channel.unsubscribe(stream_channel(stream)))
            except _FAILURES as error:
                raise BrokerUnavailable from error

    async def get_positions(self, streams: Sequence[str]) -> Sequence[Position | None]:
        if not streams:
            return []

        def run(redis: Redis) -> Awaitable[Any]:
            pipeline = redis.pipeline(transaction=False)
            for stream in streams:
                pipeline.hmget(stream_keys(stream)[0], ["e", "o"])
            return pipeline.execute()

        replies = await self._call(run)
        return [None if not e else Position(e, int(o or 0)) for e, o in replies]

    async def add_presence(self, stream: str, entry: PresenceEntry, seconds: int) -> None:
        name = redis_key("realtime", "presence", stream)
        member = json.dumps([entry.client_id, entry.user_id, entry.since])

        def run(redis: Redis) -> Awaitable[Any]:
            pipeline = redis.pipeline()
            now = time.time()
            pipeline.zremrangebyscore(name, "-inf", now)
            pipeline.zadd(name, {member: now + seconds})
            pipeline.expire(name, seconds)
            return pipeline.execute()

        await self._call(run)

    async def remove_presence(self, stream: str, client_id: str) -> None:
        name = redis_key("realtime", "presence", stream)
        prefix = json.dumps([client_id])[:-1]
        members = await self._call(lambda redis: redis.zrange(name, 0, -1))
        own = [member for member in members if member.startswith(prefix)]
        if own:
            await self._call(lambda redis: redis.zrem(name, *own))

    async def list_presence(self, stream: str, limit: int) -> Sequence[PresenceEntry]:
        name = redis_key("realtime", "presence", stream)
        members = await self._call(
            lambda redis: redis.zrangebyscore(name, time.time(), "+inf", start=0, num=limit)
        )
        return [PresenceEntry(*json.loads(member)) for member in members]

    async def put_ticket(self, ticket: str, value: str, seconds: int) -> None:
        await self._call(lambda redis: redis.set(_ticket_key(ticket), value, ex=seconds))

    async def take_ticket(self, ticket: str) -> str | None:
        value = await self._call(lambda redis: redis.getdel(_ticket_key(ticket)))
        return None if value is None else str(value)

    # Connection

    async def _follow(self) -> None:
        """Receive messages; connect again after each failure."""
        pause = _RECONNECT_SECONDS
        while True:
            try:
                await self._connect()
                self._was_tried.set()
                pause = _RECONNECT_SECONDS
                await self._receive()
            except Exception as error:  # noqa: BLE001 - delivery must resume
                # E.g. a malformed message.
                if not isinstance(error, _FAILURES):
                    _log.exception("messages cannot be received")
                elif self.is_connected:
                    _log.warning("Redis is unavailable (%s). Nothing is delivered.", error)
                self.is_connected = False
                self._on_lost()
            await self._close_channel()
            self._was_tried.set()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_RECONNECT_SECONDS)

    async def _connect(self) -> None:
        self._redis = await self._open_client()
        self._channel = channel = self._redis.pubsub()
        self._confirmations: dict[str, list[asyncio.Future[None]]] = {}
        self._streams = {}
        await cast("Awaitable[None]", channel.subscribe(REVOCATION_CHANNEL))

    async def _open_client(self) -> Redis:
        """Return a client of the server, the current one if the keys are still there.

        Its connections stay open when the subscriptions are lost: a publication that is being
        sent must not fail, because its sender could not know whether it was stored.
        """
        options: dict[str, Any] = self._address.credentials() | {
            "decode_responses": True,
            "socket_timeout": _TIMEOUT_SECONDS,
            "socket_connect_timeout": _TIMEOUT_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "max_connections": _MAX_CONNECTIONS,
            "driver_info": DRIVER,
        }
        if self._address.socket is not None:
            return self._redis or Redis(unix_socket_path=self._address.socket, **options)
        loop = asyncio.get_running_loop()
        node = await loop.run_in_executor(
            None, find_slot_master, self._address, self._nodes, _TIMEOUT_SECONDS
        )
        if self._redis is not None:
            if node == self._node:
                return self._redis
            await self._close_client()
        self._node = node
        tls: dict[str, Any] = (
            {} if self._address.tls is None else {"ssl": True, **self._address.tls}
        )
        return Redis(host=node[0], port=node[1], **options, **tls)

    async def _receive(self) -> None:
        channel = self._channel
        assert channel is not None  # noqa: S101 - set by _connect
        while True:
            message = await channel.get_message(timeout=_SILENCE_SECONDS)
            if message is None:
                await cast("Awaitable[None]", channel.ping())
                message = await channel.get_message(timeout=_TIMEOUT_SECONDS)
                if message is None:
                    raise TimeoutError("no reply")
            self._handle(message)

    def _handle(self, message: dict[str, Any]) -> None:
        name = message["channel"]
        match message["type"]:
            case "message" if name == REVOCATION_CHANNEL:
                self._on_revocation(message["data"])
            case "message":
                stream = self._streams.get(name)
                if stream is not None:
                    epoch, offset, data = message["data"].split(" ", 2)
                    self._on_message(stream, epoch, Publication(int(offset), data))
            case "subscribe" if name == REVOCATION_CHANNEL:
                if self._redis is not None:
                    self.is_connected = True
                    self._on_connected()
            case "subscribe":
                for future in self._confirmations.pop(name, ()):
                    if not future.done():
                        future.set_result(None)

    async def _close_channel(self) -> None:
        channel, self._channel = self._channel, None
        with suppress(*_FAILURES):
            if channel is not None:
                await channel.aclose()  # type: ignore[no-untyped-call]

    async def _close_client(self) -> None:
        redis, self._redis = self._redis, None
        with suppress(*_FAILURES):
            if redis is not None:
                await redis.aclose()

    # Commands

    async def _wait_for_first_attempt(self) -> None:
        if not self._was_tried.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    await self._was_tried.wait()

    async def _call(self, command: Callable[[Redis], Awaitable[Any]]) -> Any:
        await self._wait_for_first_attempt()
        if self._redis is None:
            raise BrokerUnavailable
        try:
            return await command(self._redis)
        except _FAILURES as error:
            raise BrokerUnavailable from error

    async def _evaluate(self, script: str, digest: str, arguments: Sequence[str | int]) -> Any:
        """Run *script* with its PUBLISH_KEYS keys and further arguments."""
        values = [str(argument) for argument in arguments]

        async def run(redis: Redis) -> Any:
            try:
                return await redis.evalsha(digest, PUBLISH_KEYS, *values)
            except NoScriptError:
                return await redis.eval(script, PUBLISH_KEYS, *values)

        return await self._call(run)


def _split_batches(publications: Sequence[NewPublication]) -> Iterator[list[NewPublication]]:
    batch: list[NewPublication] = []
    size = 0
    for each in publications:
        if batch and size + len(each.data) > _MAX_BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += len(each.data)
    if batch:
        yield batch


async def _send_batch(
    redis: Redis, batch: Sequence[NewPublication], *, is_loaded: bool
) -> list[Any]:
    """Send the commands of *batch* at once. Returns their replies, which can be exceptions."""
    pipeline = redis.pipeline(transaction=False)
    for each in batch:
        if each.retention is None:
            pipeline.publish(stream_channel(each.stream), f"- 0 {each.data}")
            continue
        values = map(str, publish_arguments(each.stream, each.data, each.retention, each.key))
        if is_loaded:
            pipeline.evalsha(PUBLISH_SHA, PUBLISH_KEYS, *values)
        else:
            pipeline.eval(PUBLISH_SCRIPT, PUBLISH_KEYS, *values)
    replies: list[Any] = await pipeline.execute(raise_on_error=False)
    return replies


def _ticket_key(ticket: str) -> str:
    return redis_key("realtime", "ticket", ticket)
