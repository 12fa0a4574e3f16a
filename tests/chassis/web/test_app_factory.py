"""Routes and headers that every service has."""

import json
import re
import time
from dataclasses import replace

import pytest
from flask import Flask

from backend import __version__
from backend.chassis.observability.metrics_key import MetricsKey
from backend.chassis.web.app_factory import create_service, verify_routes
from backend.security import Permission
from tests.metrics import read_metrics_page, wait_for_metrics


def test_health_contains_the_service_name(client):
    health = client.get("/health")

    assert health.status_code == 200
    assert health.json["status"] == "healthy"
    assert health.json["service"] == "rag-service"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", health.json["timestamp"])


@pytest.mark.parametrize(
    ("service", "path", "status"),
    [
        ("auth", "/api/v1/auth/health", 200),
        ("chat", "/api/v1/chat/health", 200),
        ("chat", "/api/v2/chat/health", 200),
        ("auth", "/api/v2/auth/health", 404),
        ("auth", "/api/v1/chat/health", 404),
        ("auth", "/api/v1/authority/health", 404),
        ("packages", "/api/v1/packages/list", 200),
        ("packages", "/api/v1/agents/list", 200),
    ],
)
def test_paths_of_the_gateway_are_accepted_on_the_own_port(common, service, path, status):
    app = create_service(replace(common, name=service), {})
    for own in ("/packages/list", "/agents/list"):
        app.add_url_rule(own, own, lambda: "items")

    assert app.test_client().get(path).status_code == status


def test_ready_returns_503_while_a_dependency_is_down(common):
    def fail() -> None:
        raise ConnectionError("no route")

    client = create_service(common, {"database": fail}).test_client()

    ready = client.get("/health/ready")

    assert (ready.status_code, ready.json["code"]) == (503, "not_ready")
    assert "database" in ready.json["detail"]
    assert client.get("/health/live").status_code == 200


def test_detailed_health_requires_system_read(client, identities):
    reader = identities.bearer(permissions=[Permission.SYSTEM_READ])

    detailed = client.get("/health/detailed", headers=reader)

    assert detailed.json["dependencies"]["database"]["status"] == "healthy"
    assert client.get("/health/detailed", headers=identities.bearer()).status_code == 403
    assert client.get("/health/detailed").status_code == 401


def test_info_contains_version_and_uptime(client):
    assert set(client.get("/info").json) == {
        "service",
        "version",
        "python",
        "started_at",
        "uptime_seconds",
    }


def test_metrics_are_labelled_by_route_not_by_path(client):
    client.delete("/things/1")
    client.delete("/things/2")

    text = read_metrics_page(client)

    labels = 'http_response_status_code="204",http_route="/things/<int:number>"'
    assert f'_count{{http_request_method="DELETE",{labels}}} 2.0' in text
    assert "_created" not in text
    assert "/things/1" not in text


def test_unknown_methods_and_paths_create_no_labels(client):
    for word in ("BREW", "X" * 500, "GET-1"):
        client.open(f"/nowhere/{word}?{word}", method=word, headers={"Host": f"{word}.example"})

    text = read_metrics_page(client)

    assert 'http_request_method="_OTHER",http_response_status_code="404"' in text
    assert not re.search(r"BREW|XXX|GET-1", text)


def test_metrics_contain_process_and_disk_usage(client):
    text = wait_for_metrics(client, "data_folder_free_bytes ", "data_folder_size_bytes ")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    assert float(values["process_resident_memory_bytes"]) > 2**20
    assert float(values["process_cpu_seconds_total"]) > 0
    assert 0 < float(values["service_open_fds_ratio"]) < 1
    assert 0 <= time.time() - float(values["process_start_time_seconds"]) < 24 * 3600
    assert float(values["data_folder_free_bytes"]) <= float(values["data_folder_size_bytes"])
    assert f'version="{__version__}"' in next(name for name in values if "service_build" in name)


def test_verify_routes_rejects_a_route_without_guard(app):
    app = Flask("careless", static_folder=None)
    app.add_url_rule("/door", "door", lambda: "")

    with pytest.raises(RuntimeError, match="/door"):
        verify_routes(app)


def test_every_response_has_security_headers_and_request_id(client, identities):
    for response in (
        client.get("/health"),
        client.get("/nowhere"),
        client.post("/things", headers=identities.bearer()),
    ):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["X-Request-ID"]
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("get", "/nowhere", 404, "not_found"),
        ("put", "/things", 405, "method_not_allowed"),
        ("post", "/things", 409, "name_taken"),
    ],
)
def test_errors_are_problem_documents(client, identities, method, path, status, code):
    response = getattr(client, method)(path, json={"name": "taken"}, headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (status, code)
    assert response.content_type == "application/problem+json"
    assert {"type", "title", "status", "detail", "request_id"} <= set(response.json)


def test_path_with_nul_returns_404(client):
    assert client.get("/info%00").json["code"] == "not_found"


def test_wrong_method_returns_the_allowed_ones(client):
    assert "POST" in client.put("/things").headers["Allow"]


def test_unexpected_error_reveals_no_details(client, identities):
    response = client.post("/things", json={"name": "broken"}, headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (500, "internal_error")
    assert "SELECT" not in response.text
    assert "Traceback" not in response.text
    assert response.json["request_id"] == response.headers["X-Request-ID"]


def test_openapi_document_contains_every_response_of_a_route(client):
    document = client.get("/openapi.json").json
    operation = document["paths"]["/things"]["post"]

    assert document["openapi"].startswith("3.1")
    assert operation["x-permission"] == "rag:write"
    assert {"201", "400", "401", "403", "409", "413", "415", "422", "500", "503"} <= set(
        operation["responses"]
    )
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["$ref"].endswith("/Thing")
    assert document["paths"]["/things/{number}"]["delete"]["responses"]["204"]


def test_openapi_document_contains_stream_media_types_and_the_error_model(client):
    picture = client.get("/openapi.json").json["paths"]["/things/{number}/picture"]["get"]

    assert set(picture["responses"]["200"]["content"]) == {"image/png", "image/gif"}
    error = picture["responses"]["409"]["content"]["application/json"]["schema"]
    assert error["$ref"].endswith("/CreatedThing")


def test_docs_page_loads_everything_from_its_own_host(client):
    page = client.get("/docs")

    assert page.status_code == 200
    assert "http" not in page.text
    for asset in re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text):
        assert client.get(f"/{asset}").status_code == 200
    assert client.get("/docs/other.js").status_code == 404


def test_docs_page_closes_the_operations_group(client):
    script = client.get("/docs/start.js").text

    assert 'layoutActions.show(["operations-tag", "operations"], false)' in script


def test_service_without_redis_warns_once_that_revocations_are_not_shared(common, capsys):
    create_service(replace(common, redis_url=None), {})

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (warning,) = [line for line in lines if line["level"] == "warning"]
    assert "notices logouts and revocations of other processes only when" in warning["message"]
    assert "Set REDIS_URL" in warning["message"]


def test_metrics_require_the_metrics_key(client, common, identities):
    key = MetricsKey(common.secret_key.reveal()).text
    forged = {"Authorization": f"Bearer {key[:-1]}"}
    administrator = identities.bearer(permissions=[Permission.SYSTEM_READ])

    responses = [client.get("/metrics", headers=h) for h in ({}, forged, administrator)]

    assert [response.status_code for response in responses] == [401] * 3
    assert responses[0].json["code"] == "not_authenticated"
    assert client.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 200
