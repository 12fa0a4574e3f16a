"""The cases of RFC 6455 against an echo server on the service's code, and fuzzed frames."""

import random
import resource
import socket
import struct

import pytest

from backend.services.realtime.edge.frames import encode_text_frame
from backend.services.realtime.edge.websocket import WebSocket
from tests.services.realtime.edge.rfc6455_cases import (
    BINARY,
    CLOSE,
    Case,
    close,
    frame,
    list_cases,
)

_HANDSHAKE = (
    b"GET /ws/connect HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Echo(WebSocket):
    """Sends each message back."""

    def opened(self):
        if self._timer is not None:
            self._timer.cancel()

    def message_received(self, message):
        self.write(encode_text_frame(message.encode()))

    def binary_received(self, message):
        data = bytearray(encode_text_frame(message))
        data[0] = 0x80 | BINARY
        self.write(bytes(data))


@pytest.fixture
def echo(start, monkeypatch):
    monkeypatch.setattr("backend.services.realtime.edge.handshake.CentrifugeSession", Echo)
    return start(limits={"message_bytes": 8 << 20, "queued_bytes": 16 << 20})


class Peer:
    """A raw WebSocket client."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(_HANDSHAKE)
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self.socket.recv(4096)
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except ConnectionError:
            return  # The server has already closed the connection.

    def _read(self, size):
        pieces = [self._buffer]
        length = len(self._buffer)
        while length < size:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError
            pieces.append(data)
            length += len(data)
        data = b"".join(pieces)
        self._buffer = data[size:]
        return data[:size]

    def read_frame(self):
        first, second = self._read(2)
        assert not second & 0x80, "a server must not mask"
        length = second & 0x7F
        if length > 125:
            size = 2 if length == 126 else 8
            length = int.from_bytes(self._read(size))
        payload = self._read(length)
        assert first & 0x80
        opcode = first & 0x0F
        if opcode == CLOSE:
            return opcode, struct.unpack("!H", payload[:2])[0] if payload else None
        return opcode, payload

    def is_closed(self):
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


def run_case(port: int, case: Case) -> str:
    """Return what differs from the expected behaviour, or ""."""
    with Peer(port) as peer:
        sent = b"".join(case.sent)
        if case.chop:
            for start in range(0, len(sent), case.chop):
                peer.send(sent[start : start + case.chop])
        else:
            for piece in case.sent:
                peer.send(piece)
        replies = list(case.replies)
        if not replies or replies[-1][0] != CLOSE:
            peer.send(close())
            replies.append((CLOSE, 1000))
        for expected in replies:
            try:
                received = peer.read_frame()
            except (EOFError, OSError) as error:
                return f"{case.name}: {error!r} instead of {str(expected)[:60]}"
            if expected == (CLOSE, None) and received[0] == CLOSE:
                continue
            if received != expected:
                return f"{case.name}: {str(received)[:60]} instead of {str(expected)[:60]}"
        return "" if peer.is_closed() else f"{case.name}: the connection stays open"


def test_cases_of_rfc_6455(echo):
    cases = list(list_cases())
    failures = [failure for case in cases if (failure := run_case(echo.port, case))]
    assert failures == []
    assert len(cases) > 240


def test_unmasked_frame_closes_the_connection(echo):
    with Peer(echo.port) as peer:
        peer.send(encode_text_frame(b"Hello"))
        assert peer.read_frame() == (CLOSE, 1002)
        assert peer.is_closed()


def test_fuzzed_frames_neither_stop_the_service_nor_use_memory(start, identities):
    realtime = start()
    chance = random.Random(6455)  # noqa: S311 - repeatable, not secret
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(300):
        with Peer(realtime.port) as peer:
            for _ in range(chance.randint(1, 6)):
                payload = chance.randbytes(chance.choice((0, 1, 2, 125, 126, 1000, 70_000)))
                data = bytearray(frame(chance.randint(0, 15), payload, fin=chance.random() < 0.7))
                for _ in range(chance.randint(0, 3)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                peer.send(bytes(data))
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert growth < 64 * 1024  # KB
    token = identities.token(permissions=("packages:read",))
    with realtime.connect() as client:
        client.authenticate(token)
        assert "subscribe" in client.subscribe("packages")
