"""Rate limits counted in Redis over one pipelined connection, and without Redis."""

import json
import time
from statistics import median

from backend.services.gateway.clients.rate_limit_counter import REDIS_TIMEOUT_SECONDS
from tests import servers, tls
from tests.servers import wait_until
from tests.services.gateway.data_paths import RawClient


def wait_until_shared(edge):
    wait_until(lambda: not edge.state.rate_limit_counter.is_local)
    return edge


def test_two_workers_share_a_limit(edge_for, bearer, valkey):
    edges = [wait_until_shared(edge_for(valkey.url, RATE_LIMIT_API="10/minute")) for _ in range(2)]
    statuses = []
    for edge in edges * 8:
        with RawClient(edge.port) as client:
            statuses.append(client.request("GET", "/rag/x", bearer).status)

    assert statuses == [200] * 10 + [429] * 6


def test_concurrent_requests_do_not_exceed_the_limit(edge_for, bearer, valkey):
    edge = wait_until_shared(edge_for(valkey.url, RATE_LIMIT_API="5/minute"))
    clients = [RawClient(edge.port) for _ in range(20)]
    for client in clients:
        client.send(f"GET /rag/x HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
    statuses = sorted(client.read_response().status for client in clients)
    for client in clients:
        client.close()

    assert statuses == [200] * 5 + [429] * 15


def test_unresponsive_redis_delays_one_request_and_is_used_again_later(edge_for, bearer, valkey):
    edge = wait_until_shared(edge_for(valkey.url))
    with RawClient(edge.port) as client:
        assert "x-ratelimit-scope" not in client.request("GET", "/rag/x", bearer).headers
        valkey.freeze()
        try:
            times = []
            for _ in range(20):
                started = time.monotonic()
                response = client.request("GET", "/rag/x", bearer)
                times.append(time.monotonic() - started)
                assert response.status == 200
                assert response.headers["x-ratelimit-scope"] == "process"
        finally:
            valkey.thaw()
        # One request waits until Redis counts as unavailable.
        assert median(times) < REDIS_TIMEOUT_SECONDS
        wait_until(lambda: not edge.state.rate_limit_counter.is_local)
        assert "x-ratelimit-scope" not in client.request("GET", "/rag/x", bearer).headers


def test_frozen_redis_is_reported_without_a_request(edge_for, valkey):
    edge = wait_until_shared(edge_for(valkey.url))
    wait_until(lambda: not edge.state.metrics.is_counting_locally)
    valkey.freeze()
    try:
        wait_until(lambda: edge.state.metrics.is_counting_locally)
    finally:
        valkey.thaw()

    wait_until(lambda: not edge.state.metrics.is_counting_locally)


def test_flushed_scripts_are_loaded_again(edge_for, bearer, valkey):
    edge = wait_until_shared(edge_for(valkey.url))
    with RawClient(edge.port) as client:
        assert client.request("GET", "/rag/x", bearer).status == 200
        valkey.client.script_flush()
        assert client.request("GET", "/rag/x", bearer).status == 200
        wait_until(lambda: not edge.state.rate_limit_counter.is_local)
        assert "x-ratelimit-scope" not in client.request("GET", "/rag/x", bearer).headers


def test_reserved_tokens_are_corrected_by_the_actual_usage(edge_for, bearer, valkey):
    edge = wait_until_shared(
        edge_for(valkey.url, LLM_TOKENS_USER="1500/day", LLM_TOKENS_USER_DAY="9000/day")
    )
    with RawClient(edge.port) as client:
        # 1000 tokens are reserved and 30 used, so that a second and a third request are allowed.
        for _ in range(3):
            response = client.request("POST", "/v1/chat/completions", bearer, body=b"{}")
            assert response.status == 200
            assert json.loads(response.body)["usage"]["total_tokens"] == 30
            time.sleep(0.05)
        # This request uses 1400 more, so that the next one exceeds the limit.
        assert (
            client.request("POST", "/agent/query", bearer, "X-Use: 1400", body=b"{}").status == 200
        )
        time.sleep(0.05)
        response = client.request("POST", "/agent/query", bearer, body=b"{}")

    assert response.status == 429
    assert "tokens" in json.loads(response.body)["detail"]


def test_limits_are_counted_in_redis_over_tls(edge_for, bearer, tmp_path):
    file = tls.certificate(tmp_path)
    with servers.valkey(tmp_path) as server, tls.tls_proxy(server.port, file) as door:
        url = f"rediss://localhost:{door}/0?ssl_ca_certs={file}"
        edge = wait_until_shared(edge_for(url, RATE_LIMIT_API="1/minute"))
        with RawClient(edge.port) as client:
            responses = [client.request("GET", "/rag/x", bearer) for _ in range(2)]

    assert [response.status for response in responses] == [200, 429]
    assert "x-ratelimit-scope" not in responses[0].headers


def test_limits_survive_a_failover_of_the_redis_cluster(edge_for, bearer, tmp_path):
    with servers.valkey_cluster(tmp_path) as cluster:
        edge = wait_until_shared(edge_for(cluster.members[0].url, RATE_LIMIT_API="2/hour"))
        with RawClient(edge.port) as client:
            assert [client.request("GET", "/rag/x", bearer).status for _ in range(3)] == [
                200,
                200,
                429,
            ]
            cluster.client.wait(1, 5000)

            cluster.slot_master().end()

            # Counted first in the process, which has no counts, then by the new master.
            assert client.request("GET", "/rag/x", bearer).status == 200
            wait_until(lambda: not edge.state.rate_limit_counter.is_local)
            assert client.request("GET", "/rag/x", bearer).status == 429
