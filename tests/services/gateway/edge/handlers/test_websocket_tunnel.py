"""WebSocket tunnels: handshake, limits, frames and closing."""

import base64
import os

import pytest

from backend.services.gateway.edge.handlers.websocket_tunnel import FrameBoundaryTracker
from tests.servers import wait_until
from tests.services.gateway.data_paths import RawClient

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


def read_frame(client):
    first, length = client.reader.read(2)
    masked, length = length & 0x80, length & 0x7F
    if length > 125:
        length = int.from_bytes(client.reader.read({126: 2, 127: 8}[length]))
    if masked:
        client.reader.read(4)
    return first, client.reader.read(length)


def test_frames_are_forwarded_unchanged_in_both_directions(edge, bearer):
    with RawClient(edge.port) as client:
        response = client.request("GET", "/agent/socket", bearer, *UPGRADE)
        assert response.status == 101
        assert response.headers["upgrade"] == "websocket"
        assert "sec-websocket-accept" in response.headers
        assert response.headers["sec-websocket-protocol"] == "chat"
        for payload in (b"hello", os.urandom(300), os.urandom(200_000)):
            client.send(frame(payload))
            assert client.reader.read(len(frame(payload))) == frame(payload)


def test_websocket_without_credentials_returns_401(edge):
    with RawClient(edge.port) as client:
        assert client.request("GET", "/agent/socket", *UPGRADE).status == 401


@pytest.mark.parametrize("path", ["/agent/socket-refused", "/agent/x"])
def test_service_can_reject_the_upgrade(edge, bearer, path):
    with RawClient(edge.port) as client:
        assert client.request("GET", path, bearer, *UPGRADE).status in (200, 403)
        assert client.request("GET", "/rag/x", bearer).status == 200


def test_invalid_accept_header_returns_502(edge, bearer):
    with RawClient(edge.port) as client:
        assert client.request("GET", "/agent/socket-false", bearer, *UPGRADE).status == 502


def test_unrequested_101_returns_502(edge, bearer):
    with RawClient(edge.port) as client:
        assert client.request("GET", "/agent/socket-false", bearer).status == 502


def test_websocket_over_the_limit_per_caller_returns_429(edge_for, bearer, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text("[routes.agent]\nsockets_per_caller = 2\n")
    edge = edge_for(GATEWAY_ROUTES=str(table))
    clients = [RawClient(edge.port) for _ in range(3)]
    statuses = [c.request("GET", "/agent/socket", bearer, *UPGRADE).status for c in clients]
    for client in clients:
        client.close()

    assert statuses == [101, 101, 429]
    wait_until(lambda: not edge.state.websockets_by_caller)
    assert edge.state.metrics.open_websockets == 0
    with RawClient(edge.port) as client:
        assert client.request("GET", "/agent/socket", bearer, *UPGRADE).status == 101


def test_drain_closes_websockets_with_1001(edge, bearer):
    with RawClient(edge.port) as client:
        assert client.request("GET", "/agent/socket", bearer, *UPGRADE).status == 101
        edge.call(edge.state.drain)
        assert read_frame(client) == (0x88, b"\x03\xe9")
        assert client.is_closed()


@pytest.mark.alone
def test_client_disconnect_closes_the_service_connection(edge, bearer, echo):
    with RawClient(edge.port) as client:
        assert client.request("GET", "/agent/socket", bearer, *UPGRADE).status == 101
    assert echo.closed_early.wait(60)


def test_frame_boundaries_are_found_at_any_split():
    wire = b"".join(frame(b"x" * size) for size in (0, 1, 125, 126, 300, 70_000))
    boundaries, position = [], 0
    for size in (0, 1, 125, 126, 300, 70_000):
        position += len(frame(b"x" * size))
        boundaries.append(position)
    for step in (1, 3, 1000):
        tracker, position = FrameBoundaryTracker(), 0
        for start in range(0, len(wire), step):
            tracker.feed(wire[start : start + step])
            position = min(start + step, len(wire))
            assert tracker.is_at_boundary is (position in boundaries), position


def test_idle_websocket_is_closed_with_1001(edge, bearer, monkeypatch):
    module = "backend.services.gateway.edge.handlers.websocket_tunnel"
    monkeypatch.setattr(f"{module}.IDLE_TIMEOUT_SECONDS", 0.3)
    with RawClient(edge.port) as client:
        assert client.request("GET", "/agent/socket", bearer, *UPGRADE).status == 101
        assert read_frame(client) == (0x88, b"\x03\xe9")


def test_realtime_sockets_need_no_credentials_and_are_limited_by_address(edge_for):
    edge = edge_for(GATEWAY_SOCKETS_PER_ADDRESS="2")
    with RawClient(edge.port) as first, RawClient(edge.port) as second:
        assert first.request("GET", "/ws/socket", *UPGRADE).status == 101
        assert second.request("GET", "/ws/socket", *UPGRADE).status == 101
        with RawClient(edge.port) as third:
            response = third.request("GET", "/ws/socket", *UPGRADE)
            assert response.status == 429
            assert b"too_many_sockets" in response.body
    wait_until(lambda: edge.call(lambda: edge.state.websockets_by_caller) == {})


def test_new_realtime_connections_are_limited_by_address(edge_for):
    edge = edge_for(RATE_LIMIT_CONNECT="3/minute")
    with RawClient(edge.port) as client:
        statuses = [client.request("GET", "/ws/x").status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


def test_routes_of_the_realtime_service_need_credentials(edge):
    with RawClient(edge.port) as client:
        assert client.request("GET", "/realtime/topics").status == 401
