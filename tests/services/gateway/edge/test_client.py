"""The connection's own rules: time limits, the log, the numbers, the gateway's own routes."""

import json
import os
import re
import time

import pytest

from backend.services.gateway.domain.metrics_key import MetricsKey
from tests.servers import wait_until
from tests.services.gateway.carriers import Caller


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("backend.services.gateway.edge.client.HEAD_SECONDS", 0.3)
    monkeypatch.setattr("backend.services.gateway.edge.client.BODY_IDLE_SECONDS", 0.3)
    monkeypatch.setattr("backend.services.gateway.edge.passage.BODY_IDLE_SECONDS", 0.3)
    monkeypatch.setattr("backend.services.gateway.edge.client.KEEP_ALIVE_SECONDS", 0.3)
    monkeypatch.setattr("backend.services.gateway.edge.passage.STREAM_IDLE_SECONDS", 0.3)


def test_a_head_that_comes_too_slowly_is_a_408(impatient, edge):
    with Caller(edge.port) as caller:
        caller.send(b"GET / HTTP/1.1\r\nHost: g\r\n")
        answer = caller.answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (408, "request_timeout")
        assert caller.closed()


def test_a_body_that_comes_too_slowly_is_a_408(impatient, edge, bearer, echo):
    with Caller(edge.port) as caller:
        head = f"POST /rag/d HTTP/1.1\r\nHost: g\r\n{bearer}\r\nContent-Length: 10\r\n\r\nhalf"
        caller.send(head.encode())
        assert caller.answer().status == 408
        assert caller.closed()
    assert echo.requests == []


def test_an_idle_connection_is_closed_in_silence(impatient, edge):
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/").status == 200
        assert caller.closed()


def test_a_stream_that_falls_silent_is_cut(impatient, edge, bearer):
    with Caller(edge.port) as caller:
        caller.send(f"GET /rag/half-a-stream HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
        caller.head()
        with pytest.raises((EOFError, ConnectionError)):
            list(caller.chunks())


def logged(edge, count):
    """The first *count* lines of the access log."""
    lines = b""
    until = time.monotonic() + 5
    while lines.count(b"\n") < count and time.monotonic() < until:
        lines += os.read(edge.log_end, 65536)
    return [json.loads(line) for line in lines.splitlines()]


def test_every_request_leaves_one_line_and_the_gateways_answers_a_reason(edge, bearer):
    with Caller(edge.port) as caller:
        caller.ask("GET", "/rag/x?secret=1", bearer, "X-Request-ID: mine")
        caller.ask("GET", "/rag/x")
        caller.ask("GET", "/rag/die", bearer)
        caller.ask("GET", "/rag/a//b", bearer)
        caller.send(b"nonsense\r\n\r\n")
        caller.answer()
    first, *refused = logged(edge, 5)

    assert (first["method"], first["path"], first["status"]) == ("GET", "/rag/x", 200)
    assert (first["route"], first["user"], first["request_id"]) == ("rag", "user-ada", "mine")
    assert first["upstream"].startswith("127.0.0.1:")
    assert first["took_ms"] >= 0
    assert [line.get("reason") for line in refused] == [
        "not_authenticated",
        "upstream_unavailable",
        "bad_target",
        "malformed_request",
    ]


def test_the_numbers_are_there_for_prometheus(edge, bearer):
    from prometheus_client import generate_latest
    from prometheus_client.core import CollectorRegistry

    with Caller(edge.port) as caller:
        caller.ask("GET", "/rag/x", bearer)
        caller.ask("GET", "/rag/x")
        caller.ask("GET", "/rag/garbage", bearer)
        wait_until(lambda: edge.carrier.numbers.requests.get(("rag", "GET", 200)))
        wait_until(lambda: edge.carrier.numbers.connections == 1)
        registry = CollectorRegistry()
        registry.register(edge.carrier.numbers)
        text = generate_latest(registry).decode()

    rag = 'method="GET",route="rag",status="200"'
    assert f"gateway_request_duration_seconds_count{{{rag}}} 1.0" in text
    assert 'gateway_limit_decisions_total{limit="api",outcome="allowed_locally"} 2.0' in text
    assert 'gateway_upstream_errors_total{reason="bad_answer",service="rag"} 1.0' in text
    assert 'gateway_refusals_total{reason="not_authenticated"} 1.0' in text
    assert "gateway_limits_counted_locally 1.0" in text
    assert "gateway_connections 1.0" in text
    assert 'gateway_circuit_open{service="rag"} 0.0' in text
    assert 'gateway_active_requests{service="rag"} 0.0' in text
    assert 'gateway_upstream_duration_seconds_count{service="rag"} 1.0' in text
    assert re.search(r'gateway_sent_bytes_total{route="rag"} [1-9]', text)


def test_the_gateways_own_routes_answer(edge, bearer):
    with Caller(edge.port) as caller:
        health = caller.ask("GET", "/health")
        assert json.loads(health.body)["services"]["rag"]["status"] == "healthy"
        assert caller.ask("GET", "/health/live").status == 200
        assert b"http_server" in caller.ask("GET", "/metrics").body
        assert caller.ask("GET", "/metrics", "X-Forwarded-For: 1.2.3.4").status == 401
        page = caller.ask("GET", "/docs")
        assert b"swagger" in page.body
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert caller.ask("GET", "/docs/swagger-ui.css").status == 200


def test_prometheus_shows_a_key_that_opens_the_numbers_alone(edge_for):
    edge = edge_for(SECRET_KEY="a secret of the tests, long enough")
    key = MetricsKey("a secret of the tests, long enough").text
    shown = ("X-Forwarded-For: 1.2.3.4", f"Authorization: Bearer {key}")

    with Caller(edge.port) as caller:
        assert b"http_server" in caller.ask("GET", "/metrics", *shown).body
        assert caller.ask("GET", "/metrics", shown[0], f"{shown[1][:-1]}x").status == 401
        assert caller.ask("GET", "/health/detailed", *shown).status == 401


def test_one_document_holds_every_services_routes(edge, echo):
    echo.documents["/openapi.json"] = {
        "paths": {"/ask": {"get": {"operationId": "ask"}}, "/v1/models": {"get": {}}},
        "components": {"schemas": {"Thing": {}}},
    }
    with Caller(edge.port) as caller:
        document = json.loads(caller.ask("GET", "/openapi.json").body)

    assert {"/", "/health", "/auth/ask", "/rag/ask", "/agent/v1/models", "/v1/models"} <= set(
        document["paths"]
    )
    assert "RagThing" in document["components"]["schemas"]


def test_nothing_behind_answers_is_a_503(edge, echo):
    echo.stop()
    with Caller(edge.port) as caller:
        answer = caller.ask("GET", "/health")

    assert answer.status == 503
    assert {each["status"] for each in json.loads(answer.body)["services"].values()} == {
        "unhealthy"
    }


def test_a_service_takes_only_so_much_at_once(edge_for, bearer, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text("[routes.rag]\nconcurrency = 2\n")
    edge = edge_for(GATEWAY_ROUTES=str(table))
    busy = [Caller(edge.port) for _ in range(2)]
    for each in busy:
        each.send(f"GET /rag/hang HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
    instances = edge.carrier.forwarding.instances["rag"]
    wait_until(lambda: instances.outstanding == 2)
    with Caller(edge.port) as caller:
        answer = caller.ask("GET", "/rag/x", bearer)
    for each in busy:
        each.close()

    assert (answer.status, json.loads(answer.body)["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"


def test_a_token_that_ended_is_forgotten(edge, identities):
    soon = int(time.time()) + 1
    short = identities.token(exp=soon - 5)  # the verifier grants five seconds more
    with Caller(edge.port) as caller:
        assert caller.ask("GET", "/rag/x", f"Authorization: Bearer {short}").status == 200
        time.sleep(1.3)
        refused = caller.ask("GET", "/rag/x", f"Authorization: Bearer {short}")
    assert refused.status == 401
