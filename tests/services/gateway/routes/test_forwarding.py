"""Forwarding by the Flask view: paths, headers, limits, errors and streaming."""

import pytest

from backend.chassis.web.app_factory import get_component
from backend.services.gateway.domain.forwarding import RequestForwarder


def get_received_headers(response):
    return {name.lower(): value for name, value in response.json["headers"]}


def test_prefix_is_removed_before_forwarding(client, identities):
    response = client.get("/rag/documents?limit=5&q=a%20b", headers=identities.bearer())

    assert response.json["target"] == "/documents?limit=5&q=a%20b"


def test_openai_paths_are_forwarded_unchanged(client, identities):
    response = client.get("/v1/models", headers=identities.bearer())

    assert response.json["target"] == "/v1/models"


def test_unknown_and_closed_paths_return_404(client, identities):
    for path in ("/nope", "/authx/login", "/auth/metrics", "/auth/api-keys/exchange"):
        response = client.get(path, headers=identities.bearer())
        assert (response.status_code, response.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "target",
    [
        "/rag/../auth/login",
        "/rag/%2e%2e/auth/login",
        "/rag/%2E./x",
        "/rag/a%2fb",
        "/rag/a%5Cb",
        "/rag/a%00b",
        "/rag//documents",
        "/rag/x;y=1",
        "/rag/%0d%0aX-Injected:1",
        "/rag/%zz",
        "//rag/x",
    ],
)
def test_ambiguous_path_returns_400(client, identities, target):
    response = client.get(
        "/",
        headers=identities.bearer(),
        environ_overrides={"REQUEST_URI": target, "RAW_URI": target},
    )

    assert (response.status_code, response.json["code"]) == (400, "bad_target")


def test_normalized_path_is_forwarded(client, identities, echo):
    target = "/%72ag/%64ocuments/caf%c3%a9"
    response = client.get(
        "/rag/documents",
        headers=identities.bearer(),
        environ_overrides={"REQUEST_URI": target, "RAW_URI": target},
    )

    assert response.json["target"] == "/documents/caf%C3%A9"


def test_forged_internal_headers_are_dropped(client, identities):
    forged = {
        "X-Service-Token": "forged",
        "X-User-ID": "root",
        "X-Internal-Call": "1",
        "Forwarded": "for=1.2.3.4",
        "X-Forwarded-For": "1.2.3.4",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "Connection": "close, X-Forwarded-For, X-Request-ID",
        "TE": "trailers",
        "Proxy-Authorization": "Basic eDp5",
        "X-Custom": "yes",
    }
    headers = get_received_headers(client.get("/rag/x", headers=identities.bearer() | forged))

    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-host"] == "localhost"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-custom"] == "yes"
    assert headers["x-request-id"]
    assert not {
        "x-service-token",
        "x-user-id",
        "x-internal-call",
        "forwarded",
        "x-forwarded-port",
        "te",
        "proxy-authorization",
    } & set(headers)


def test_forwarded_headers_of_a_trusted_proxy_are_used(app_for, identities):
    client = app_for(TRUSTED_PROXIES="127.0.0.0/8").test_client()

    headers = get_received_headers(
        client.get(
            "/rag/x",
            headers=identities.bearer()
            | {"X-Forwarded-For": "6.6.6.6, 203.0.113.7", "X-Forwarded-Proto": "https"},
        )
    )

    assert headers["x-forwarded-for"] == "203.0.113.7"
    assert headers["x-forwarded-proto"] == "https"


def test_response_keeps_cookies_and_gets_security_headers(client, identities):
    response = client.get("/rag/x", headers=identities.bearer())

    assert response.headers.getlist("Set-Cookie") == ["a=1", "b=2"]
    assert "echo" not in response.headers.get("Server", "")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"


def test_request_id_is_forwarded_and_returned(client, identities):
    response = client.get("/rag/x", headers=identities.bearer() | {"X-Request-ID": "client-id-1"})

    assert response.headers["X-Request-ID"] == "client-id-1"
    assert get_received_headers(response)["x-request-id"] == "client-id-1"


def test_missing_credentials_return_401_except_on_public_paths(client, echo):
    response = client.get("/rag/documents")
    assert (response.status_code, response.json["code"]) == (401, "not_authenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert echo.requests == []

    assert client.post("/auth/login", json={}).status_code == 200
    assert client.get("/rag/health").status_code == 200


def test_forged_token_returns_401(client, identities):
    response = client.get("/rag/x", headers={"Authorization": "Bearer forged"})

    assert (response.status_code, response.json["code"]) == (401, "invalid_token")


def test_ended_session_returns_401(client, identities):
    headers = identities.bearer()
    assert client.get("/rag/x", headers=headers).status_code == 200

    identities.revocations.revoke_session("session-of-user-ada", 600)

    assert client.get("/rag/x", headers=headers).json["code"] == "session_ended"


def test_login_returns_429_after_ten_attempts(client):
    responses = [client.post("/auth/login", json={}) for _ in range(11)]

    assert [response.status_code for response in responses] == [200] * 10 + [429]
    last = responses[-1]
    assert last.json["code"] == "rate_limited"
    assert int(last.headers["Retry-After"]) in range(1, 7)
    assert last.headers["X-RateLimit-Remaining"] == "0"
    assert responses[0].headers["RateLimit-Policy"] == '"sign-in";q=10;w=60'
    assert responses[0].headers["RateLimit"].startswith('"sign-in";r=9;t=')


def test_each_user_has_a_separate_limit(app_for, identities):
    client = app_for(RATE_LIMIT_API="3/minute").test_client()
    ada, bob = identities.bearer("ada"), identities.bearer("bob")

    statuses = [client.get("/rag/x", headers=ada).status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]
    assert client.get("/agent/x", headers=ada).status_code == 429
    assert client.get("/rag/x", headers=bob).status_code == 200


def test_members_of_a_tenant_share_its_limit(app_for, identities):
    client = app_for(RATE_LIMIT_TENANT="2/minute").test_client()

    statuses = [
        client.get("/rag/x", headers=identities.bearer(user, tenant_id="acme")).status_code
        for user in ("ada", "bob", "eve")
    ]

    assert statuses == [200, 200, 429]


def test_upload_is_forwarded_completely(client, identities):
    body = b"x" * 300_000
    response = client.post("/rag/documents", data=body, headers=identities.bearer())

    assert response.json["body_size"] == len(body)


def test_body_over_the_route_limit_returns_413(client, identities, echo):
    response = client.post("/auth/me", data=b"x" * (1024 * 1024 + 1), headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (413, "too_large")
    assert echo.requests == []


def test_unavailable_service_returns_502_with_its_name(client, identities, echo):
    echo.stop()

    response = client.get("/rag/x", headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (502, "upstream_unavailable")
    assert "'rag'" in response.json["detail"]


def test_repeatedly_failing_service_returns_503_with_retry_after(client, identities, echo):
    echo.stop()
    statuses = [client.get("/rag/x", headers=identities.bearer()).status_code for _ in range(4)]

    assert statuses == [502, 502, 502, 503]
    assert client.get("/rag/x", headers=identities.bearer()).headers["Retry-After"] == "1"


def test_another_instance_is_used_when_one_is_down(app_for, identities, echo):
    client = app_for(RAG_SERVICE_URL=f"http://127.0.0.1:1,{echo.url}").test_client()

    statuses = [client.get("/rag/x", headers=identities.bearer()).status_code for _ in range(6)]

    assert statuses == [200] * 6


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/die", 502, "upstream_unavailable"),
        ("/garbage", 502, "upstream_unavailable"),
        ("/huge-head", 502, "upstream_unavailable"),
    ],
)
def test_invalid_response_returns_502(client, identities, path, status, code):
    response = client.post(f"/rag{path}", headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (status, code)


def test_slow_service_returns_504(app_for, identities, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text("[routes.rag]\ntimeout = 0.2\n")
    client = app_for(GATEWAY_ROUTES=str(table)).test_client()

    response = client.get("/rag/hang", headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (504, "upstream_timeout")


def test_events_are_streamed(client, identities):
    response = client.get("/rag/events", headers=identities.bearer(), buffered=False)

    events = list(response.iter_encoded())

    assert len(events) == 5
    assert response.headers["Content-Type"] == "text/event-stream"


def test_cors_headers_are_sent_to_allowed_origins_only(app_for, identities):
    client = app_for(CORS_ORIGINS="https://app.example").test_client()
    allowed = {"Origin": "https://app.example"}
    preflight_headers = {"Access-Control-Request-Method": "POST"}

    preflight = client.options("/rag/documents", headers=allowed | preflight_headers)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]

    response = client.get("/rag/x", headers=identities.bearer() | allowed)
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert response.headers["Vary"] == "Origin"

    other = client.get("/rag/x", headers=identities.bearer() | {"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://app.example.evil.test",
        "https://evil-app.example",
        "https://evil.test/https://app.example",
        "https://app.example@evil.test",
        "https://app.example:8443",
        "http://app.example",
        "https://app.example/",
        "https://app.example.",
        "https://evil.test, https://app.example",
        "https://app.example https://evil.test",
        "*",
        "file://",
    ],
)
def test_similar_origin_gets_no_cors_headers(app_for, identities, origin):
    client = app_for(CORS_ORIGINS="https://app.example").test_client()
    preflight_headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}

    responses = [
        client.options("/rag/documents", headers=preflight_headers),
        client.get("/rag/x", headers=identities.bearer() | {"Origin": origin}),
    ]

    for response in responses:
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Access-Control-Allow-Credentials" not in response.headers


def test_connections_are_reused(client, identities, echo):
    for _ in range(5):
        assert client.get("/rag/x", headers=identities.bearer()).json
        assert client.get("/rag/events", headers=identities.bearer()).data

    # The service closes one that is idle for ten seconds, as on a busy machine.
    assert echo.connections <= 2


def test_failed_requests_leave_no_outstanding_count(app_for, identities):
    app = app_for()
    client = app.test_client()
    for path in ("/rag/x", "/rag/die", "/rag/garbage"):
        client.get(path, headers=identities.bearer())

    group = get_component(app, RequestForwarder).instance_groups["rag"]

    assert group.outstanding == 0
