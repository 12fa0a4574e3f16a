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
from urllib.parse import unquote, urlsplit

from backend.security.limits import (
    SCRIPT,
    SCRIPT_SHA,
    SETTLE_SCRIPT,
    SETTLE_SHA,
    Charge,
    LocalBuckets,
    script_arguments,
)

PATIENCE = 0.1
_RETURN_SECONDS = 1.0
_log = logging.getLogger(__name__)

Decided = Callable[[list[int], bool], None]
"""Called with what the script answers, and whether it was answered in this process."""


class Toll:
    """Charges that are taken together again and again, with their command written once."""

    __slots__ = ("charges", "command", "size")

    def __init__(self, charges: list[Charge]) -> None:
        self.charges = charges
        self.size = 2 * len(charges)
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
        self._waiting: deque[tuple[Toll | None, Decided | None, float]] = deque()
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
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)
        self._waiting.append((toll, decided, monotonic()))
        if not self._watching:
            self._watching = True
            self._loop.call_later(PATIENCE, self._watch)

    def _flush(self) -> None:
        if self._transport is not None and self._out:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _watch(self) -> None:
        self._watching = False
        if not self._waiting:
            return
        waited = monotonic() - self._waiting[0][2]
        if waited >= PATIENCE:
            self._leave("it is silent")
        else:
            self._watching = True
            self._loop.call_later(PATIENCE - waited, self._watch)

    def _leave(self, reason: str) -> None:
        was_ready, self._ready = self._ready, False
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._held = b""
        self._out.clear()
        waiting, self._waiting = self._waiting, deque()
        for toll, decided, _ in waiting:
            if toll is not None and decided is not None:
                decided(self._near.reply(toll.charges), True)
        if was_ready and not self._stopped:
            self.failures += 1
            _log.warning("Redis is away (%s): limits are counted in this process.", reason)
            self.start()

    # The connection.

    async def _connect(self, url: str) -> None:
        parts = urlsplit(url)
        while not self._stopped:
            try:
                async with asyncio.timeout(PATIENCE * 10):
                    await self._open(url)
                    await self._greet(parts.username, parts.password, parts.path.strip("/"))
            except (OSError, TimeoutError) as error:
                self._leave(str(error) or "no connection")
                await asyncio.sleep(_RETURN_SECONDS)
            else:
                self._ready = True
                if self.failures:
                    _log.warning("Redis answers again: limits are counted there.")
                return

    async def _open(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            await self._loop.create_unix_connection(lambda: self, parts.path)
        else:
            await self._loop.create_connection(
                lambda: self,
                parts.hostname or "127.0.0.1",
                parts.port or 6379,
                ssl=True if parts.scheme == "rediss" else None,
            )

    async def _greet(self, user: str | None, password: str | None, database: str) -> None:
        commands = []
        if password:
            names = [unquote(user)] if user else []
            commands.append(_command("AUTH", *names, unquote(password)))
        if database.isdigit() and database != "0":
            commands.append(_command("SELECT", database))
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
        data = self._held + data if self._held else data
        at = 0
        while at < len(data):
            end, values = _reply(data, at)
            if end < 0:
                break
            at = end
            self._answered(values)
        self._held = data[at:]

    def _answered(self, values: list[int] | str) -> None:
        greeting = self._greeting
        if greeting is not None:
            self._greeting = None
            if not greeting.done():
                if isinstance(values, str) and values.startswith("-"):
                    greeting.set_exception(ConnectionError(values))
                else:
                    greeting.set_result(None)
            return
        if not self._waiting:
            self._leave("it answered what was not asked")
            return
        toll, decided, _ = self._waiting.popleft()
        if toll is None or decided is None:
            return
        if isinstance(values, str) or len(values) != toll.size:
            # SCRIPT FLUSH, a failover, out of memory: counted here, and connected anew.
            decided(self._near.reply(toll.charges), True)
            self._leave(str(values))
            return
        decided(values, False)


def _command(*parts: object) -> bytes:
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        text = str(part).encode()
        out.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(out)


def _reply(data: bytes, at: int) -> tuple[int, list[int] | str]:
    """(where the reply at *at* ends, its numbers or its text); -1 while it is not whole."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return -1, ""
    kind, line = data[at : at + 1], data[at + 1 : end]
    if kind == b"*":
        parts = data[end + 2 :].split(b"\r\n", int(line))
        if len(parts) <= int(line):
            return -1, ""
        numbers = [int(part[1:]) for part in parts[:-1]]
        return len(data) - len(parts[-1]), numbers
    if kind == b"$":
        stop = end + 2 + int(line) + 2
        return (stop, "") if stop <= len(data) else (-1, "")
    if kind == b":":
        return end + 2, [int(line)]
    return end + 2, data[at:end].decode("latin-1")
