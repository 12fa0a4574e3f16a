"""Streaming of request and response bodies, backpressure and client disconnects."""

import json
import resource
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.servers import wait_until
from tests.services.gateway.data_paths import RawClient

MEGABYTE = 1024 * 1024


def test_events_are_forwarded_immediately(edge, bearer):
    with RawClient(edge.port) as client:
        client.send(f"GET /rag/events HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
        client.read_head()
        delays = []
        for event in client.read_chunks():
            sent = float(event.decode().split()[2])
            delays.append(time.monotonic() - sent)

    assert len(delays) == 5
    assert sorted(delays)[2] < 0.02


@pytest.mark.alone
def test_client_disconnect_before_the_response_closes_the_service_connection(edge, bearer, echo):
    client = RawClient(edge.port)
    client.send(f"GET /rag/hang HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
    wait_until(lambda: echo.requests)

    disconnected_at = time.monotonic()
    client.close()

    assert echo.closed_early.wait(60)
    assert time.monotonic() - disconnected_at < 0.2


@pytest.mark.alone
def test_client_disconnect_during_a_stream_closes_the_service_connection(edge, bearer, echo):
    client = RawClient(edge.port)
    client.send(f"GET /rag/endless HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
    client.read_head()
    client.close()

    assert echo.closed_early.wait(60)
    wait_until(lambda: edge.call(lambda: edge.state.metrics.open_streams == 0))


def test_large_upload_is_streamed_without_buffering(edge_for, bearer):
    edge = edge_for(RAG_MAX_UPLOAD_BYTES=str(200 * MEGABYTE))
    pieces, piece = 100, b"x" * MEGABYTE
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with RawClient(edge.port, timeout=30) as client:
        head = f"POST /rag/sink HTTP/1.1\r\nHost: g\r\n{bearer}\r\nContent-Length: "
        client.send(f"{head}{pieces * MEGABYTE}\r\n\r\n".encode())
        for _ in range(pieces):
            client.send(piece)
        response = client.read_response()

    assert json.loads(response.body)["body_size"] == pieces * MEGABYTE
    # The echo service discards the body. Memory grows by the test's own data and socket buffers.
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert growth < 16 * 1024


def test_chunked_upload_is_forwarded(edge, bearer):
    with RawClient(edge.port, timeout=30) as client:
        head = (
            f"POST /rag/sink HTTP/1.1\r\nHost: g\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        client.send(head.encode())
        for _ in range(200):
            client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        client.send(b"0\r\n\r\n")
        response = client.read_response()

    assert json.loads(response.body)["body_size"] == 200 * 65536


def test_chunked_upload_over_the_limit_returns_413(edge_for, bearer, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text("[routes.rag]\nbody_limit = 100000\n")
    edge = edge_for(GATEWAY_ROUTES=str(table))
    with RawClient(edge.port) as client:
        head = (
            f"POST /rag/sink HTTP/1.1\r\nHost: g\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        client.send(head.encode())
        for _ in range(3):
            client.send(b"c350\r\n" + b"x" * 50000 + b"\r\n")
        response = client.read_response()
        assert (response.status, response.headers["connection"]) == (413, "close")
        assert json.loads(response.body)["code"] == "too_large"
        assert client.is_closed()


def test_slow_client_pauses_the_service_instead_of_buffering(edge, bearer, echo):
    with RawClient(edge.port) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(f"GET /rag/flood HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
        client.read_head()
        wait_until(lambda: echo.sent > 0)
        time.sleep(0.3)
        first = echo.sent
        time.sleep(0.3)

        assert echo.sent == first
        # Most of the sent data is in buffers of the kernel, and little in those of the gateway.
        (connection,) = edge.state.connections
        assert 0 < connection.transport.get_write_buffer_size() < MEGABYTE
        assert first < 2 * get_max_kernel_buffer("wmem") + get_max_kernel_buffer("rmem") + MEGABYTE


def get_max_kernel_buffer(buffer: str) -> int:
    """Return the maximum size in bytes of a socket's kernel buffer, `wmem` or `rmem`."""
    return int(Path(f"/proc/sys/net/ipv4/tcp_{buffer}").read_text().split()[2])


def test_early_error_response_ends_the_upload(edge, bearer):
    with RawClient(edge.port) as client:
        head = f"POST /rag/early-413 HTTP/1.1\r\nHost: g\r\n{bearer}\r\n"
        client.send(head.encode() + b"Content-Length: 50000000\r\n\r\n" + b"x" * 100_000)
        response = client.read_response()

    assert response.status == 413
    assert response.headers["connection"] == "close"


def test_100_continue_is_sent_after_admission(edge, bearer, echo):
    with RawClient(edge.port) as client:
        client.send(
            f"POST /rag/d HTTP/1.1\r\nHost: g\r\n{bearer}\r\nContent-Length: 5\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert client.read_head()[0] == 100
        client.send(b"hello")
        assert json.loads(client.read_response().body)["body_size"] == 5
    assert "expect" not in {name.lower() for name, _ in echo.requests[0]["headers"]}


def test_slow_clients_do_not_delay_others(edge, bearer):
    slow_clients = [RawClient(edge.port) for _ in range(200)]
    for slow_client in slow_clients:
        slow_client.send(b"POST /rag/x HTTP/1.1\r\nHost: g\r\n")
    try:
        with RawClient(edge.port) as quick:
            started = time.monotonic()
            for _ in range(20):
                assert quick.request("GET", "/rag/x", bearer).status == 200
            # The slow clients are disconnected after 10 s.
            assert time.monotonic() - started < 8
    finally:
        for slow_client in slow_clients:
            slow_client.close()


@pytest.mark.parametrize("rounds", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_aborted_requests_leak_no_connections(edge_for, bearer, echo, rounds):
    edge = edge_for(RATE_LIMIT_TENANT="100000/minute", RATE_LIMIT_API="100000/minute")

    def count_open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    with RawClient(edge.port) as client:
        assert client.request("GET", "/rag/x", bearer).status == 200
    wait_until(lambda: not edge.state.connections)
    before = count_open_files()
    for round_ in range(rounds):
        client = RawClient(edge.port)
        path = ("/rag/hang", "/rag/endless", "/rag/x")[round_ % 3]
        client.send(f"GET {path} HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
        if round_ % 2:
            client.socket.recv(1) if path != "/rag/hang" else None
        client.close()

    wait_until(lambda: not edge.state.connections)
    group = edge.state.forwarder.instance_groups["rag"]
    wait_until(lambda: group.outstanding == 0)
    assert edge.state.metrics.open_streams == 0
    assert group.instances[0].outstanding == 0
    wait_until(lambda: count_open_files() <= before + 4)


def test_responses_are_never_mixed_up_between_clients(edge, identities, echo):
    """Send requests of twenty clients over one pool; each must get its own response."""
    mismatches, finished = [], []

    def call(number):
        bearer = f"Authorization: Bearer {identities.token(f'user-{number}')}"
        with RawClient(edge.port, timeout=20) as client:
            for turn in range(30):
                path = f"/rag/request/{number}/{turn}"
                if turn % 7 == 3:
                    with RawClient(edge.port) as aborted:
                        aborted.send(
                            f"GET {path}x HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode()
                        )
                response = client.request("GET", path, bearer)
                assert response.status == 200, (response.status, response.body)
                if json.loads(response.body)["target"] != path.removeprefix("/rag"):
                    mismatches.append((number, turn))
        finished.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(finished) == 20
    assert mismatches == []


@pytest.mark.parametrize("cut", [b"", b"POST /rag/d HT", b"POST /rag/d HTTP/1.1\r\nHost: g\r\n"])
def test_incomplete_request_is_not_forwarded(edge, cut, echo):
    with RawClient(edge.port) as client:
        client.send(cut)

    wait_until(lambda: not edge.state.connections)
    assert echo.requests == []


@pytest.mark.alone
def test_incomplete_body_aborts_the_service_connection(edge, bearer, echo):
    with RawClient(edge.port) as client:
        assert client.request("GET", "/rag/x", bearer).status == 200
        head = f"POST /rag/d HTTP/1.1\r\nHost: g\r\n{bearer}\r\nContent-Length: 10\r\n\r\n"
        client.send(head.encode() + b"half")
        time.sleep(0.1)

    assert echo.closed_early.wait(60)
    assert len(echo.requests) == 1


@pytest.mark.alone
def test_malformed_chunk_returns_400_and_aborts_the_service_connection(edge, bearer, echo):
    with RawClient(edge.port) as client:
        assert client.request("GET", "/rag/x", bearer).status == 200
        head = f"POST /rag/d HTTP/1.1\r\nHost: g\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head.encode() + b"5\r\nhello\r\n")
        time.sleep(0.1)
        client.send(b"zz\r\n")
        assert client.read_response().status == 400
        assert client.is_closed()

    assert echo.closed_early.wait(60)
    assert len(echo.requests) == 1
