"""Client channels: balancing, health checks, context of the current call, errors."""

import socket
import struct
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from socket import SOCK_DGRAM

import grpc
import pytest

from backend.chassis.http import UpstreamProblem, UpstreamTimeout, UpstreamUnavailable
from backend.chassis.rpc.channels import RpcChannels, to_metadata, to_upstream_error
from backend.chassis.rpc.settings import RpcTarget
from backend.security.request_ids import request_id, request_id_scope
from tests.chassis.rpc.stand_ins import DESCRIPTOR, AnswerHandlers, create_services
from tests.rpc import WITHOUT_DRAIN, RpcClient, run_rpc_server
from tests.servers import free_port, wait_until


@pytest.fixture
def channels():
    channels = RpcChannels()
    yield channels
    channels.close()


def run_instance(app, name, counts, settings=WITHOUT_DRAIN):
    """Run a server that counts its calls in *counts* under *name*."""
    handlers = AnswerHandlers()

    def answer(_request, _call):
        counts[name] += 1
        return name

    handlers.answer = answer
    return run_rpc_server(app, create_services(handlers), settings)


def connect_to(channels, urls):
    channel = channels.get_channel(RpcTarget.parse(urls), DESCRIPTOR.full_name)
    return RpcClient(channel, create_services(AnswerHandlers()))


def test_calls_are_balanced_and_a_stopped_instance_gets_none(make_app, channels, ada):
    counts = Counter()
    with (
        run_instance(make_app(), "first", counts) as first,
        run_instance(make_app(), "second", counts) as second,
    ):
        urls = f"http://127.0.0.1:{first.port},http://127.0.0.1:{second.port}"
        client = connect_to(channels, urls)

        wait_until(lambda: client.call("GenerateResponse", ada) and len(counts) == 2)
        counts.clear()
        for _ in range(10):
            client.call("GenerateResponse", ada)
        assert counts == {"first": 5, "second": 5}

        first.stop()
        counts.clear()
        for _ in range(10):
            client.call("GenerateResponse", ada)
        assert counts == {"second": 10}


def test_every_address_of_a_host_name_is_an_instance(make_app, channels, ada):
    counts = Counter()
    with (
        run_instance(make_app(), "first", counts) as first,
        run_instance(
            make_app(), "second", counts, replace(WITHOUT_DRAIN, host="127.0.0.2", port=first.port)
        ),
        run_name_server("127.0.0.1", "127.0.0.2") as name_server,
    ):
        target = RpcTarget(f"dns://{name_server}/auth-rpc.example:{first.port}")
        channel = channels.get_channel(target, DESCRIPTOR.full_name)
        client = RpcClient(channel, create_services(AnswerHandlers()))

        wait_until(lambda: client.call("GenerateResponse", ada) and len(counts) == 2)


@contextmanager
def run_name_server(*addresses):
    """Run a DNS server that knows *addresses* for every name, and yield its address."""
    with socket.socket(type=SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        threading.Thread(target=answer_queries, args=(listener, addresses), daemon=True).start()
        yield "{}:{}".format(*listener.getsockname())


def answer_queries(listener, addresses):
    """Answer queries for A records, and all others with no record (RFC 1035, section 4)."""
    with suppress(OSError):
        while True:
            query, client = listener.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            is_a = query[end - 4 : end - 2] == b"\0\x01"
            records = [
                b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04" + socket.inet_aton(address)
                for address in (addresses if is_a else ())
            ]
            header = query[:2] + b"\x84\0\0\x01" + struct.pack("!HHH", len(records), 0, 0)
            listener.sendto(header + query[12:end] + b"".join(records), client)


def test_draining_instance_gets_no_calls_before_it_ends(make_app, channels, ada):
    counts = Counter()
    settings = replace(WITHOUT_DRAIN, drain=timedelta(seconds=5))
    with (
        run_instance(make_app(), "first", counts, settings) as first,
        run_instance(make_app(), "second", counts) as second,
    ):
        urls = f"http://127.0.0.1:{first.port},http://127.0.0.1:{second.port}"
        client = connect_to(channels, urls)
        wait_until(lambda: client.call("GenerateResponse", ada) and len(counts) == 2)

        stopping = threading.Thread(target=first.stop)
        stopping.start()
        # No call fails, at whatever moment of the drain it is sent.
        while stopping.is_alive():
            client.call("GenerateResponse", ada)
        counts.clear()
        for _ in range(10):
            client.call("GenerateResponse", ada)

        assert counts == {"second": 10}


def test_channel_is_shared_by_its_process(channels):
    target = RpcTarget.parse("http://localhost:1")

    assert channels.get_channel(target, "a") is channels.get_channel(target, "a")
    assert channels.get_channel(target, "a") is not channels.get_channel(target, "b")


def test_forked_process_opens_its_own_channel(channels, monkeypatch):
    target = RpcTarget.parse("http://localhost:1")
    inherited = channels.get_channel(target, "a")

    monkeypatch.setattr("os.getpid", lambda: -1)

    assert channels.get_channel(target, "a") is not inherited


def test_request_id_and_deadline_are_passed_on(server, handlers, services, channels, ada):
    seen = []

    def answer(_request, call):
        seen.append((request_id(), call.remaining_seconds))
        if len(seen) == 1:
            client.call("GenerateResponse", ada, timeout=None)
        return ""

    handlers.answer = answer
    target = RpcTarget.parse(f"http://127.0.0.1:{server.port}")
    client = RpcClient(channels.get_channel(target, DESCRIPTOR.full_name), services)

    with request_id_scope("req-1"):
        client.call("GenerateResponse", ada, timeout=7)

    assert [name for name, _ in seen] == ["req-1", "req-1"]
    assert all(remaining <= 7 for _, remaining in seen)


def test_errors_are_those_of_the_http_client(server, handlers, services, channels, ada):
    target = RpcTarget.parse(f"http://127.0.0.1:{server.port}")
    client = RpcClient(channels.get_channel(target, DESCRIPTOR.full_name), services)

    def get_error(client, **options):
        with pytest.raises(grpc.RpcError) as raised:
            client.call("GenerateResponse", **options)
        return to_upstream_error(raised.value)

    problem = get_error(client)
    assert isinstance(problem, UpstreamProblem)
    assert (problem.status, problem.code) == (401, "not_authenticated")
    release = threading.Event()
    handlers.answer = lambda *_: release.wait(10) and ""
    assert isinstance(get_error(client, headers=ada, timeout=0.1), UpstreamTimeout)
    release.set()
    wait_until(lambda: server.calls.active_calls == 0)
    unreachable = RpcTarget.parse(f"http://127.0.0.1:{free_port()}")
    unreachable_client = RpcClient(
        channels.get_channel(unreachable, DESCRIPTOR.full_name), services
    )
    assert isinstance(get_error(unreachable_client), UpstreamUnavailable)


def test_headers_become_metadata():
    assert to_metadata({"X-Request-ID": "a"}) == [("x-request-id", "a")]
