"""A service for events, uploads, disconnects and WebSockets. Run it with a port as argument."""

import asyncio
import base64
import hashlib
import sys
import time
from typing import cast

import uvloop

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
disconnect_times: dict[str, float] = {}
request_counts: dict[str, int] = {}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await _handle_request(reader, writer):
            pass
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _handle_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.split("\r\n")
    path = lines[0].split(" ")[1].removeprefix("/rag")
    fields = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:]) if k}
    if path.startswith("/events"):
        return await _send_events(writer)
    if path.startswith("/hang/"):
        await reader.read()
        disconnect_times[path[6:]] = time.monotonic()
        return False
    if path.startswith("/disconnect-time/"):
        return await _respond(
            writer, str(disconnect_times.get(path.removeprefix("/disconnect-time/"), 0)).encode()
        )
    if path.startswith("/stale/"):
        request_counts[path] = request_counts.get(path, 0) + 1
        # Like a server whose idle timeout is about to expire: a request that arrives now is unread
        # when the connection is closed.
        cast(asyncio.ReadTransport, writer.transport).pause_reading()
        await _respond(writer, b"ok")
        # Close at about the time of the next request, to provoke the race.
        await asyncio.sleep(0.002 + (len(request_counts) % 7) * 0.0004)
        return False
    if path.startswith("/socket"):
        return await _echo_websocket(reader, writer, fields["sec-websocket-key"])
    size = await _read_body(reader, fields)
    return await _respond(writer, str(size).encode())


async def _read_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> int:
    length = int(fields.get("content-length", 0))
    size = 0
    while size < length:
        piece = await reader.read(min(65536, length - size))
        if not piece:
            raise ConnectionError
        size += len(piece)
    if fields.get("transfer-encoding") == "chunked":
        while (chunk := int(await reader.readline(), 16)) > 0:
            await reader.readexactly(chunk + 2)
            size += chunk
        await reader.readline()
    return size


async def _respond(writer: asyncio.StreamWriter, body: bytes) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()
    return True


async def _send_events(writer: asyncio.StreamWriter) -> bool:
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    while True:
        event = b"data: %.6f\n\n" % time.monotonic()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(1)


async def _echo_websocket(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str
) -> bool:
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
    while data := await reader.read(65536):
        writer.write(data)
    return False


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
