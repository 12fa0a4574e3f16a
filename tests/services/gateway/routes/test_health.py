"""Readiness and health of the gateway during outages of services and of Redis."""

import pytest

from tests.servers import free_port, valkey


def get_status(client, path):
    return client.get(path).status_code


@pytest.fixture
def redis_port(monkeypatch):
    """Return the port at which the gateway expects Redis. Nothing listens there yet."""
    port = free_port()
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
    return port


def test_gateway_is_ready_while_no_service_responds(client, echo):
    echo.stop()

    assert get_status(client, "/health/ready") == 200
    health = client.get("/health")
    assert health.status_code == 503
    assert health.json["status"] == "degraded"
    assert {service["status"] for service in health.json["services"].values()} == {"unhealthy"}


def test_gateway_is_not_ready_before_it_has_reached_redis(app_for, redis_port, tmp_path):
    client = app_for().test_client()

    unreachable = client.get("/health/ready")
    assert (unreachable.status_code, unreachable.json["code"]) == (503, "not_ready")
    assert "redis" in unreachable.json["detail"]

    with valkey(tmp_path, redis_port):
        assert get_status(client, "/health/ready") == 200


def test_later_outage_of_redis_degrades_health_but_not_readiness(
    app_for, redis_port, tmp_path, echo
):
    client = app_for(ADMIN_SERVICE_URL=echo.url).test_client()
    with valkey(tmp_path, redis_port) as server:
        assert get_status(client, "/health/ready") == 200
        healthy = client.get("/health").json
        server.freeze()

        assert get_status(client, "/health/ready") == 200
        frozen = client.get("/health")

    assert (healthy["status"], healthy["dependencies"]["redis"]["status"]) == ("healthy", "healthy")
    assert (frozen.status_code, frozen.json["status"]) == (200, "degraded")
    assert frozen.json["dependencies"]["redis"] == {"status": "unhealthy", "latency_ms": None}
    assert {service["status"] for service in frozen.json["services"].values()} == {"healthy"}
