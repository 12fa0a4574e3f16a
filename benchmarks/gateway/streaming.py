"""What takes long: events on many streams, a large upload, hang-ups, sockets, stale connections."""

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

import contenders
import uvloop
from contenders import Contender

STREAMS = 2000
UPLOAD = 100 * 1024 * 1024
_PIECE = b"x" * 262_144
_SOCKET_FRAME = b"\x82\x85\0\0\0\0hello"


@dataclass
class Result:
    """One contender's row."""

    kb_per_stream: float = 0.0
    event_delay: float = 0.0
    event_p99: float = 0.0
    held: int = 0
    upload_growth: float = 0.0
    upload_rate: float = 0.0
    hangup: float = 0.0
    sockets: float = 0.0
    lost: int = 0


def measure(folder: Path, up: int, redis_url: str, bearer: str) -> str:
    """A table of all contenders that stream; each is started afresh and ended again."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))
    rows = [
        (
            f"| long ones | KB a stream ({STREAMS} held) | event delay ms, p50 / p99 "
            "| upload 100 MB: growth MB, MB/s | hang-up seen after ms | socket messages/s "
            "| lost of 300 POSTs in the stale race |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for start in (_nginx, _haproxy, _envoy, _ours):
        with _service(folder) as service, start(folder, service, up, redis_url) as each:
            if each is not None:
                rows.append(_row(each.name, uvloop.run(_one(each, bearer))))
    return "\n".join(rows) + "\n"


@contextlib.contextmanager
def _service(folder: Path) -> Iterator[int]:
    port = contenders.free_port()
    arguments = [sys.executable, str(Path(__file__).with_name("service.py")), str(port)]
    with contenders.running(arguments, port, folder / "long-service.log"):
        yield port


@contextlib.contextmanager
def _nginx(folder: Path, service: int, _: int, __: str) -> Iterator[Contender | None]:
    with contenders.nginx(folder, service, policy=False) as each:
        yield each


@contextlib.contextmanager
def _haproxy(folder: Path, service: int, _: int, __: str) -> Iterator[Contender | None]:
    with contenders.haproxy(folder, service) as each:
        yield each


@contextlib.contextmanager
def _envoy(folder: Path, service: int, _: int, __: str) -> Iterator[Contender | None]:
    if contenders.envoy_binary() is None:
        yield None
        return
    with contenders.envoy(folder, service) as each:
        yield each


@contextlib.contextmanager
def _ours(folder: Path, service: int, up: int, redis_url: str) -> Iterator[Contender | None]:
    with contenders.ours(folder, up, redis_url, view=False, service=service) as each:
        yield each


async def _one(each: Contender, bearer: str) -> Result:
    result = Result()
    auth = f"Authorization: {bearer}\r\n"
    await _ask(each.port, "GET", "/rag/warm", auth)
    await _stale(each, auth, result)
    await _hangup(each, auth, result)
    await _upload(each, auth, result)
    await _sockets(each, auth, result)
    await _streams(each, auth, result)
    return result


async def _open(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def _ask(port: int, method: str, path: str, auth: str) -> tuple[int, bytes]:
    reader, writer = await _open(port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: g\r\n{auth}\r\n".encode())
    answer = await _answer(reader)
    writer.close()
    return answer


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
    return int(head.split(" ")[1]), await reader.readexactly(length)


async def _streams(each: Contender, auth: str, result: Result) -> None:
    before = each.memory_mb()
    request = f"GET /rag/events HTTP/1.1\r\nHost: g\r\n{auth}\r\n".encode()
    delays: list[float] = []
    open_streams: list[asyncio.StreamWriter] = []
    measuring = asyncio.Event()

    async def hold() -> None:
        reader, writer = await _open(each.port)
        open_streams.append(writer)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            return
        result.held += 1
        while line := await reader.readline():
            if line.startswith(b"data:") and measuring.is_set():
                delays.append(time.monotonic() - float(line[5:]))

    tasks = []
    for number in range(STREAMS):
        tasks.append(asyncio.create_task(hold()))
        if number % 50 == 49:
            await asyncio.sleep(0.05)
    await asyncio.sleep(4)
    measuring.set()
    await asyncio.sleep(5)
    result.kb_per_stream = (each.memory_mb() - before) * 1024 / max(1, result.held)
    for task in tasks:
        task.cancel()
    for writer in open_streams:
        writer.transport.abort()
    if delays:
        delays.sort()
        result.event_delay = statistics.median(delays) * 1000
        result.event_p99 = delays[int(len(delays) * 0.99)] * 1000


async def _upload(each: Contender, auth: str, result: Result) -> None:
    before = most = each.memory_mb()
    reader, writer = await _open(each.port)
    head = f"POST /rag/upload HTTP/1.1\r\nHost: g\r\n{auth}Content-Length: {UPLOAD}\r\n\r\n"
    writer.write(head.encode())
    began = time.monotonic()
    for number in range(UPLOAD // len(_PIECE)):
        writer.write(_PIECE)
        await writer.drain()
        if number % 40 == 0:
            most = max(most, each.memory_mb())
    status, body = await _answer(reader)
    took = time.monotonic() - began
    writer.close()
    result.upload_growth = most - before
    result.upload_rate = UPLOAD / took / 1e6 if status == 200 and int(body) == UPLOAD else 0.0


async def _hangup(each: Contender, auth: str, result: Result) -> None:
    delays = []
    for number in range(20):
        _, writer = await _open(each.port)
        writer.write(f"GET /rag/hang/{number} HTTP/1.1\r\nHost: g\r\n{auth}\r\n".encode())
        await asyncio.sleep(0.05)
        gone = time.monotonic()
        writer.transport.abort()
        for _ in range(100):
            await asyncio.sleep(0.02)
            _, seen = await _ask(each.port, "GET", f"/rag/left/{number}", auth)
            if float(seen):
                delays.append(float(seen) - gone)
                break
    result.hangup = statistics.median(delays) * 1000 if delays else float("nan")


async def _sockets(each: Contender, auth: str, result: Result) -> None:
    key = base64.b64encode(b"0123456789abcdef").decode()
    handshake = (
        f"GET /rag/socket HTTP/1.1\r\nHost: g\r\n{auth}Connection: Upgrade\r\n"
        f"Upgrade: websocket\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    count = 0

    async def talk() -> None:
        nonlocal count
        reader, writer = await _open(each.port)
        writer.write(handshake)
        if b" 101 " not in await reader.readuntil(b"\r\n\r\n"):
            return
        until = time.monotonic() + 2
        while time.monotonic() < until:
            writer.write(_SOCKET_FRAME)
            await reader.readexactly(len(_SOCKET_FRAME))
            count += 1
        writer.close()

    await asyncio.gather(*(talk() for _ in range(16)), return_exceptions=True)
    result.sockets = count / 2


async def _stale(each: Contender, auth: str, result: Result) -> None:
    reader, writer = await _open(each.port)
    statuses = []
    for number in range(300):
        await asyncio.sleep(0.0015 + (number % 11) * 0.0002)
        try:
            writer.write(f"POST /rag/stale/{number} HTTP/1.1\r\nHost: g\r\n{auth}\r\n".encode())
            statuses.append((await _answer(reader))[0])
        except (OSError, asyncio.IncompleteReadError):
            statuses.append(0)
            reader, writer = await _open(each.port)
    writer.close()
    result.lost = sum(status != 200 for status in statuses)


def _row(name: str, r: Result) -> str:
    streams = f"{r.kb_per_stream:.1f} ({r.held})" if r.held else "none"
    return (
        f"| {name} | {streams} | {r.event_delay:.1f} / {r.event_p99:.1f} "
        f"| {r.upload_growth:.1f}, {r.upload_rate:.0f} | {r.hangup:.1f} | {r.sockets:,.0f} "
        f"| {r.lost} |"
    )
