"""Client channels: balancing, health checks, context of the current call, errors."""

from collections import Counter
from contextlib import ExitStack
from time import sleep

import grpc
import pytest

from backend.chassis.http import UpstreamProblem, UpstreamTimeout, UpstreamUnavailable
from backend.chassis.rpc.channels import RpcChannels, to_metadata, to_upstream_error
from backend.chassis.rpc.settings import RpcTarget
from backend.security.request_ids import request_id, request_id_scope
from tests.chassis.rpc.stand_ins import DESCRIPTOR, AnswerHandlers, create_services
from tests.rpc import RpcClient, run_rpc_server
from tests.servers import free_port, wait_until


@pytest.fixture
def channels():
    channels = RpcChannels()
    yield channels
    channels.close()


def test_calls_are_balanced_and_a_stopped_instance_gets_none(make_app, channels, ada):
    counts = Counter()

    def run_instance(name):
        handlers = AnswerHandlers()

        def answer(_request, _call):
            counts[name] += 1
            return name

        handlers.answer = answer
        return run_rpc_server(make_app(), create_services(handlers))

    with ExitStack() as stack:
        first = stack.enter_context(run_instance("first"))
        second = stack.enter_context(run_instance("second"))
        target = RpcTarget.parse(f"http://127.0.0.1:{first.port},http://127.0.0.1:{second.port}")
        client = RpcClient(
            channels.get_channel(target, DESCRIPTOR.full_name), create_services(AnswerHandlers())
        )

        def call():
            client.call("GenerateResponse", ada)
            return len(counts) == 2

        wait_until(call)
        counts.clear()
        for _ in range(10):
            call()
        assert counts == {"first": 5, "second": 5}

        first.stop()
        counts.clear()
        for _ in range(10):
            call()
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
    handlers.answer = lambda *_: sleep(0.7) or ""
    assert isinstance(get_error(client, headers=ada, timeout=0.1), UpstreamTimeout)
    unreachable = RpcTarget.parse(f"http://127.0.0.1:{free_port()}")
    nobody = RpcClient(channels.get_channel(unreachable, DESCRIPTOR.full_name), services)
    assert isinstance(get_error(nobody), UpstreamUnavailable)


def test_headers_become_metadata():
    assert to_metadata({"X-Request-ID": "a"}) == [("x-request-id", "a")]
