"""Clients of a load test: read event streams of the agent at once, as one asyncio process."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_READ_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """Seconds from the request to the first token, and to the end of the stream."""

    first_token: float
    total: float


def read_streams(
    url: str, bearers: Sequence[Mapping[str, str]], word_count: int
) -> tuple[list[StreamTimes], float]:
    """Request an answer of *word_count* words for each of *bearers* at the same time.

    Returns:
        The times of the streams, and the CPU seconds that this process used to read them.
    """
    return asyncio.run(_read_streams(url, bearers, word_count))


async def _read_streams(
    url: str, bearers: Sequence[Mapping[str, str]], word_count: int
) -> tuple[list[StreamTimes], float]:
    cpu_before = time.process_time()
    times = await asyncio.gather(*(_read_stream(url, bearer, word_count) for bearer in bearers))
    return times, time.process_time() - cpu_before


async def _read_stream(url: str, bearer: Mapping[str, str], word_count: int) -> StreamTimes:
    address = urlsplit(url)
    body = json.dumps({"user_request": f"Say {word_count} words.", "stream": True})
    headers = {
        "Host": address.netloc,
        "Connection": "close",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **bearer,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(f"POST /query HTTP/1.1\r\n{lines}\r\n{body}".encode())
        first_token = 0.0
        parts: list[bytes] = []
        while part := await reader.read(_READ_BYTES):
            parts.append(part)
            if not first_token and b"event: token" in b"".join(parts):
                first_token = time.perf_counter() - started
    finally:
        writer.close()
    text = b"".join(parts)
    if not first_token or b"event: done" not in text:
        raise RuntimeError(f"A stream is incomplete: {text[-500:]!r}")
    return StreamTimes(first_token, time.perf_counter() - started)
