"""Bodies in both directions: nothing waits that could go, nothing is kept that need not be."""

import json
import resource
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.servers import wait_until
from tests.services.gateway.carriers import Caller

MEGABYTE = 1024 * 1024


def test_each_event_leaves_at_once(edge, bearer):
    with Caller(edge.port) as caller:
        caller.send(f"GET /rag/events HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
        caller.head()
        delays = []
        for event in caller.chunks():
            sent = float(event.decode().split()[2])
            delays.append(time.monotonic() - sent)

    assert len(delays) == 5
    assert sorted(delays)[2] < 0.02


@pytest.mark.alone
def test_a_client_that_leaves_is_seen_by_the_service_before_the_first_byte(edge, bearer, echo):
    caller = Caller(edge.port)
    caller.send(f"GET /rag/hang HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
    wait_until(lambda: echo.requests)

    left = time.monotonic()
    caller.close()

    assert echo.closed_early.wait(2)
    assert time.monotonic() - left < 0.2


@pytest.mark.alone
def test_a_client_that_leaves_in_the_middle_is_seen_too(edge, bearer, echo):
    caller = Caller(edge.port)
    caller.send(f"GET /rag/endless HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
    caller.head()
    caller.close()

    assert echo.closed_early.wait(2)
    wait_until(lambda: edge.run(lambda: edge.carrier.numbers.streams == 0), 2)


def test_a_large_upload_passes_without_being_kept(edge_for, bearer):
    edge = edge_for(RAG_MAX_UPLOAD_BYTES=str(200 * MEGABYTE))
    pieces, piece = 100, b"x" * MEGABYTE
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Caller(edge.port, timeout=30) as caller:
        head = f"POST /rag/sink HTTP/1.1\r\nHost: g\r\n{bearer}\r\nContent-Length: "
        caller.send(f"{head}{pieces * MEGABYTE}\r\n\r\n".encode())
        for _ in range(pieces):
            caller.send(piece)
        answer = caller.answer()

    assert json.loads(answer.body)["body_size"] == pieces * MEGABYTE
    # The stand-in reads without keeping; what grows is the test's own piece and the pipes.
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 16 * 1024


def test_chunks_pass_as_chunks(edge, bearer):
    with Caller(edge.port, timeout=30) as caller:
        head = (
            f"POST /rag/sink HTTP/1.1\r\nHost: g\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        caller.send(head.encode())
        for _ in range(200):
            caller.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        caller.send(b"0\r\n\r\n")
        answer = caller.answer()

    assert json.loads(answer.body)["body_size"] == 200 * 65536


def test_a_body_in_chunks_is_counted_while_it_streams(edge_for, bearer, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text("[routes.rag]\nbody_limit = 100000\n")
    edge = edge_for(GATEWAY_ROUTES=str(table))
    with Caller(edge.port) as caller:
        head = (
            f"POST /rag/sink HTTP/1.1\r\nHost: g\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        caller.send(head.encode())
        for _ in range(3):
            caller.send(b"c350\r\n" + b"x" * 50000 + b"\r\n")
        answer = caller.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert json.loads(answer.body)["code"] == "too_large"
        assert caller.closed()


def test_a_slow_reader_holds_the_service_back_and_not_the_memory(edge, bearer, echo):
    with Caller(edge.port) as caller:
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.send(f"GET /rag/flood HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
        caller.head()
        wait_until(lambda: echo.sent > 0)
        time.sleep(0.3)
        first = echo.sent
        time.sleep(0.3)

        assert echo.sent == first
        # What was sent lies in the kernel's buffers, and hardly any of it in ours.
        (client,) = edge.carrier.clients
        assert 0 < client.transport.get_write_buffer_size() < MEGABYTE
        assert first < 2 * kernel_holds("wmem") + kernel_holds("rmem") + MEGABYTE


def kernel_holds(buffer: str) -> int:
    """The most bytes that the kernel keeps in one socket's sending or receiving buffer."""
    return int(Path(f"/proc/sys/net/ipv4/tcp_{buffer}").read_text().split()[2])


def test_an_early_refusal_ends_an_upload(edge, bearer):
    with Caller(edge.port) as caller:
        head = f"POST /rag/early-413 HTTP/1.1\r\nHost: g\r\n{bearer}\r\n"
        caller.send(head.encode() + b"Content-Length: 50000000\r\n\r\n" + b"x" * 100_000)
        answer = caller.answer()

    assert answer.status == 413
    assert answer.headers["connection"] == "close"


def test_the_go_ahead_comes_after_admission(edge, bearer, echo):
    with Caller(edge.port) as caller:
        caller.send(
            f"POST /rag/d HTTP/1.1\r\nHost: g\r\n{bearer}\r\nContent-Length: 5\r\n"
            "Expect: 100-continue\r\n\r\n".encode()
        )
        assert caller.head()[0] == 100
        caller.send(b"hello")
        assert json.loads(caller.answer().body)["body_size"] == 5
    assert "expect" not in {name.lower() for name, _ in echo.requests[0]["headers"]}


def test_slow_clients_by_the_hundred_hold_nobody_up(edge, bearer):
    slow = [Caller(edge.port) for _ in range(200)]
    for each in slow:
        each.send(b"POST /rag/x HTTP/1.1\r\nHost: g\r\n")
    try:
        with Caller(edge.port) as quick:
            began = time.monotonic()
            for _ in range(20):
                assert quick.ask("GET", "/rag/x", bearer).status == 200
            assert time.monotonic() - began < 2
    finally:
        for each in slow:
            each.close()


@pytest.mark.parametrize("rounds", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_come_and_go_and_leave_nothing(edge_for, bearer, echo, rounds):
    edge = edge_for(RATE_LIMIT_TENANT="100000/minute", RATE_LIMIT_API="100000/minute")

    def open_files():
        return len(list(Path("/proc/self/fd").iterdir()))

    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/rag/x", bearer).status == 200
    wait_until(lambda: not edge.carrier.clients)
    before = open_files()
    for round_ in range(rounds):
        caller = Caller(edge.port)
        path = ("/rag/hang", "/rag/endless", "/rag/x")[round_ % 3]
        caller.send(f"GET {path} HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
        if round_ % 2:
            caller.socket.recv(1) if path != "/rag/hang" else None
        caller.close()

    wait_until(lambda: not edge.carrier.clients)
    instances = edge.carrier.forwarding.instances["rag"]
    wait_until(lambda: instances.outstanding == 0)
    assert edge.carrier.numbers.streams == 0
    assert instances.all[0].outstanding == 0
    wait_until(lambda: open_files() <= before + 4)


def test_answers_never_cross(edge, identities, echo):
    """Twenty callers at once over one pool: each hears of its own request."""
    wrong, done = [], []

    def call(number):
        bearer = f"Authorization: Bearer {identities.token(f'user-{number}')}"
        with Caller(edge.port, timeout=20) as caller:
            for turn in range(30):
                path = f"/rag/of/{number}/{turn}"
                if turn % 7 == 3:
                    with Caller(edge.port) as aborted:
                        aborted.send(
                            f"GET {path}x HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode()
                        )
                answer = caller.ask("GET", path, bearer)
                if json.loads(answer.body)["target"] != path.removeprefix("/rag"):
                    wrong.append((number, turn))
        done.append(number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(done) == 20
    assert wrong == []


@pytest.mark.parametrize("cut", [b"", b"POST /rag/d HT", b"POST /rag/d HTTP/1.1\r\nHost: g\r\n"])
def test_half_a_request_reaches_nobody(edge, cut, echo):
    with Caller(edge.port) as caller:
        caller.send(cut)

    wait_until(lambda: not edge.carrier.clients)
    assert echo.requests == []


@pytest.mark.alone
def test_half_a_body_is_never_taken_for_a_whole_one(edge, bearer, echo):
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/rag/x", bearer).status == 200
        head = f"POST /rag/d HTTP/1.1\r\nHost: g\r\n{bearer}\r\nContent-Length: 10\r\n\r\n"
        caller.send(head.encode() + b"half")
        time.sleep(0.1)

    assert echo.closed_early.wait(3)
    assert len(echo.requests) == 1


@pytest.mark.alone
def test_broken_chunks_are_refused_and_not_passed_on(edge, bearer, echo):
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/rag/x", bearer).status == 200
        head = f"POST /rag/d HTTP/1.1\r\nHost: g\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\n"
        caller.send(head.encode() + b"5\r\nhello\r\n")
        time.sleep(0.1)
        caller.send(b"zz\r\n")
        assert caller.answer().status == 400
        assert caller.closed()

    assert echo.closed_early.wait(3)
    assert len(echo.requests) == 1
