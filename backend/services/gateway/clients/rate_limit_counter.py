"""Count rate limits in Redis from an event loop: one connection, pipelined commands.

If Redis does not respond within 100 ms, the pending charges are decided in this process, and so
are all later ones until a new connection to Redis is established.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import cast

from redis.exceptions import RedisError

from backend.security.limits import (
    ADJUST_SCRIPT,
    ADJUST_SHA,
    CHARGE_SCRIPT,
    CHARGE_SHA,
    Charge,
    LocalBuckets,
    parse_reply,
    script_arguments,
)
from backend.security.redis import RedisAddress, parse_redis_url
from backend.security.redis.slot_connections import ClusterNodes, find_slot_master

REDIS_TIMEOUT_SECONDS = 0.1
_GRACE_SECONDS = 0.01
_RECONNECT_SECONDS = 1.0
_IDLE_CHECK_SECONDS = 1.0
_log = logging.getLogger(__name__)

DecisionCallback = Callable[[list[int], bool], None]
"""Called with the reply of the script, and True if it was decided in this process."""


class ChargeSet:
    """Charges that are applied together, with their Redis command encoded once."""

    __slots__ = ("charges", "command")

    def __init__(self, charges: list[Charge]) -> None:
        self.charges = charges
        keys = [charge.key for charge in charges]
        arguments = script_arguments(charges)
        self.command = _encode_command("EVALSHA", CHARGE_SHA, len(keys), *keys, *arguments)


class RateLimitCounter(asyncio.Protocol):
    """Applies charges in the Redis at *url*, or in this process if *url* is None."""

    def __init__(self, url: str | None, loop: asyncio.AbstractEventLoop) -> None:
        self._url = url
        self._loop = loop
        self._local_buckets = LocalBuckets()
        self._transport: asyncio.Transport | None = None
        self._ready = False
        self._stopped = False
        self._unsent: list[bytes] = []
        self._pending: deque[tuple[ChargeSet | None, DecisionCallback | None]] = deque()
        self._last_reply_at = 0.0
        self._buffer = b""
        self._is_timer_running = False
        self._is_overdue = False
        self.failures = 0

    @property
    def is_local(self) -> bool:
        """True while limits are counted in this process only."""
        return not self._ready

    def start(self) -> None:
        if self._url is not None and not self._stopped:
            self._loop.create_task(self._connect(self._url))

    def stop(self) -> None:
        self._stopped = True
        if self._transport is not None:
            self._transport.abort()

    def apply_charges(self, charge_set: ChargeSet, callback: DecisionCallback) -> None:
        """Apply *charge_set* and call *callback*: immediately without Redis, else on its reply."""
        if not self._ready:
            callback(self._local_buckets.reply(charge_set.charges), True)
            return
        self._send_command(charge_set.command, charge_set, callback)

    def adjust_charge(self, charge: Charge, units: int) -> None:
        """Charge *units* more to the limit of *charge*, or refund them if negative."""
        if not self._ready:
            self._local_buckets.adjust_charge(charge, units)
            return
        command = _encode_command(
            "EVALSHA", ADJUST_SHA, 1, charge.key, charge.limit.interval_us, units
        )
        self._send_command(command, None, None)

    def check_idle_connection(self) -> None:
        """Send a PING if Redis has sent nothing for a second. Call it regularly.

        Without this check, the next request would be the first to detect an outage and report it in
        the metrics.
        """
        is_idle = monotonic() - self._last_reply_at >= _IDLE_CHECK_SECONDS
        if self._ready and is_idle and not self._pending:
            self._send_command(_encode_command("PING"), None, None)

    def _send_command(
        self, command: bytes, charge_set: ChargeSet | None, callback: DecisionCallback | None
    ) -> None:
        unsent, pending = self._unsent, self._pending
        if not unsent:
            self._loop.call_soon(self._flush)
        if not pending:
            self._last_reply_at = monotonic()
            if not self._is_timer_running:
                self._is_timer_running = True
                self._loop.call_later(REDIS_TIMEOUT_SECONDS, self._check_timeout)
        unsent.append(command)
        pending.append((charge_set, callback))

    def _flush(self) -> None:
        unsent = self._unsent
        if self._transport is not None and unsent:
            self._transport.write(b"".join(unsent))
        unsent.clear()

    def _check_timeout(self) -> None:
        """Disconnect if Redis has not replied within the timeout."""
        self._is_timer_running = False
        if not self._pending:
            self._is_overdue = False
            return
        elapsed = monotonic() - self._last_reply_at
        if elapsed < REDIS_TIMEOUT_SECONDS:
            pause_seconds = REDIS_TIMEOUT_SECONDS - elapsed
            self._is_overdue = False
        elif not self._is_overdue:
            # On a busy machine the event loop itself can be late: it runs timers before it reads
            # what has arrived.
            pause_seconds = _GRACE_SECONDS
            self._is_overdue = True
        else:
            self._disconnect("no reply")
            return
        self._is_timer_running = True
        self._loop.call_later(pause_seconds, self._check_timeout)

    def _disconnect(self, reason: str) -> None:
        """Close the connection, decide pending charges locally, and reconnect."""
        was_ready, self._ready = self._ready, False
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._buffer = b""
        self._is_overdue = False
        self._unsent.clear()
        pending, self._pending = self._pending, deque()
        for charge_set, callback in pending:
            if charge_set is not None and callback is not None:
                callback(self._local_buckets.reply(charge_set.charges), True)
        if was_ready and not self._stopped:
            self.failures += 1
            _log.warning(
                "Redis is unavailable (%s). Rate limits are counted in this process.", reason
            )
            self.start()

    # Connection setup

    async def _connect(self, url: str) -> None:
        address = parse_redis_url(url)
        nodes = ClusterNodes(address.nodes)
        while not self._stopped:
            try:
                async with asyncio.timeout(REDIS_TIMEOUT_SECONDS * 10):
                    await self._open_connection(address, nodes)
                    await self._initialize_connection(address)
            except Exception as error:  # noqa: BLE001
                # uvloop raises RuntimeError if the connection was closed. Limits must be shared
                # again after every failure.
                if not isinstance(error, (OSError, TimeoutError, RedisError, RuntimeError)):
                    _log.exception("cannot connect to Redis")
                self._disconnect(str(error) or "no connection")
                await asyncio.sleep(_RECONNECT_SECONDS)
            else:
                self._ready = True
                if self.failures:
                    _log.warning("Redis is available again. Rate limits are counted there.")
                return

    async def _open_connection(self, address: RedisAddress, nodes: ClusterNodes) -> None:
        if address.socket is not None:
            await self._loop.create_unix_connection(lambda: self, address.socket)
            return
        # The blocking client that the other services use finds out, in a thread, if this is a
        # cluster and which node has our keys.
        host, port = await self._loop.run_in_executor(
            None, find_slot_master, address, nodes, REDIS_TIMEOUT_SECONDS
        )
        tls = address.tls_context()
        name = host if tls is not None and tls.check_hostname else None
        await self._loop.create_connection(lambda: self, host, port, ssl=tls, server_hostname=name)

    async def _initialize_connection(self, address: RedisAddress) -> None:
        """Authenticate, select the database and load the scripts."""
        commands = []
        if address.password:
            names = [address.user] if address.user else []
            commands.append(_encode_command("AUTH", *names, address.password))
        if address.database:
            commands.append(_encode_command("SELECT", address.database))
        commands.append(_encode_command("SCRIPT", "LOAD", CHARGE_SCRIPT))
        commands.append(_encode_command("SCRIPT", "LOAD", ADJUST_SCRIPT))
        for command in commands:
            reply: asyncio.Future[None] = self._loop.create_future()
            self._setup_reply = reply
            self._get_transport().write(command)
            await reply
        self._get_transport()

    def _get_transport(self) -> asyncio.Transport:
        """Return the transport. Raises ConnectionError if the connection was lost meanwhile."""
        if self._transport is None:
            raise ConnectionError("Redis closed the connection")
        return self._transport

    _setup_reply: "asyncio.Future[None] | None" = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a type check: uvloop's stream transports do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        setup_reply, self._setup_reply = self._setup_reply, None
        if setup_reply is not None and not setup_reply.done():
            setup_reply.set_exception(ConnectionError("Redis closed the connection"))
            return
        self._disconnect(str(exc or "connection closed"))

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data if self._buffer else data).split(b"\r\n")
        self._last_reply_at = monotonic()
        for line in lines:
            if self._setup_reply is not None:
                self._receive_setup_reply(line)
            elif not self._pending:
                self._disconnect("unexpected reply")
                return
            else:
                self._receive_reply(line)

    def _receive_setup_reply(self, line: bytes) -> None:
        # SCRIPT LOAD sends a length line before the digest of the script.
        if line[:1] == b"$":
            return
        setup_reply, self._setup_reply = self._setup_reply, None
        if setup_reply is not None and not setup_reply.done():
            if line[:1] == b"-":
                setup_reply.set_exception(ConnectionError(line.decode("latin-1")))
            else:
                setup_reply.set_result(None)

    def _receive_reply(self, line: bytes) -> None:
        charge_set, callback = self._pending.popleft()
        if charge_set is None or callback is None:
            return
        if line[:1] == b"+":
            callback(parse_reply(line[1:]), False)
        else:
            # Redis replied with an error, for example after SCRIPT FLUSH or a failover, or because
            # it is out of memory: decide locally and reconnect.
            callback(self._local_buckets.reply(charge_set.charges), True)
            self._disconnect(line.decode("latin-1"))


def _encode_command(*parts: object) -> bytes:
    """Encode a command in the Redis protocol (RESP)."""
    encoded = [b"*%d\r\n" % len(parts)]
    for part in parts:
        text = str(part).encode()
        encoded.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(encoded)
