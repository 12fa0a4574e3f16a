"""Client connections: timeouts, access log, metrics, and the gateway's own routes."""

import json
import os
import re
import time

import pytest

from backend.chassis.observability.metrics_key import MetricsKey
from tests.servers import wait_until
from tests.services.gateway.data_paths import RawClient


@pytest.fixture
def short_timeouts(monkeypatch):
    connection = "backend.chassis.web.asyncio_server.connection"
    exchange = "backend.services.gateway.edge.handlers.proxy_exchange"
    for timeout in (
        f"{connection}.HEAD_TIMEOUT_SECONDS",
        f"{connection}.BODY_IDLE_TIMEOUT_SECONDS",
        f"{connection}.KEEP_ALIVE_TIMEOUT_SECONDS",
        f"{exchange}.BODY_IDLE_TIMEOUT_SECONDS",
        f"{exchange}.STREAM_IDLE_TIMEOUT_SECONDS",
    ):
        monkeypatch.setattr(timeout, 0.3)


def test_slow_request_head_returns_408(short_timeouts, edge):
    with RawClient(edge.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: g\r\n")
        response = client.read_response()
        assert (response.status, json.loads(response.body)["code"]) == (408, "request_timeout")
        assert client.is_closed()


def test_slow_request_body_returns_408(short_timeouts, edge, bearer, echo):
    with RawClient(edge.port) as client:
        head = f"POST /rag/d HTTP/1.1\r\nHost: g\r\n{bearer}\r\nContent-Length: 10\r\n\r\nhalf"
        client.send(head.encode())
        assert client.read_response().status == 408
        assert client.is_closed()
    assert echo.requests == []


def test_idle_connection_is_closed_without_a_response(short_timeouts, edge):
    with RawClient(edge.port) as client:
        assert client.request("GET", "/").status == 200
        assert client.is_closed()


def test_idle_response_stream_is_aborted(short_timeouts, edge, bearer):
    with RawClient(edge.port) as client:
        client.send(f"GET /rag/stalled-stream HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
        client.read_head()
        with pytest.raises((EOFError, ConnectionError)):
            list(client.read_chunks())


def read_log(edge, count):
    """Return the first *count* entries of the access log."""
    lines = b""
    deadline = time.monotonic() + 5
    while lines.count(b"\n") < count and time.monotonic() < deadline:
        lines += os.read(edge.log_reader, 65536)
    return [json.loads(line) for line in lines.splitlines()]


def test_access_log_has_one_line_per_request_and_a_reason_for_errors(edge, bearer):
    with RawClient(edge.port) as client:
        client.request("GET", "/rag/x?secret=1", bearer, "X-Request-ID: mine")
        client.request("GET", "/rag/x")
        client.request("GET", "/rag/die", bearer)
        client.request("GET", "/rag/a//b", bearer)
        client.send(b"nonsense\r\n\r\n")
        client.read_response()
    first, *errors = read_log(edge, 5)

    assert (first["method"], first["path"], first["status"]) == ("GET", "/rag/x", 200)
    assert (first["route"], first["user"], first["request_id"]) == ("rag", "user-ada", "mine")
    assert first["upstream"].startswith("127.0.0.1:")
    assert first["took_ms"] >= 0
    assert [line.get("reason") for line in errors] == [
        "not_authenticated",
        "upstream_unavailable",
        "bad_target",
        "malformed_request",
    ]


def test_metrics_are_exported_to_prometheus(edge, bearer):
    from prometheus_client import generate_latest
    from prometheus_client.core import CollectorRegistry

    with RawClient(edge.port) as client:
        client.request("GET", "/rag/x", bearer)
        client.request("GET", "/rag/x")
        client.request("GET", "/rag/garbage", bearer)
        wait_until(lambda: edge.state.metrics.requests.get(("rag", "GET", 200)))
        wait_until(lambda: edge.state.metrics.connections == 1)
        registry = CollectorRegistry()
        registry.register(edge.state.metrics)
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


def test_own_routes_are_served_by_the_flask_app(edge, bearer):
    with RawClient(edge.port) as client:
        health = client.request("GET", "/health")
        assert json.loads(health.body)["services"]["rag"]["status"] == "healthy"
        assert client.request("GET", "/health/live").status == 200
        assert client.request("GET", "/metrics", bearer).status == 403
        page = client.request("GET", "/docs")
        assert b"swagger" in page.body
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert client.request("GET", "/docs/swagger-ui.css").status == 200


def test_metrics_key_is_accepted_for_metrics_only(edge_for, identities):
    edge = edge_for(SECRET_KEY="a secret of the tests, long enough")
    key = MetricsKey("a secret of the tests, long enough").text
    header = f"Authorization: Bearer {key}"
    administrator = f"Authorization: Bearer {identities.token(permissions=['system:read'])}"

    with RawClient(edge.port) as client:
        assert b"http_server" in client.request("GET", "/metrics", header).body
        assert b"http_server" in client.request("GET", "/metrics", administrator).body
        assert client.request("GET", "/metrics").status == 401
        assert client.request("GET", "/metrics", f"{header[:-1]}x").status == 401
        assert client.request("GET", "/health/detailed", header).status == 401


def test_openapi_document_has_the_routes_of_all_services(edge, echo):
    echo.documents["/openapi.json"] = {
        "paths": {"/ask": {"get": {"operationId": "ask"}}, "/v1/models": {"get": {}}},
        "components": {"schemas": {"Thing": {}}},
    }
    with RawClient(edge.port) as client:
        document = json.loads(client.request("GET", "/openapi.json").body)

    assert {"/", "/health", "/auth/ask", "/rag/ask", "/agent/v1/models", "/v1/models"} <= set(
        document["paths"]
    )
    assert "RagThing" in document["components"]["schemas"]
    # POST / exists for conformance tests only.
    assert "post" not in document["paths"]["/"]


def test_health_returns_503_when_no_service_responds(edge, echo):
    echo.stop()
    with RawClient(edge.port) as client:
        response = client.request("GET", "/health")

    assert response.status == 503
    assert {service["status"] for service in json.loads(response.body)["services"].values()} == {
        "unhealthy"
    }


def test_request_over_the_concurrency_limit_returns_503(edge_for, bearer, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text("[routes.rag]\nconcurrency = 2\n")
    edge = edge_for(GATEWAY_ROUTES=str(table))
    busy_clients = [RawClient(edge.port) for _ in range(2)]
    for busy_client in busy_clients:
        busy_client.send(f"GET /rag/hang HTTP/1.1\r\nHost: g\r\n{bearer}\r\n\r\n".encode())
    group = edge.state.forwarder.instance_groups["rag"]
    wait_until(lambda: group.outstanding == 2)
    with RawClient(edge.port) as client:
        response = client.request("GET", "/rag/x", bearer)
    for busy_client in busy_clients:
        busy_client.close()

    assert (response.status, json.loads(response.body)["code"]) == (503, "overloaded")
    assert response.headers["retry-after"] == "1"
