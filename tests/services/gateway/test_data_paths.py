"""The forwarding policy, tested on both data paths: the Flask view and the asyncio edge."""

import gzip
import json

import pytest

from backend.security.service_tokens import GATEWAY_HEADER, ServiceTokens
from backend.security.tokens import InvalidToken
from tests.servers import wait_until
from tests.services.gateway.data_paths import (
    RawClient,
    RunningEdge,
    get_received_headers,
    serve_flask,
)


@pytest.fixture(params=["flask", "edge"])
def serve_app(request, app_for):
    """Return a function that serves a gateway with the given settings and returns its port."""
    import contextlib

    with contextlib.ExitStack() as stack:

        def serve(**variables):
            app = app_for(**variables)
            if request.param == "flask":
                return stack.enter_context(serve_flask(app))
            return stack.enter_context(RunningEdge(app)).port

        yield serve


@pytest.fixture
def port(serve_app):
    return serve_app()


@pytest.fixture
def bearer(identities):
    return f"Authorization: Bearer {identities.token()}"


CASES = [
    # name, method, target, authenticated, further header lines, status, code
    ("a public path", "POST", "/auth/login", False, (), 200, None),
    ("a path that needs credentials", "GET", "/rag/documents", False, (), 401, "not_authenticated"),
    ("the same path with credentials", "GET", "/rag/documents", True, (), 200, None),
    ("a forged token", "GET", "/rag/x", False, ("Authorization: Bearer x",), 401, "invalid_token"),
    (
        "another scheme",
        "GET",
        "/rag/x",
        False,
        ("Authorization: Basic eA==",),
        401,
        "not_authenticated",
    ),
    ("a bad key", "GET", "/rag/x", False, ("X-API-Key: x",), 401, "invalid_api_key"),
    ("a foreign tenant", "GET", "/rag/x", True, ("X-Tenant-ID: other",), 403, "not_a_member"),
    ("no route", "GET", "/nope", True, (), 404, "not_found"),
    ("a prefix of a prefix", "GET", "/ra", True, (), 404, "not_found"),
    ("a closed path", "GET", "/rag/metrics", True, (), 404, "not_found"),
    ("the closed API key exchange", "POST", "/auth/api-keys/exchange", True, (), 404, "not_found"),
    ("dots", "GET", "/rag/../auth/x", True, (), 400, "bad_target"),
    ("hidden dots", "GET", "/rag/%2e%2e/auth/x", True, (), 400, "bad_target"),
    ("a hidden slash", "GET", "/rag/a%2fb", True, (), 400, "bad_target"),
    ("a parameter", "GET", "/rag/a;b", True, (), 400, "bad_target"),
    ("an empty segment", "GET", "/rag//a", True, (), 400, "bad_target"),
    ("the OpenAI API", "GET", "/v1/models", True, (), 200, None),
    ("the index", "GET", "/", False, (), 200, None),
    ("POST to the index", "POST", "/", False, (), 200, None),
    ("the wrong method", "DELETE", "/health", False, (), 405, "method_not_allowed"),
    (
        "a service that closes the connection",
        "POST",
        "/rag/die",
        True,
        (),
        502,
        "upstream_unavailable",
    ),
    ("a response that is not HTTP", "GET", "/rag/garbage", True, (), 502, "upstream_unavailable"),
    (
        "a response head that is too large",
        "GET",
        "/rag/huge-head",
        True,
        (),
        502,
        "upstream_unavailable",
    ),
    ("no content", "GET", "/rag/no-content", True, (), 204, None),
    ("until close", "GET", "/rag/until-close", True, (), 200, None),
    ("events", "GET", "/rag/events", True, (), 200, None),
]


@pytest.mark.parametrize(
    ("method", "target", "authenticated", "extra_lines", "status", "code"),
    [pytest.param(*case[1:], id=case[0]) for case in CASES],
)
def test_both_data_paths_return_the_same_status_and_code(
    port, bearer, method, target, authenticated, extra_lines, status, code
):
    lines = (*((bearer,) if authenticated else ()), *extra_lines)
    with RawClient(port) as client:
        response = client.request(method, target, *lines)

    assert response.status == status
    assert "x-request-id" in response.headers
    assert response.headers["x-content-type-options"] == "nosniff"
    if code is not None:
        problem = json.loads(response.body)
        assert response.headers["content-type"] == "application/problem+json"
        assert (problem["code"], problem["status"]) == (code, status)
        assert problem["request_id"] == response.headers["x-request-id"]
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        ("http://other.example/rag/x?q=%20", "/x?q=%20", "other.example"),
        ("HTTP://other.example:8080/rag/x", "/x", "other.example:8080"),
        ("https://[::1]/v1/models", "/v1/models", "[::1]"),
    ],
)
def test_both_data_paths_accept_targets_in_absolute_form(port, bearer, target, path, host):
    with RawClient(port) as client:
        response = client.request("GET", target, bearer)
        health = client.request("GET", "http://other.example/health/live")
        following = client.request("GET", "/rag/x", bearer)

    assert json.loads(response.body)["target"] == path
    assert get_received_headers(response)["x-forwarded-host"] == host
    assert get_received_headers(following)["x-forwarded-host"] == "gateway.example"
    assert health.status == 200


OPENAI_ERRORS = [
    # name, method, target, authenticated, further header lines, status, code
    ("no credentials", "GET", "/v1/models", False, (), 401, "not_authenticated"),
    (
        "a wrong key",
        "GET",
        "/v1/models",
        False,
        ("Authorization: Bearer sk-x",),
        401,
        "invalid_token",
    ),
    ("another prefix", "GET", "/agent/v1/models", False, (), 401, "not_authenticated"),
    ("the prefix alone", "GET", "/v1", False, (), 401, "not_authenticated"),
    ("a foreign tenant", "GET", "/v1/models", True, ("X-Tenant-ID: other",), 403, "not_a_member"),
    ("an invalid path", "GET", "/v1/models/../x", True, (), 400, "bad_target"),
    ("a stopped service", "GET", "/v1/models", True, (), 502, "upstream_unavailable"),
    ("a large body", "POST", "/v1/x", True, ("Content-Length: 99999999",), 413, "too_large"),
    ("no token for audio", "POST", "/v1/audio/speech", False, (), 401, "not_authenticated"),
    (
        "a large recording",
        "POST",
        "/v1/audio/transcriptions",
        True,
        ("Content-Length: 99999999",),
        413,
        "too_large",
    ),
]


@pytest.mark.parametrize(
    ("method", "target", "authenticated", "extra_lines", "status", "code"),
    [pytest.param(*case[1:], id=case[0]) for case in OPENAI_ERRORS],
)
def test_errors_of_the_gateway_on_the_openai_api_have_openais_format(
    serve_app, bearer, method, target, authenticated, extra_lines, status, code
):
    lines = (*((bearer,) if authenticated else ()), *extra_lines)
    with RawClient(serve_app(AGENT_SERVICE_URL="http://127.0.0.1:1")) as client:
        response = client.request(method, target, *lines)

    error = json.loads(response.body)["error"]
    assert response.status == status
    assert response.headers["content-type"] == "application/json"
    assert response.get_all("content-type") == ["application/json"]
    assert (error["code"], error["param"]) == (code, None)
    assert " " in error["message"]
    assert error["type"]
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"


def test_rate_limit_of_the_openai_api_is_an_openai_error_on_both_data_paths(serve_app, bearer):
    with RawClient(serve_app(RATE_LIMIT_API="1/minute")) as client:
        client.request("GET", "/v1/models", bearer)
        response = client.request("GET", "/v1/models", bearer)

    error = json.loads(response.body)["error"]
    assert (response.status, error["type"], error["code"]) == (
        429, "rate_limit_error", "rate_limited",
    )  # fmt: skip
    assert response.headers["retry-after"]


def test_both_data_paths_forward_the_same_headers(port, bearer):
    forged = [
        "X-Service-Token: forged", "X-User-ID: root", "X-Internal-A: 1", "Forwarded: for=1.2.3.4",
        "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil", "X-Real-IP: 1.2.3.4",
        "Connection: keep-alive, X-Hop, X-Forwarded-For", "X-Hop: 1", "TE: trailers",
        "Keep-Alive: 5", "X-Custom: yes", "X-Request-ID: mine-1", "traceparent: 00-a-b-01",
    ]  # fmt: skip
    with RawClient(port) as client:
        response = client.request("GET", "/rag/x?q=%20", bearer, *forged)

    headers = get_received_headers(response)
    assert json.loads(response.body)["target"] == "/x?q=%20"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-host"] == "gateway.example"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-request-id"] == "mine-1" == response.headers["x-request-id"]
    assert headers["traceparent"] == "00-a-b-01"
    assert headers["x-custom"] == "yes"
    assert headers["host"].startswith("127.0.0.1:")
    assert not set(headers) & {
        "x-service-token", "x-user-id", "x-internal-a", "forwarded", "x-real-ip", "x-hop", "te",
        "keep-alive",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "X_Service_Token",
        "x_user_id",
        "X-User_ID",
        "X_Forwarded-For",
        "X-FORWARDED-FOR",
        "x-forwarded-prefix",
        "X-Forwarded-Server",
        "FORWARDED",
        "X-INTERNAL-GATEWAY",
        "X_Request_ID",
        "Content_Length",
        "Proxy-Connection",
        "Trailer",
        "Upgrade",
    ],
)
def test_both_data_paths_drop_other_spellings_of_gateway_headers(port, bearer, name):
    with RawClient(port) as client:
        response = client.request("GET", "/rag/x", bearer, f"{name}: forged-value")

    assert response.status == 200
    assert "forged-value" not in get_received_headers(response).values()


@pytest.mark.parametrize(
    "target",
    [
        "/rag/%6Detrics",
        "/%72ag/metrics",
        "/rag/metrics?",
        "/rag/metrics?x=/documents",
        "http://other.example/rag/metrics",
        "/rag/./metrics",
        "/rag/x/../metrics",
        "/rag/x/%2e%2e/metrics",
        "/rag/x/.%2E/metrics",
        "/rag/x/..;/metrics",
        "/rag//metrics",
        "/rag/metrics;x",
        "/rag/metrics%3bx",
        "/rag/metrics%00",
        "/rag/metrics%2f",
        "/rag/metrics%5c",
        "/rag/metrics#x",
        "/rag/metrics%0a",
        "/rag/%u006detrics",
        "/RAG/metrics",
        "/rag%2fmetrics",
        "/rag/..metrics",
    ],
)
def test_both_data_paths_reject_each_spelling_of_a_closed_path(port, bearer, target):
    with RawClient(port) as client:
        response = client.request("GET", target, bearer)

    assert response.status in (400, 404)
    assert json.loads(response.body)["code"] in ("bad_target", "not_found", "bad_request")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/rag/%2561uth", "/%2561uth"),
        ("/rag/%252e%252e/auth", "/%252e%252e/auth"),
        ("/rag/%c0%ae%c0%ae/auth", "/%C0%AE%C0%AE/auth"),
        ("/rag/%ef%bc%8f", "/%EF%BC%8F"),
        ("/rag/metrics%20", "/metrics%20"),
        ("/rag/METRICS", "/METRICS"),
    ],
)
def test_both_data_paths_decode_a_target_only_once(port, bearer, target, path):
    with RawClient(port) as client:
        response = client.request("GET", target, bearer)

    assert json.loads(response.body)["target"] == path


@pytest.mark.parametrize("name", ["Accept-Encoding", "accept-encoding"])
def test_both_data_paths_ask_for_encoded_responses_except_where_tokens_are_counted(
    port, bearer, echo, name
):
    with RawClient(port) as client:
        client.request("GET", "/rag/x", bearer, f"{name}: gzip, br;q=0.5")
        client.request("POST", "/v1/chat/completions", bearer, f"{name}: gzip", body=b"{}")
        client.request("POST", "/v1/chat/completions", bearer, body=b"{}")

    received = [
        [value for header, value in request["headers"] if header.lower() == "accept-encoding"]
        for request in echo.requests
        if not request["target"].startswith("/health")
    ]
    assert received == [["gzip, br;q=0.5"], ["identity"], []]


@pytest.mark.parametrize("target", ["/openapi.json", "/docs/swagger-ui-bundle.js"])
def test_large_documents_of_the_gateway_are_compressed_on_both_data_paths(port, target):
    with RawClient(port) as client:
        plain = client.request("GET", target)
        encoded = client.request("GET", target, "Accept-Encoding: gzip")
        head = client.request("HEAD", target, "Accept-Encoding: gzip")

    assert gzip.decompress(encoded.body) == plain.body
    assert encoded.headers["content-encoding"] == head.headers["content-encoding"] == "gzip"
    assert encoded.headers["content-length"] == head.headers["content-length"]
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]
    assert "Accept-Encoding" in head.headers["vary"]


def test_both_data_paths_prove_to_each_service_that_the_gateway_wrote_the_address(
    port, bearer, identities
):
    auth = ServiceTokens(identities.shared_secret, "auth-service")
    rag = ServiceTokens(identities.shared_secret, "rag-service")
    forged = f"{GATEWAY_HEADER}: forged"
    with RawClient(port) as client:
        to_auth = get_received_headers(client.request("POST", "/auth/login", forged))
        to_rag = get_received_headers(client.request("GET", "/rag/x", bearer, forged))

    assert auth.is_from_gateway(to_auth[GATEWAY_HEADER.lower()])
    assert rag.is_from_gateway(to_rag[GATEWAY_HEADER.lower()])
    assert not rag.is_from_gateway(to_auth[GATEWAY_HEADER.lower()])
    with pytest.raises(InvalidToken):
        rag.verify_caller(to_auth[GATEWAY_HEADER.lower()])


def test_both_data_paths_forward_sized_and_chunked_bodies(port, bearer):
    body = b"x" * 200_000
    with RawClient(port) as client:
        assert json.loads(client.request("POST", "/rag/d", bearer, body=body).body)[
            "body_size"
        ] == len(body)
    with RawClient(port) as client:
        head = f"POST /rag/d HTTP/1.1\r\nHost: g\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head.encode() + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        assert json.loads(client.read_response().body)["body_size"] == 11


def test_both_data_paths_return_413_for_a_large_body(port, bearer):
    with RawClient(port) as client:
        head = f"POST /auth/me HTTP/1.1\r\nHost: g\r\n{bearer}\r\nContent-Length: 99999999\r\n\r\n"
        client.send(head.encode())
        response = client.read_response()

    assert (response.status, json.loads(response.body)["code"]) == (413, "too_large")


def test_both_data_paths_return_rate_limit_headers(serve_app, bearer):
    with RawClient(serve_app(RATE_LIMIT_API="2/minute")) as client:
        responses = [client.request("GET", "/rag/x", bearer) for _ in range(3)]

    assert [response.status for response in responses] == [200, 200, 429]
    first, last = responses[0].headers, responses[2].headers
    assert first["ratelimit-policy"] == '"api";q=2;w=60, "tenant";q=2000;w=60'
    assert first["ratelimit"].startswith('"api";r=1;t=')
    assert (first["x-ratelimit-limit"], first["x-ratelimit-remaining"]) == ("2", "1")
    assert last["retry-after"] == "30"
    assert last["x-ratelimit-remaining"] == "0"
    assert json.loads(responses[2].body)["code"] == "rate_limited"


def test_both_data_paths_keep_cookies_and_drop_server_headers(port, bearer):
    with RawClient(port) as client:
        response = client.request("GET", "/rag/x", bearer)

    assert response.get_all("set-cookie") == ["a=1", "b=2"]
    assert "echo" not in response.headers.get("server", "")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-frame-options"] == "DENY"


def test_both_data_paths_pass_on_problem_responses_of_a_service(port, bearer):
    with RawClient(port) as client:
        response = client.request("GET", "/rag/problem", bearer)

    assert (response.status, json.loads(response.body)) == (409, {"code": "echo_conflict"})
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "7"


def test_both_data_paths_drop_response_headers_named_by_connection(port, bearer):
    with RawClient(port) as client:
        response = client.request("GET", "/rag/named-by-connection", bearer)

    assert "x-hop" not in response.headers
    assert response.headers["x-stays"] == "1"


def test_both_data_paths_answer_preflight_requests(serve_app, bearer):
    port = serve_app(CORS_ORIGINS="https://app.example")
    with RawClient(port) as client:
        preflight_headers = ("Origin: https://app.example", "Access-Control-Request-Method: POST")
        preflight = client.request("OPTIONS", "/rag/documents", *preflight_headers)
        response = client.request("GET", "/rag/x", bearer, "Origin: https://app.example")
        rejected = client.request("GET", "/rag/x", bearer, "Origin: https://evil.example")
        index = client.request("GET", "/", "Origin: https://app.example")

    assert preflight.status == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for allowed in (preflight, response, index):
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert allowed.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in rejected.headers


@pytest.mark.parametrize("origins", ["", "*", "https://app.example"])
def test_both_data_paths_let_the_service_of_visitors_decide_about_other_sites(
    serve_app, echo, origins
):
    port = serve_app(CORS_ORIGINS=origins)
    origin = "Origin: https://shop.example"
    with RawClient(port) as client:
        preflight = client.request(
            "OPTIONS", "/chat/web/acc_1/sessions", origin, "Access-Control-Request-Method: POST"
        )
        posted = client.request("POST", "/chat/web/acc_1/sessions", origin)
        page = client.request("GET", "/chat/web/acc_1", "Origin: https://app.example")
        script = client.request("GET", "/chat/widget.js", "Origin: https://app.example")

    assert [request["method"] for request in echo.requests] == ["OPTIONS", "POST", "GET", "GET"]
    for response in (preflight, posted, page):
        assert response.status == 204
        assert response.get_all("access-control-allow-origin") == ["https://shop.example"]
        assert response.get_all("access-control-allow-methods") == ["POST"]
        assert response.get_all("vary") == ["Origin"]
        assert "access-control-allow-credentials" not in response.headers
        assert "x-frame-options" not in response.headers
    # The service has sent no header, so there is none.
    assert "access-control-allow-origin" not in script.headers


def test_both_data_paths_drop_cors_headers_of_other_services(serve_app, bearer):
    port = serve_app(CORS_ORIGINS="https://app.example")
    with RawClient(port) as client:
        other = client.request("GET", "/rag/cors", bearer, "Origin: https://evil.example")
        listed = client.request("GET", "/chat/cors", bearer, "Origin: https://app.example")

    assert not [name for name in other.headers if name.startswith("access-control-")]
    assert listed.get_all("access-control-allow-origin") == ["https://app.example"]
    assert "access-control-allow-methods" not in listed.headers


def test_both_data_paths_limit_visitors_by_address(serve_app):
    port = serve_app(RATE_LIMIT_API="2/minute")
    with RawClient(port) as client:
        statuses = [
            client.request("POST", "/chat/web/acc_1/sessions", f"Authorization: Bearer {n}").status
            for n in range(3)
        ]
        script = client.request("GET", "/chat/widget.js")

    assert statuses == [204, 204, 429]
    assert script.status == 200


def test_both_data_paths_answer_head_without_a_body(port, bearer):
    with RawClient(port) as client:
        response = client.request("HEAD", "/rag/x", bearer)
        next_response = client.request("GET", "/rag/x", bearer)
        docs_head = client.request("HEAD", "/docs")
        docs = client.request("GET", "/docs")

    assert docs_head.headers["content-length"] == str(len(docs.body))
    assert response.status == 200
    assert int(response.headers["content-length"]) > 0
    assert next_response.status == 200


def test_both_data_paths_reject_an_ended_session(port, bearer, identities):
    with RawClient(port) as client:
        assert client.request("GET", "/rag/x", bearer).status == 200
        identities.revocations.revoke_session("session-of-user-ada", 600)
        assert json.loads(client.request("GET", "/rag/x", bearer).body)["code"] == "session_ended"


def test_both_data_paths_open_the_circuit(port, bearer, echo):
    echo.stop()
    with RawClient(port) as client:
        responses = [client.request("GET", "/rag/x", bearer) for _ in range(4)]

    assert [response.status for response in responses] == [502, 502, 502, 503]
    assert responses[-1].headers["retry-after"] == "1"
    assert "'rag'" in json.loads(responses[0].body)["detail"]


def test_both_data_paths_retry_on_another_instance(serve_app, bearer, echo):
    port = serve_app(RAG_SERVICE_URL=f"http://127.0.0.1:1,{echo.url}")
    with RawClient(port) as client:
        assert [client.request("GET", "/rag/x", bearer).status for _ in range(6)] == [200] * 6


def test_both_data_paths_return_504_for_a_slow_service(serve_app, bearer, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text("[routes.rag]\ntimeout = 0.2\n")
    with RawClient(serve_app(GATEWAY_ROUTES=str(table))) as client:
        response = client.request("GET", "/rag/hang", bearer)

    assert (response.status, json.loads(response.body)["code"]) == (504, "upstream_timeout")


def test_both_data_paths_abort_a_truncated_response(port, bearer):
    with RawClient(port) as client, pytest.raises((EOFError, ConnectionError)):
        client.request("GET", "/rag/die-in-body", bearer)


def test_edge_aborts_a_truncated_chunked_response(app_for, bearer):
    with (
        RunningEdge(app_for()) as edge,
        RawClient(edge.port) as client,
        pytest.raises((EOFError, ConnectionError)),
    ):
        client.request("GET", "/rag/die-in-chunk", bearer)


@pytest.mark.parametrize("path", ["/two-lengths", "/both-framings"])
def test_edge_returns_502_for_ambiguous_response_framing(app_for, bearer, path):
    with RunningEdge(app_for()) as edge, RawClient(edge.port) as client:
        response = client.request("GET", f"/rag{path}", bearer)

    assert (response.status, json.loads(response.body)["code"]) == (502, "upstream_unavailable")


def test_edge_skips_interim_responses(app_for, bearer):
    with RunningEdge(app_for()) as edge, RawClient(edge.port) as client:
        assert client.request("GET", "/rag/early-hints", bearer).body == b"ok"


def test_bytes_after_response_end_close_the_connection(app_for, bearer, echo):
    with RunningEdge(app_for()) as edge, RawClient(edge.port) as client:
        first = client.request("GET", "/rag/bytes-after", bearer)
        second = client.request("GET", "/rag/x", bearer)

    assert first.body == b"ok"
    assert json.loads(second.body)["target"] == "/x"
    assert echo.connections == 2


def test_both_data_paths_count_forwarded_and_rejected_requests(serve_app, identities):
    admin = identities.bearer("user-admin", permissions=["system:read"])["Authorization"]
    bearer = f"Authorization: Bearer {identities.token()}"
    port = serve_app(RATE_LIMIT_API="3/minute", ADMIN_SERVICE_URL="http://127.0.0.1:9")
    with RawClient(port) as client:
        for _ in range(4):
            client.request("GET", "/rag/documents", bearer)
        for target in ("/rag/x", "/v1/models", "/admin/x", "/nowhere", "/rag/metrics", "/health"):
            client.request("GET", target)
        client.request("GET", "/admin/x", f"Authorization: {admin}")

    def get_days():
        with RawClient(port) as client:
            response = client.request("GET", "/stats?days=2", f"Authorization: {admin}")
        return json.loads(response.body)["days"]

    wait_until(lambda: get_days()[-1]["requests"] == 8)
    yesterday, today = get_days()
    no_errors = {"client_errors": 0, "limited": 0, "errors": 0}

    assert yesterday.items() > {"requests": 0, "services": {}, **no_errors}.items()
    assert today["services"] == {
        "admin": no_errors | {"requests": 2, "client_errors": 1, "errors": 1},
        "agent": no_errors | {"requests": 1, "client_errors": 1},
        "rag": no_errors | {"requests": 5, "client_errors": 1, "limited": 1},
    }
    assert (today["client_errors"], today["limited"], today["errors"]) == (3, 1, 1)


def test_stats_require_system_read(port, bearer):
    with RawClient(port) as client:
        assert client.request("GET", "/stats").status == 401
        assert client.request("GET", "/stats", bearer).status == 403
