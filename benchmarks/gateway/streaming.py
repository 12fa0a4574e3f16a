"""Measure event streams, a large upload, disconnects, WebSockets and stale connections."""

import asyncio
import base64
import contextlib
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import proxies
import uvloop
from proxies import Proxy

STREAMS = 2000
UPLOAD = 100 * 1024 * 1024
_PIECE = b"x" * 262_144
_SOCKET_FRAME = b"\x82\x85\0\0\0\0hello"


@dataclass
class Result:
    """Measurements of one proxy."""

    kb_per_stream: float = 0.0
    event_delay: float = 0.0
    event_p99: float = 0.0
    stream_count: int = 0
    upload_growth: float = 0.0
    upload_rate: float = 0.0
    disconnect_delay: float = 0.0
    websocket_rate: float = 0.0
    failed_posts: int = 0


def measure(folder: Path, up: int, redis_url: str, bearer: str) -> str:
    """Return a table of all proxies; each is started for the measurement and stopped."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard_limit, 65536), hard_limit))
    rows = [
        (
            f"| streaming | KB per stream ({STREAMS} held) | event delay ms, p50 / p99 "
            "| upload 100 MB: growth MB, MB/s | disconnect seen after ms | socket messages/s "
            "| failed of 300 POSTs on stale connections |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for start in (_nginx, _haproxy, _envoy, _gateway):
        with _service(folder) as service, start(folder, service, up, redis_url) as proxy:
            if proxy is not None:
                rows.append(_format_row(proxy.name, uvloop.run(_measure_proxy(proxy, bearer))))
    return "\n".join(rows) + "\n"


@contextlib.contextmanager
def _service(folder: Path) -> Iterator[int]:
    port = proxies.free_port()
    arguments = [sys.executable, str(Path(__file__).with_name("upstream_service.py")), str(port)]
    with proxies.running(arguments, port, folder / "upstream-service.log"):
        yield port


@contextlib.contextmanager
def _nginx(folder: Path, service: int, _: int, __: str) -> Iterator[Proxy | None]:
    with proxies.nginx(folder, service, policy=False) as proxy:
        yield proxy


@contextlib.contextmanager
def _haproxy(folder: Path, service: int, _: int, __: str) -> Iterator[Proxy | None]:
    with proxies.haproxy(folder, service) as proxy:
        yield proxy


@contextlib.contextmanager
def _envoy(folder: Path, service: int, _: int, __: str) -> Iterator[Proxy | None]:
    if proxies.find_envoy() is None:
        yield None
        return
    with proxies.envoy(folder, service) as proxy:
        yield proxy


@contextlib.contextmanager
def _gateway(folder: Path, service: int, up: int, redis_url: str) -> Iterator[Proxy | None]:
    with proxies.gateway(folder, up, redis_url, use_flask=False, rag_port=service) as proxy:
        yield proxy


async def _measure_proxy(proxy: Proxy, bearer: str) -> Result:
    result = Result()
    auth = f"Authorization: {bearer}\r\n"
    await _request(proxy.port, "GET", "/rag/warm", auth)
    await _measure_stale_connections(proxy, auth, result)
    await _measure_disconnects(proxy, auth, result)
    await _measure_upload(proxy, auth, result)
    await _measure_websockets(proxy, auth, result)
    await _measure_streams(proxy, auth, result)
    return result


async def _open(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def _request(port: int, method: str, path: str, auth: str) -> tuple[int, bytes]:
    reader, writer = await _open(port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: g\r\n{auth}\r\n".encode())
    response = await _read_response(reader)
    writer.close()
    return response


async def _read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
    return int(head.split(" ")[1]), await reader.readexactly(length)


async def _measure_streams(proxy: Proxy, auth: str, result: Result) -> None:
    before = proxy.memory_mb()
    request = f"GET /rag/events HTTP/1.1\r\nHost: g\r\n{auth}\r\n".encode()
    delays: list[float] = []
    open_streams: list[asyncio.StreamWriter] = []
    measuring = asyncio.Event()

    async def read_events() -> None:
        reader, writer = await _open(proxy.port)
        open_streams.append(writer)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            return
        result.stream_count += 1
        while line := await reader.readline():
            if line.startswith(b"data:") and measuring.is_set():
                delays.append(time.monotonic() - float(line[5:]))

    tasks = []
    for number in range(STREAMS):
        tasks.append(asyncio.create_task(read_events()))
        if number % 50 == 49:
            await asyncio.sleep(0.05)
    await asyncio.sleep(4)
    measuring.set()
    await asyncio.sleep(5)
    result.kb_per_stream = (proxy.memory_mb() - before) * 1024 / max(1, result.stream_count)
    for task in tasks:
        task.cancel()
    for writer in open_streams:
        writer.transport.abort()
    if delays:
        delays.sort()
        result.event_delay = statistics.median(delays) * 1000
        result.event_p99 = delays[int(len(delays) * 0.99)] * 1000


async def _measure_upload(proxy: Proxy, auth: str, result: Result) -> None:
    before = peak = proxy.memory_mb()
    reader, writer = await _open(proxy.port)
    head = f"POST /rag/upload HTTP/1.1\r\nHost: g\r\n{auth}Content-Length: {UPLOAD}\r\n\r\n"
    writer.write(head.encode())
    started = time.monotonic()
    for number in range(UPLOAD // len(_PIECE)):
        writer.write(_PIECE)
        await writer.drain()
        if number % 40 == 0:
            peak = max(peak, proxy.memory_mb())
    status, body = await _read_response(reader)
    seconds = time.monotonic() - started
    writer.close()
    result.upload_growth = peak - before
    result.upload_rate = UPLOAD / seconds / 1e6 if status == 200 and int(body) == UPLOAD else 0.0


async def _measure_disconnects(proxy: Proxy, auth: str, result: Result) -> None:
    delays = []
    for number in range(20):
        _, writer = await _open(proxy.port)
        writer.write(f"GET /rag/hang/{number} HTTP/1.1\r\nHost: g\r\n{auth}\r\n".encode())
        await asyncio.sleep(0.05)
        disconnected_at = time.monotonic()
        writer.transport.abort()
        for _ in range(100):
            await asyncio.sleep(0.02)
            _, body = await _request(proxy.port, "GET", f"/rag/disconnect-time/{number}", auth)
            if float(body):
                delays.append(float(body) - disconnected_at)
                break
    result.disconnect_delay = statistics.median(delays) * 1000 if delays else float("nan")


async def _measure_websockets(proxy: Proxy, auth: str, result: Result) -> None:
    key = base64.b64encode(b"0123456789abcdef").decode()
    handshake = (
        f"GET /rag/socket HTTP/1.1\r\nHost: g\r\n{auth}Connection: Upgrade\r\n"
        f"Upgrade: websocket\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    count = 0

    async def exchange_messages() -> None:
        nonlocal count
        reader, writer = await _open(proxy.port)
        writer.write(handshake)
        if b" 101 " not in await reader.readuntil(b"\r\n\r\n"):
            return
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            writer.write(_SOCKET_FRAME)
            await reader.readexactly(len(_SOCKET_FRAME))
            count += 1
        writer.close()

    await asyncio.gather(*(exchange_messages() for _ in range(16)), return_exceptions=True)
    result.websocket_rate = count / 2


async def _measure_stale_connections(proxy: Proxy, auth: str, result: Result) -> None:
    reader, writer = await _open(proxy.port)
    statuses = []
    for number in range(300):
        await asyncio.sleep(0.0015 + (number % 11) * 0.0002)
        try:
            writer.write(f"POST /rag/stale/{number} HTTP/1.1\r\nHost: g\r\n{auth}\r\n".encode())
            statuses.append((await _read_response(reader))[0])
        except (OSError, asyncio.IncompleteReadError):
            statuses.append(0)
            reader, writer = await _open(proxy.port)
    writer.close()
    result.failed_posts = sum(status != 200 for status in statuses)


def _format_row(name: str, r: Result) -> str:
    streams = f"{r.kb_per_stream:.1f} ({r.stream_count})" if r.stream_count else "none"
    return (
        f"| {name} | {streams} | {r.event_delay:.1f} / {r.event_p99:.1f} "
        f"| {r.upload_growth:.1f}, {r.upload_rate:.0f} | {r.disconnect_delay:.1f} "
        f"| {r.websocket_rate:,.0f} | {r.failed_posts} |"
    )
