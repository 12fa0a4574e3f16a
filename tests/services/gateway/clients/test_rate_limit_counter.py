"""The connection to Redis that counts rate limits."""

import asyncio
import socket
import time

import uvloop

from backend.security.limits import Charge, Limit
from backend.security.redis import redis_key
from backend.services.gateway.clients import rate_limit_counter
from backend.services.gateway.clients.rate_limit_counter import ChargeSet, RateLimitCounter
from tests.servers import wait_until

LOADED = b"$40\r\n" + 40 * b"0" + b"\r\n"


def test_reply_that_arrives_while_the_event_loop_is_late_is_used(valkey):
    async def run() -> tuple[list[int], bool]:
        loop = asyncio.get_running_loop()
        reader, writer = socket.socketpair()

        def stall() -> None:
            reader.recv(1)
            time.sleep(2)

        loop.add_reader(reader, stall)
        counter = RateLimitCounter(valkey.url, loop)
        counter.start()
        await asyncio.to_thread(wait_until, lambda: not counter.is_local)
        charge = Charge("user", redis_key("tests"), Limit.parse("5/minute"))
        decided = loop.create_future()
        counter.apply_charges(ChargeSet([charge]), lambda *result: decided.set_result(result))
        # The loop reads this after it has sent the command, and then runs timers.
        writer.send(b"x")
        result = await decided
        counter.stop()
        loop.remove_reader(reader)
        reader.close()
        writer.close()
        return result

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run())[1] is False


def test_limits_are_shared_after_the_server_failed_during_the_setup(tmp_path, monkeypatch):
    monkeypatch.setattr(rate_limit_counter, "_RECONNECT_SECONDS", 0.01)
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while await reader.read(65_536):
            writer.write(LOADED if len(writers) > 1 else LOADED + b"-ERR closing\r\n")

    async def run() -> None:
        path = tmp_path / "redis.sock"
        server = await asyncio.start_unix_server(serve, path)
        counter = RateLimitCounter(f"unix://{path}", asyncio.get_running_loop())
        counter.start()
        await asyncio.to_thread(wait_until, lambda: not counter.is_local)
        counter.stop()
        server.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())
    assert len(writers) == 2
