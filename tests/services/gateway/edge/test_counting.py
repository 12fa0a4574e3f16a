"""Limits counted through one pipelined connection, and what happens when Redis is not there."""

import json
import time

from tests import servers, tls
from tests.servers import wait_until
from tests.services.gateway.carriers import Caller


def ready(edge):
    wait_until(lambda: not edge.carrier.counting.local)
    return edge


def test_two_edges_share_one_allowance(edge_for, bearer, valkey):
    edges = [ready(edge_for(valkey.url, RATE_LIMIT_API="10/minute")) for _ in range(2)]
    statuses = []
    for edge in edges * 8:
        with Caller(edge.port) as caller:
            statuses.append(caller.ask("GET", "/rag/x", bearer).status)

    assert statuses == [200] * 10 + [429] * 6


def test_requests_sent_together_are_decided_one_by_one(edge_for, bearer, valkey):
    edge = ready(edge_for(valkey.url, RATE_LIMIT_API="5/minute"))
    callers = [Caller(edge.port) for _ in range(20)]
    for caller in callers:
        caller.send(f"GET /rag/x HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
    statuses = sorted(caller.answer().status for caller in callers)
    for caller in callers:
        caller.close()

    assert statuses == [200] * 5 + [429] * 15


def test_a_frozen_redis_slows_one_request_and_is_found_again(edge_for, bearer, valkey):
    edge = ready(edge_for(valkey.url))
    with Caller(edge.port) as caller:
        assert "x-ratelimit-scope" not in caller.ask("GET", "/rag/x", bearer).headers
        valkey.freeze()
        try:
            times = []
            for _ in range(20):
                began = time.monotonic()
                answer = caller.ask("GET", "/rag/x", bearer)
                times.append(time.monotonic() - began)
                assert answer.status == 200
                assert answer.headers["x-ratelimit-scope"] == "process"
        finally:
            valkey.thaw()
        assert times[0] < 0.3
        assert sorted(times[1:])[-2] < 0.05
        wait_until(lambda: not edge.carrier.counting.local)
        assert "x-ratelimit-scope" not in caller.ask("GET", "/rag/x", bearer).headers


def test_a_redis_that_comes_back_empty_counts_on(edge_for, bearer, valkey):
    edge = ready(edge_for(valkey.url))
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/rag/x", bearer).status == 200
        valkey.client.script_flush()
        assert caller.ask("GET", "/rag/x", bearer).status == 200
        wait_until(lambda: not edge.carrier.counting.local)
        assert "x-ratelimit-scope" not in caller.ask("GET", "/rag/x", bearer).headers


def test_tokens_are_reserved_and_then_settled_by_what_was_used(edge_for, bearer, valkey):
    edge = ready(edge_for(valkey.url, LLM_TOKENS_USER="1500/day", LLM_TOKENS_USER_DAY="9000/day"))
    with Caller(edge.port) as caller:
        # 1000 are reserved and 30 used, so that a second and a third fit.
        for _ in range(3):
            answer = caller.ask("POST", "/v1/chat/completions", bearer, body=b"{}")
            assert answer.status == 200
            assert json.loads(answer.body)["usage"]["total_tokens"] == 30
            time.sleep(0.05)
        # This one uses 1400 more, so that the next finds nothing left.
        assert caller.ask("POST", "/agent/query", bearer, "X-Use: 1400", body=b"{}").status == 200
        time.sleep(0.05)
        refused = caller.ask("POST", "/agent/query", bearer, body=b"{}")

    assert refused.status == 429
    assert "tokens" in json.loads(refused.body)["detail"]


def test_limits_are_counted_over_tls(edge_for, bearer, tmp_path):
    file = tls.certificate(tmp_path)
    with servers.valkey(tmp_path) as server, tls.in_front_of(server.port, file) as door:
        url = f"rediss://localhost:{door}/0?ssl_ca_certs={file}"
        edge = ready(edge_for(url, RATE_LIMIT_API="1/minute"))
        with Caller(edge.port) as caller:
            answers = [caller.ask("GET", "/rag/x", bearer) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 429]
    assert "x-ratelimit-scope" not in answers[0].headers


def test_a_cluster_goes_on_counting_when_the_master_is_killed(edge_for, bearer, tmp_path):
    with servers.valkey_cluster(tmp_path) as cluster:
        edge = ready(edge_for(cluster.members[0].url, RATE_LIMIT_API="2/hour"))
        with Caller(edge.port) as caller:
            assert [caller.ask("GET", "/rag/x", bearer).status for _ in range(3)] == [200, 200, 429]
            cluster.client.wait(1, 5000)

            cluster.holder().end()

            # At first in the process, which has not counted yet; then by the one that took over.
            assert caller.ask("GET", "/rag/x", bearer).status == 200
            wait_until(lambda: not edge.carrier.counting.local)
            assert caller.ask("GET", "/rag/x", bearer).status == 429
