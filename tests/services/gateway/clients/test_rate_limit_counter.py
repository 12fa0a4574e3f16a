"""The connection to Redis that counts rate limits."""

import asyncio

from backend.services.gateway.clients import rate_limit_counter
from backend.services.gateway.clients.rate_limit_counter import RateLimitCounter
from tests.servers import wait_until

LOADED = b"$40\r\n" + 40 * b"0" + b"\r\n"


def test_limits_are_shared_after_the_server_failed_during_the_setup(tmp_path, monkeypatch):
    monkeypatch.setattr(rate_limit_counter, "_RECONNECT_SECONDS", 0.01)
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(65_536):
            writer.write(LOADED if connections > 1 else LOADED + b"-ERR closing\r\n")
        writer.close()

    async def run() -> None:
        path = tmp_path / "redis.sock"
        server = await asyncio.start_unix_server(serve, path)
        counter = RateLimitCounter(f"unix://{path}", asyncio.get_running_loop())
        counter.start()
        await asyncio.to_thread(wait_until, lambda: not counter.is_local)
        counter.stop()
        server.close()
        await server.wait_closed()

    asyncio.run(run())
    assert connections == 2
