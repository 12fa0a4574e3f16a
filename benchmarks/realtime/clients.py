"""Open many connections to a server, count what they receive, and report on standard output.

    python benchmarks/realtime/clients.py KIND PORT COUNT TOKEN

KIND is realtime, gateway, socketio or nchan. Prints `ready` when all are subscribed. For each line
on standard input it prints one line of JSON: number of deliveries, and latencies in milliseconds.
"""

import asyncio
import base64
import json
import os
import sys
import time
from typing import ClassVar

import uvloop

# Every 20th connection measures latencies; the others only count bytes.
_SAMPLE = 20
_BATCH = 50
_TIME_DIGITS = 17
# A ping may arrive together with publications.
_PING, _SOCKETIO_PING = b"\x81\x02{}", b"\x81\x012"


class Client(asyncio.Protocol):
    """One connection."""

    latencies: ClassVar[list[float]] = []
    received = 0
    subscribed = 0

    def __init__(self, kind: str, number: int, token: str) -> None:
        self._kind, self._token = kind, token
        self._measures = number % _SAMPLE == 0
        self._upgraded = self._is_ready = False
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        path = {
            "socketio": "/socket.io/?EIO=4&transport=websocket",
            "nchan": "/subscribe",
        }.get(self._kind, "/ws/connect")
        self.write(
            f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def send_text(self, text: str) -> None:
        payload = text.encode()
        length = len(payload)
        size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2)
        # A mask of zeros leaves the payload as it is.
        self.write(b"\x81" + size + b"\0\0\0\0" + payload)

    def data_received(self, data: bytes) -> None:
        self._answer_ping(data)
        if self._is_ready:
            self._count(data)
            return
        if not self._upgraded and b" 101 " in data:
            self._upgraded = True
            if self._kind in ("realtime", "gateway"):
                connect = {"id": 1, "connect": {"token": self._token}}
                subscribe = {"id": 2, "subscribe": {"channel": "packages"}}
                self.send_text(json.dumps(connect))
                self._next = json.dumps(subscribe)
            elif self._kind == "nchan":
                self._done()
        if self._kind == "socketio":
            if b'"pingInterval"' in data:
                self.send_text("40")
            if b"40{" in data:
                self._done()
        elif b'"connect"' in data:
            self.send_text(self._next)
        elif b'"subscribe"' in data:
            self._done()

    def _done(self) -> None:
        self._is_ready = True
        Client.subscribed += 1
        self.ready.set_result(None)

    def _count(self, data: bytes) -> None:
        # Each publication contains the marker once.
        Client.received += data.count(b"@")
        if self._measures:
            now = time.time()
            for part in data.split(b"@")[1:]:
                # A publication that arrives in two pieces is not measured.
                if len(part) > _TIME_DIGITS:
                    Client.latencies.append((now - float(part[:_TIME_DIGITS])) * 1000)

    def _answer_ping(self, data: bytes) -> None:
        if self._kind == "socketio":
            if _SOCKETIO_PING in data:
                self.send_text("3")
        elif _PING in data:
            self.send_text("{}")


async def main(kind: str, port: int, count: int, token: str) -> None:
    loop = asyncio.get_running_loop()
    connections = []
    for start in range(0, count, _BATCH):
        batch = [
            loop.create_connection(lambda n=n: Client(kind, n, token), "127.0.0.1", port)
            for n in range(start, min(count, start + _BATCH))
        ]
        opened = await asyncio.gather(*batch)
        connections += opened
        await asyncio.wait_for(asyncio.gather(*(client.ready for _, client in opened)), 60)
    print("ready", flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        latencies = sorted(Client.latencies)
        print(json.dumps({"received": Client.received, "latencies": latencies}), flush=True)
        Client.latencies.clear()
        Client.received = 0


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
