"""WebSockets: a tunnel once both sides have agreed."""

import base64
import os
import time

import pytest

from backend.services.gateway.edge.tunnel import Frames
from tests.servers import wait_until
from tests.services.gateway.carriers import Caller

KEY = base64.b64encode(b"0123456789abcdef").decode()
UPGRADE = (
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: chat",
)


def frame(payload, *, masked=True):
    length = len(payload)
    head = bytes([0x82])
    mask = 0x80 if masked else 0
    if length < 126:
        head += bytes([mask | length])
    elif length < 65536:
        head += bytes([mask | 126]) + length.to_bytes(2)
    else:
        head += bytes([mask | 127]) + length.to_bytes(8)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def read_frame(caller):
    first, length = caller.reader.read(2)
    masked, length = length & 0x80, length & 0x7F
    if length > 125:
        length = int.from_bytes(caller.reader.read({126: 2, 127: 8}[length]))
    if masked:
        caller.reader.read(4)
    return first, caller.reader.read(length)


def test_frames_pass_both_ways_untouched(edge, bearer):
    with Caller(edge.port) as caller:
        answer = caller.ask("GET", "/agent/socket", bearer, *UPGRADE)
        assert answer.status == 101
        assert answer.headers["upgrade"] == "websocket"
        assert "sec-websocket-accept" in answer.headers
        assert answer.headers["sec-websocket-protocol"] == "chat"
        for payload in (b"hello", os.urandom(300), os.urandom(200_000)):
            caller.send(frame(payload))
            assert caller.reader.read(len(frame(payload))) == frame(payload)


def test_who_is_not_known_gets_no_tunnel(edge):
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/agent/socket", *UPGRADE).status == 401


@pytest.mark.parametrize("path", ["/agent/socket-refused", "/agent/x"])
def test_a_service_may_decline(edge, bearer, path):
    with Caller(edge.port) as caller:
        assert caller.ask("GET", path, bearer, *UPGRADE).status in (200, 403)
        assert caller.ask("GET", "/rag/x", bearer).status == 200


def test_a_false_handshake_is_a_502(edge, bearer):
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/agent/socket-false", bearer, *UPGRADE).status == 502


def test_switching_without_being_asked_is_a_502(edge, bearer):
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/agent/socket-false", bearer).status == 502


def test_one_caller_opens_only_so_many(edge_for, bearer, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text("[routes.agent]\nsockets_per_caller = 2\n")
    edge = edge_for(GATEWAY_ROUTES=str(table))
    callers = [Caller(edge.port) for _ in range(3)]
    statuses = [c.ask("GET", "/agent/socket", bearer, *UPGRADE).status for c in callers]
    for caller in callers:
        caller.close()

    assert statuses == [101, 101, 429]
    wait_until(lambda: not edge.carrier.sockets_of, 2)
    assert edge.carrier.numbers.sockets == 0
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/agent/socket", bearer, *UPGRADE).status == 101


def test_a_drain_closes_sockets_as_going_away(edge, bearer):
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/agent/socket", bearer, *UPGRADE).status == 101
        edge.run(edge.carrier.drain)
        assert read_frame(caller) == (0x88, b"\x03\xe9")
        assert caller.closed()


@pytest.mark.alone
def test_who_leaves_is_seen_on_the_other_side(edge, bearer, echo):
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/agent/socket", bearer, *UPGRADE).status == 101
    assert echo.closed_early.wait(2)


def test_frames_are_counted_at_any_split():
    wire = b"".join(frame(b"x" * size) for size in (0, 1, 125, 126, 300, 70_000))
    ends, at = [], 0
    for size in (0, 1, 125, 126, 300, 70_000):
        at += len(frame(b"x" * size))
        ends.append(at)
    for step in (1, 3, 1000):
        frames, at = Frames(), 0
        for start in range(0, len(wire), step):
            frames.feed(wire[start : start + step])
            at = min(start + step, len(wire))
            assert frames.between is (at in ends), at


def test_an_idle_socket_is_closed(edge, bearer, monkeypatch):
    monkeypatch.setattr("backend.services.gateway.edge.tunnel.IDLE_SECONDS", 0.3)
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/agent/socket", bearer, *UPGRADE).status == 101
        began = time.monotonic()
        assert read_frame(caller) == (0x88, b"\x03\xe9")
        assert time.monotonic() - began < 2
