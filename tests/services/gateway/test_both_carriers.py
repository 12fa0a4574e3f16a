"""One table of policy, held by the Flask view and by the edge alike."""

import json

import pytest

from tests.servers import wait_until
from tests.services.gateway.carriers import Caller, RunningEdge, received, running_view


@pytest.fixture(params=["view", "edge"])
def served(request, app_for):
    """A function from settings to the port of a gateway with them."""
    import contextlib

    with contextlib.ExitStack() as stack:

        def serve(**variables):
            app = app_for(**variables)
            if request.param == "view":
                return stack.enter_context(running_view(app))
            return stack.enter_context(RunningEdge(app)).port

        yield serve


@pytest.fixture
def port(served):
    return served()


@pytest.fixture
def bearer(identities):
    return f"Authorization: Bearer {identities.token()}"


CASES = [
    # name, method, target, known, further header lines, status, code
    ("a public path", "POST", "/auth/login", False, (), 200, None),
    ("a path for the known", "GET", "/rag/documents", False, (), 401, "not_authenticated"),
    ("the same, known", "GET", "/rag/documents", True, (), 200, None),
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
    ("between services only", "GET", "/rag/metrics", True, (), 404, "not_found"),
    ("keys' exchange", "POST", "/auth/api-keys/exchange", True, (), 404, "not_found"),
    ("dots", "GET", "/rag/../auth/x", True, (), 400, "bad_target"),
    ("hidden dots", "GET", "/rag/%2e%2e/auth/x", True, (), 400, "bad_target"),
    ("a hidden slash", "GET", "/rag/a%2fb", True, (), 400, "bad_target"),
    ("a parameter", "GET", "/rag/a;b", True, (), 400, "bad_target"),
    ("an empty segment", "GET", "/rag//a", True, (), 400, "bad_target"),
    ("the OpenAI surface", "GET", "/v1/models", True, (), 200, None),
    ("the front page", "GET", "/", False, (), 200, None),
    ("the front page, posted to", "POST", "/", False, (), 200, None),
    ("the wrong method", "DELETE", "/health", False, (), 405, "method_not_allowed"),
    ("a service that breaks off", "POST", "/rag/die", True, (), 502, "upstream_unavailable"),
    ("garbage", "GET", "/rag/garbage", True, (), 502, "upstream_unavailable"),
    ("too large a head", "GET", "/rag/huge-head", True, (), 502, "upstream_unavailable"),
    ("no content", "GET", "/rag/no-content", True, (), 204, None),
    ("until close", "GET", "/rag/until-close", True, (), 200, None),
    ("events", "GET", "/rag/events", True, (), 200, None),
]


@pytest.mark.parametrize(
    ("method", "target", "known", "more", "status", "code"),
    [pytest.param(*case[1:], id=case[0]) for case in CASES],
)
def test_both_answer_alike(port, bearer, method, target, known, more, status, code):
    lines = (*((bearer,) if known else ()), *more)
    with Caller(port) as caller:
        answer = caller.ask(method, target, *lines)

    assert answer.status == status
    assert "x-request-id" in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    if code is not None:
        problem = json.loads(answer.body)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (problem["code"], problem["status"]) == (code, status)
        assert problem["request_id"] == answer.headers["x-request-id"]
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"


def test_both_forward_the_same_head(port, bearer):
    forged = [
        "X-Service-Token: forged", "X-User-ID: root", "X-Internal-A: 1", "Forwarded: for=1.2.3.4",
        "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil", "X-Real-IP: 1.2.3.4",
        "Connection: keep-alive, X-Hop, X-Forwarded-For", "X-Hop: 1", "TE: trailers",
        "Keep-Alive: 5", "X-Kept: yes", "X-Request-ID: mine-1", "traceparent: 00-a-b-01",
    ]  # fmt: skip
    with Caller(port) as caller:
        answer = caller.ask("GET", "/rag/x?q=%20", bearer, *forged)

    headers = received(answer)
    assert json.loads(answer.body)["target"] == "/x?q=%20"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-host"] == "gateway.example"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-request-id"] == "mine-1" == answer.headers["x-request-id"]
    assert headers["traceparent"] == "00-a-b-01"
    assert headers["x-kept"] == "yes"
    assert headers["host"].startswith("127.0.0.1:")
    assert not set(headers) & {
        "x-service-token", "x-user-id", "x-internal-a", "forwarded", "x-real-ip", "x-hop", "te",
        "keep-alive",
    }  # fmt: skip


def test_both_pass_bodies_by_length_and_in_chunks(port, bearer):
    body = b"x" * 200_000
    with Caller(port) as caller:
        assert json.loads(caller.ask("POST", "/rag/d", bearer, body=body).body)["body_size"] == len(
            body
        )
    with Caller(port) as caller:
        head = f"POST /rag/d HTTP/1.1\r\nHost: g\r\n{bearer}\r\nTransfer-Encoding: chunked\r\n\r\n"
        caller.send(head.encode() + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        assert json.loads(caller.answer().body)["body_size"] == 11


def test_both_refuse_what_is_too_large(port, bearer):
    with Caller(port) as caller:
        head = f"POST /auth/me HTTP/1.1\r\nHost: g\r\n{bearer}\r\nContent-Length: 99999999\r\n\r\n"
        caller.send(head.encode())
        answer = caller.answer()

    assert (answer.status, json.loads(answer.body)["code"]) == (413, "too_large")


def test_both_count(served, bearer):
    with Caller(served(RATE_LIMIT_API="2/minute")) as caller:
        answers = [caller.ask("GET", "/rag/x", bearer) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    first, last = answers[0].headers, answers[2].headers
    assert first["ratelimit-policy"] == '"api";q=2;w=60, "tenant";q=2000;w=60'
    assert first["ratelimit"].startswith('"api";r=1;t=')
    assert (first["x-ratelimit-limit"], first["x-ratelimit-remaining"]) == ("2", "1")
    assert last["retry-after"] == "30"
    assert last["x-ratelimit-remaining"] == "0"
    assert json.loads(answers[2].body)["code"] == "rate_limited"


def test_both_keep_cookies_apart_and_say_nothing_of_servers(port, bearer):
    with Caller(port) as caller:
        answer = caller.ask("GET", "/rag/x", bearer)

    assert answer.all("set-cookie") == ["a=1", "b=2"]
    assert "echo" not in answer.headers.get("server", "")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"


def test_both_drop_what_an_answer_s_connection_names(port, bearer):
    with Caller(port) as caller:
        answer = caller.ask("GET", "/rag/named-by-connection", bearer)

    assert "x-hop" not in answer.headers
    assert answer.headers["x-stays"] == "1"


def test_both_answer_preflights(served, bearer):
    port = served(CORS_ORIGINS="https://app.example")
    with Caller(port) as caller:
        asked = ("Origin: https://app.example", "Access-Control-Request-Method: POST")
        preflight = caller.ask("OPTIONS", "/rag/documents", *asked)
        answer = caller.ask("GET", "/rag/x", bearer, "Origin: https://app.example")
        foreign = caller.ask("GET", "/rag/x", bearer, "Origin: https://evil.example")
        own = caller.ask("GET", "/", "Origin: https://app.example")

    assert preflight.status == 204
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for allowed in (preflight, answer, own):
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        assert allowed.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in foreign.headers


def test_both_answer_head_without_a_body(port, bearer):
    with Caller(port) as caller:
        answer = caller.ask("HEAD", "/rag/x", bearer)
        again = caller.ask("GET", "/rag/x", bearer)
        own = caller.ask("HEAD", "/docs")
        whole = caller.ask("GET", "/docs")

    assert own.headers["content-length"] == str(len(whole.body))
    assert answer.status == 200
    assert int(answer.headers["content-length"]) > 0
    assert again.status == 200


def test_both_say_that_a_session_has_ended(port, bearer, identities):
    with Caller(port) as caller:
        assert caller.ask("GET", "/rag/x", bearer).status == 200
        identities.revocations.end_session("session-of-user-ada", 600)
        assert json.loads(caller.ask("GET", "/rag/x", bearer).body)["code"] == "session_ended"


def test_both_open_the_circuit_and_name_the_service(port, bearer, echo):
    echo.stop()
    with Caller(port) as caller:
        answers = [caller.ask("GET", "/rag/x", bearer) for _ in range(4)]

    assert [answer.status for answer in answers] == [502, 502, 502, 503]
    assert answers[-1].headers["retry-after"] == "1"
    assert "'rag'" in json.loads(answers[0].body)["detail"]


def test_both_ask_another_instance(served, bearer, echo):
    port = served(RAG_SERVICE_URL=f"http://127.0.0.1:1,{echo.url}")
    with Caller(port) as caller:
        assert [caller.ask("GET", "/rag/x", bearer).status for _ in range(6)] == [200] * 6


def test_both_give_up_on_a_service_that_is_too_slow(served, bearer, tmp_path):
    table = tmp_path / "routes.toml"
    table.write_text("[routes.rag]\ntimeout = 0.2\n")
    with Caller(served(GATEWAY_ROUTES=str(table))) as caller:
        answer = caller.ask("GET", "/rag/hang", bearer)

    assert (answer.status, json.loads(answer.body)["code"]) == (504, "upstream_timeout")


def test_both_let_a_cut_answer_be_seen_as_cut(port, bearer):
    with Caller(port) as caller, pytest.raises((EOFError, ConnectionError)):
        caller.ask("GET", "/rag/die-in-body", bearer)


def test_the_edge_lets_a_cut_chunk_be_seen_as_cut(app_for, bearer):
    with (
        RunningEdge(app_for()) as edge,
        Caller(edge.port) as caller,
        pytest.raises((EOFError, ConnectionError)),
    ):
        caller.ask("GET", "/rag/die-in-chunk", bearer)


@pytest.mark.parametrize("path", ["/two-lengths", "/both-framings"])
def test_the_edge_takes_no_answer_with_ambiguous_framing(app_for, bearer, path):
    with RunningEdge(app_for()) as edge, Caller(edge.port) as caller:
        answer = caller.ask("GET", f"/rag{path}", bearer)

    assert (answer.status, json.loads(answer.body)["code"]) == (502, "upstream_unavailable")


def test_the_edge_passes_over_interim_answers(app_for, bearer):
    with RunningEdge(app_for()) as edge, Caller(edge.port) as caller:
        assert caller.ask("GET", "/rag/early-hints", bearer).body == b"ok"


def test_bytes_behind_an_answer_reach_nobody(app_for, bearer, echo):
    with RunningEdge(app_for()) as edge, Caller(edge.port) as caller:
        first = caller.ask("GET", "/rag/bytes-after", bearer)
        second = caller.ask("GET", "/rag/x", bearer)

    assert first.body == b"ok"
    assert json.loads(second.body)["target"] == "/x"
    assert echo.connections == 2


def test_both_count_what_they_forward_and_what_they_refuse(served, identities):
    admin = identities.bearer("user-admin", permissions=["system:read"])["Authorization"]
    known = f"Authorization: Bearer {identities.token()}"
    port = served(RATE_LIMIT_API="3/minute", ADMIN_SERVICE_URL="http://127.0.0.1:9")
    with Caller(port) as caller:
        for _ in range(4):
            caller.ask("GET", "/rag/documents", known)
        for target in ("/rag/x", "/v1/models", "/admin/x", "/nowhere", "/rag/metrics", "/health"):
            caller.ask("GET", target)
        caller.ask("GET", "/admin/x", f"Authorization: {admin}")

    def days():
        with Caller(port) as caller:
            answer = caller.ask("GET", "/stats?days=2", f"Authorization: {admin}")
        return json.loads(answer.body)["days"]

    wait_until(lambda: days()[-1]["requests"] == 8)
    yesterday, today = days()
    nothing = {"client_errors": 0, "limited": 0, "errors": 0}

    assert yesterday.items() > {"requests": 0, "services": {}, **nothing}.items()
    assert today["services"] == {
        "admin": nothing | {"requests": 2, "client_errors": 1, "errors": 1},
        "agent": nothing | {"requests": 1, "client_errors": 1},
        "rag": nothing | {"requests": 5, "client_errors": 1, "limited": 1},
    }
    assert (today["client_errors"], today["limited"], today["errors"]) == (3, 1, 1)


def test_the_gateways_numbers_are_for_those_who_may_see_the_system(port, bearer):
    with Caller(port) as caller:
        assert caller.ask("GET", "/stats").status == 401
        assert caller.ask("GET", "/stats", bearer).status == 403
