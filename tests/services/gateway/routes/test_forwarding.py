"""What passes through the Flask view, and how it looks on the other side."""

import pytest

from backend.services.gateway.domain.forwarding import Forwarding


def received(response):
    return {name.lower(): value for name, value in response.json["headers"]}


def test_a_prefix_leads_to_its_service_and_is_taken_off(client, identities):
    response = client.get("/rag/documents?limit=5&q=a%20b", headers=identities.bearer())

    assert response.json["target"] == "/documents?limit=5&q=a%20b"


def test_openai_paths_reach_the_agent_as_they_are(client, identities):
    response = client.get("/v1/models", headers=identities.bearer())

    assert response.json["target"] == "/v1/models"


def test_what_the_path_does_not_name_is_no_route(client, identities):
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
def test_a_path_that_can_be_read_in_two_ways_is_refused(client, identities, target):
    response = client.get(
        "/",
        headers=identities.bearer(),
        environ_overrides={"REQUEST_URI": target, "RAW_URI": target},
    )

    assert (response.status_code, response.json["code"]) == (400, "bad_target")


def test_what_is_forwarded_is_the_normal_form(client, identities, echo):
    target = "/%72ag/%64ocuments/caf%c3%a9"
    response = client.get(
        "/rag/documents",
        headers=identities.bearer(),
        environ_overrides={"REQUEST_URI": target, "RAW_URI": target},
    )

    assert response.json["target"] == "/documents/caf%C3%A9"


def test_nobody_outside_can_speak_for_the_inside(client, identities):
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
        "X-Kept": "yes",
    }
    headers = received(client.get("/rag/x", headers=identities.bearer() | forged))

    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-host"] == "localhost"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-kept"] == "yes"
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


def test_a_trusted_proxy_is_believed_about_the_caller(app_for, identities):
    client = app_for(TRUSTED_PROXIES="127.0.0.0/8").test_client()

    headers = received(
        client.get(
            "/rag/x",
            headers=identities.bearer()
            | {"X-Forwarded-For": "6.6.6.6, 203.0.113.7", "X-Forwarded-Proto": "https"},
        )
    )

    assert headers["x-forwarded-for"] == "203.0.113.7"
    assert headers["x-forwarded-proto"] == "https"


def test_answers_keep_their_cookies_apart_and_lose_what_is_ours_to_say(client, identities):
    response = client.get("/rag/x", headers=identities.bearer())

    assert response.headers.getlist("Set-Cookie") == ["a=1", "b=2"]
    assert "echo" not in response.headers.get("Server", "")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"


def test_a_request_id_travels_all_the_way(client, identities):
    response = client.get("/rag/x", headers=identities.bearer() | {"X-Request-ID": "given-1"})

    assert response.headers["X-Request-ID"] == "given-1"
    assert received(response)["x-request-id"] == "given-1"


def test_who_shows_nothing_is_turned_away_except_where_it_is_public(client, echo):
    refused = client.get("/rag/documents")
    assert (refused.status_code, refused.json["code"]) == (401, "not_authenticated")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert echo.requests == []

    assert client.post("/auth/login", json={}).status_code == 200
    assert client.get("/rag/health").status_code == 200


def test_a_forged_token_is_turned_away(client, identities):
    response = client.get("/rag/x", headers={"Authorization": "Bearer forged"})

    assert (response.status_code, response.json["code"]) == (401, "invalid_token")


def test_an_ended_session_is_turned_away(client, identities):
    headers = identities.bearer()
    assert client.get("/rag/x", headers=headers).status_code == 200

    identities.revocations.end_session("session-of-user-ada", 600)

    assert client.get("/rag/x", headers=headers).json["code"] == "session_ended"


def test_the_eleventh_login_in_a_row_is_too_much(client):
    answers = [client.post("/auth/login", json={}) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    last = answers[-1]
    assert last.json["code"] == "rate_limited"
    assert int(last.headers["Retry-After"]) in range(1, 7)
    assert last.headers["X-RateLimit-Remaining"] == "0"
    assert answers[0].headers["RateLimit-Policy"] == '"sign-in";q=10;w=60'
    assert answers[0].headers["RateLimit"].startswith('"sign-in";r=9;t=')


def test_each_user_has_an_allowance_of_their_own(app_for, identities):
    client = app_for(RATE_LIMIT_API="3/minute").test_client()
    ada, bob = identities.bearer("ada"), identities.bearer("bob")

    statuses = [client.get("/rag/x", headers=ada).status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]
    assert client.get("/agent/x", headers=ada).status_code == 429
    assert client.get("/rag/x", headers=bob).status_code == 200


def test_a_tenant_has_one_allowance_for_all_its_members(app_for, identities):
    client = app_for(RATE_LIMIT_TENANT="2/minute").test_client()

    statuses = [
        client.get("/rag/x", headers=identities.bearer(user, tenant_id="acme")).status_code
        for user in ("ada", "bob", "eve")
    ]

    assert statuses == [200, 200, 429]


def test_uploads_pass_whole_by_length_and_in_chunks(client, identities):
    body = b"x" * 300_000
    by_length = client.post("/rag/documents", data=body, headers=identities.bearer())

    assert by_length.json["body_size"] == len(body)


def test_more_than_the_route_takes_is_refused(client, identities, echo):
    response = client.post("/auth/me", data=b"x" * (1024 * 1024 + 1), headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (413, "too_large")
    assert echo.requests == []


def test_a_service_that_is_down_is_named(client, identities, echo):
    echo.stop()

    response = client.get("/rag/x", headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (502, "upstream_unavailable")
    assert "'rag'" in response.json["detail"]


def test_a_service_that_keeps_failing_is_left_alone_for_a_while(client, identities, echo):
    echo.stop()
    statuses = [client.get("/rag/x", headers=identities.bearer()).status_code for _ in range(4)]

    assert statuses == [502, 502, 502, 503]
    assert client.get("/rag/x", headers=identities.bearer()).headers["Retry-After"] == "1"


def test_another_instance_is_asked_when_one_is_down(app_for, identities, echo):
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
def test_an_answer_that_is_none_becomes_a_problem(client, identities, path, status, code):
    response = client.post(f"/rag{path}", headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (status, code)


def test_a_service_that_is_too_slow_is_a_504(app_for, identities, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text("[routes.rag]\ntimeout = 0.2\n")
    client = app_for(GATEWAY_ROUTES=str(table)).test_client()

    response = client.get("/rag/hang", headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (504, "upstream_timeout")


def test_events_come_one_by_one(client, identities):
    response = client.get("/rag/events", headers=identities.bearer(), buffered=False)

    events = list(response.iter_encoded())

    assert len(events) == 5
    assert response.headers["Content-Type"] == "text/event-stream"


def test_pages_of_named_origins_may_read_answers_and_others_may_not(app_for, identities):
    client = app_for(CORS_ORIGINS="https://app.example").test_client()
    ours = {"Origin": "https://app.example"}
    asked = {"Access-Control-Request-Method": "POST"}

    preflight = client.options("/rag/documents", headers=ours | asked)
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]

    answer = client.get("/rag/x", headers=identities.bearer() | ours)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert answer.headers["Vary"] == "Origin"

    other = client.get("/rag/x", headers=identities.bearer() | {"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_connections_go_back_to_the_pool(client, identities, echo):
    for _ in range(5):
        assert client.get("/rag/x", headers=identities.bearer()).json
        assert client.get("/rag/events", headers=identities.bearer()).data

    assert echo.connections == 1


def test_nothing_stays_outstanding(app_for, identities):
    app = app_for()
    client = app.test_client()
    for path in ("/rag/x", "/rag/die", "/rag/garbage"):
        client.get(path, headers=identities.bearer())

    instances = app.extensions["backend.parts"][Forwarding].instances["rag"]

    assert instances.outstanding == 0
