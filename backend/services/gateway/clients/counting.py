"""Limits counted in Redis from an event loop: one connection, everything pipelined.

Redis silent for 100 ms: what was asked is decided in this process, and so is all that
follows, until a new connection answers a PING.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import cast

from redis.exceptions import RedisError

from backend.security.limits import (
    SCRIPT,
    SCRIPT_SHA,
    SETTLE_SCRIPT,
    SETTLE_SHA,
    Charge,
    LocalBuckets,
    read_numbers,
    script_arguments,
)
from backend.security.redis import RedisPlace, read_url
from backend.security.redis.nodes import Nodes, find_holder

PATIENCE = 0.1
_RETURN_SECONDS = 1.0
_log = logging.getLogger(__name__)

Decided = Callable[[list[int], bool], None]
"""Called with what the script answers, and whether it was answered in this process."""


class Toll:
    """Charges that are taken together again and again, with their command written once."""

    __slots__ = ("charges", "command")

    def __init__(self, charges: list[Charge]) -> None:
        self.charges = charges
        keys = [charge.key for charge in charges]
        arguments = script_arguments(charges)
        self.command = _command("EVALSHA", SCRIPT_SHA, len(keys), *keys, *arguments)


class Counting(asyncio.Protocol):
    """Decides tolls in the Redis at *url*; without one, in this process."""

    def __init__(self, url: str | None, loop: asyncio.AbstractEventLoop) -> None:
        self._url = url
        self._loop = loop
        self._near = LocalBuckets()
        self._transport: asyncio.Transport | None = None
        self._ready = False
        self._stopped = False
        self._out: list[bytes] = []
        self._waiting: deque[tuple[Toll | None, Decided | None]] = deque()
        self._heard = 0.0
        self._held = b""
        self._watching = False
        self.failures = 0

    @property
    def local(self) -> bool:
        """Whether limits are counted in this process alone just now."""
        return not self._ready

    def start(self) -> None:
        if self._url is not None and not self._stopped:
            self._loop.create_task(self._connect(self._url))

    def stop(self) -> None:
        self._stopped = True
        if self._transport is not None:
            self._transport.abort()

    def decide(self, toll: Toll, decided: Decided) -> None:
        """Decide *toll*: at once where there is no Redis, else soon."""
        if not self._ready:
            decided(self._near.reply(toll.charges), True)
            return
        self._send(toll.command, toll, decided)

    def settle(self, charge: Charge, units: int) -> None:
        """Take *units* more from the charge's limit, or give them back when negative."""
        if not self._ready:
            self._near.settle(charge, units)
            return
        command = _command("EVALSHA", SETTLE_SHA, 1, charge.key, charge.limit.interval, units)
        self._send(command, None, None)

    def _send(self, command: bytes, toll: Toll | None, decided: Decided | None) -> None:
        out, waiting = self._out, self._waiting
        if not out:
            self._loop.call_soon(self._flush)
        if not waiting:
            self._heard = monotonic()
            if not self._watching:
                self._watching = True
                self._loop.call_later(PATIENCE, self._watch)
        out.append(command)
        waiting.append((toll, decided))

    def _flush(self) -> None:
        out = self._out
        if self._transport is not None and out:
            self._transport.write(b"".join(out))
        out.clear()

    def _watch(self) -> None:
        """Leave a Redis that has been silent for as long as our patience lasts."""
        self._watching = False
        if not self._waiting:
            return
        silent = monotonic() - self._heard
        if silent >= PATIENCE:
            self._leave("it is silent")
        else:
            self._watching = True
            self._loop.call_later(PATIENCE - silent, self._watch)

    def _leave(self, reason: str) -> None:
        was_ready, self._ready = self._ready, False
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._held = b""
        self._out.clear()
        waiting, self._waiting = self._waiting, deque()
        for toll, decided in waiting:
            if toll is not None and decided is not None:
                decided(self._near.reply(toll.charges), True)
        if was_ready and not self._stopped:
            self.failures += 1
            _log.warning("Redis is away (%s): limits are counted in this process.", reason)
            self.start()

    # The connection.

    async def _connect(self, url: str) -> None:
        place = read_url(url)
        nodes = Nodes(place.nodes)
        while not self._stopped:
            try:
                async with asyncio.timeout(PATIENCE * 10):
                    await self._open(place, nodes)
                    await self._greet(place)
            except (OSError, TimeoutError, RedisError) as error:
                self._leave(str(error) or "no connection")
                await asyncio.sleep(_RETURN_SECONDS)
            else:
                self._ready = True
                if self.failures:
                    _log.warning("Redis answers again: limits are counted there.")
                return

    async def _open(self, place: RedisPlace, nodes: Nodes) -> None:
        if place.socket is not None:
            await self._loop.create_unix_connection(lambda: self, place.socket)
            return
        # Asked by the client that the other services use, in a thread: whether this is a cluster,
        # and where in it our keys are.
        host, port = await self._loop.run_in_executor(None, find_holder, place, nodes, PATIENCE)
        tls = place.tls_context()
        name = host if tls is not None and tls.check_hostname else None
        await self._loop.create_connection(lambda: self, host, port, ssl=tls, server_hostname=name)

    async def _greet(self, place: RedisPlace) -> None:
        commands = []
        if place.password:
            names = [place.user] if place.user else []
            commands.append(_command("AUTH", *names, place.password))
        if place.database:
            commands.append(_command("SELECT", place.database))
        commands.append(_command("SCRIPT", "LOAD", SCRIPT))
        commands.append(_command("SCRIPT", "LOAD", SETTLE_SCRIPT))
        for command in commands:
            answer: asyncio.Future[None] = self._loop.create_future()
            self._greeting = answer
            assert self._transport is not None  # noqa: S101 - create_connection made it
            self._transport.write(command)
            await answer

    _greeting: "asyncio.Future[None] | None" = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Only streams are opened here; uvloop's transports do not derive from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        greeting, self._greeting = self._greeting, None
        if greeting is not None and not greeting.done():
            greeting.set_exception(ConnectionError("Redis closed the connection"))
            return
        self._leave(str(exc or "the connection ended"))

    def data_received(self, data: bytes) -> None:
        *lines, self._held = (self._held + data if self._held else data).split(b"\r\n")
        self._heard = monotonic()
        for line in lines:
            if self._greeting is not None:
                self._greeted(line)
            elif not self._waiting:
                self._leave("it answered what was not asked")
                return
            else:
                self._answered(line)

    def _greeted(self, line: bytes) -> None:
        # SCRIPT LOAD answers with a length before the name of the script.
        if line[:1] == b"$":
            return
        greeting, self._greeting = self._greeting, None
        if greeting is not None and not greeting.done():
            if line[:1] == b"-":
                greeting.set_exception(ConnectionError(line.decode("latin-1")))
            else:
                greeting.set_result(None)

    def _answered(self, line: bytes) -> None:
        toll, decided = self._waiting.popleft()
        if toll is None or decided is None:
            return
        if line[:1] == b"+":
            decided(read_numbers(line[1:]), False)
        else:
            # SCRIPT FLUSH, a failover, out of memory: counted here, and connected anew.
            decided(self._near.reply(toll.charges), True)
            self._leave(line.decode("latin-1"))


def _command(*parts: object) -> bytes:
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        text = str(part).encode()
        out.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(out)
