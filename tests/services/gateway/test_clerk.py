"""Session tokens of Clerk, on both data paths: what is forwarded, and how often auth is called."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.security.service_tokens import ServiceTokens
from backend.services.gateway.clients import external_tokens
from tests.clerk import ISSUER, PUBLISHABLE_KEY, Clerk
from tests.forgery import b64
from tests.servers import wait_until
from tests.services.gateway.data_paths import (
    RawClient,
    RunningEdge,
    get_received_headers,
    serve_flask,
)
from tests.services.gateway.edge.handlers.test_websocket_tunnel import UPGRADE

PROBLEM = {
    "status": 401,
    "code": "invalid_clerk_token",
    "title": "Not authenticated",
    "detail": "The Clerk session token is rejected (expired). Get a new session token from Clerk.",
}


class FakeAuth:
    """Responds to exchanges with `response`, and records the exchanged tokens."""

    def __init__(self, access_token):
        self.status = 200
        self.response = {"access_token": access_token, "expires_in": 50}
        self.tokens = []
        self.headers = []
        self.url = ""


@pytest.fixture
def auth(identities):
    fake = FakeAuth(identities.token())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/internal/clerk/exchange":
                fake.tokens.append(json.loads(body)["token"])
                fake.headers.append(dict(self.headers))
            content = json.dumps(fake.response).encode()
            self.send_response(fake.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield fake
    server.shutdown()
    thread.join(60)
    server.server_close()


@pytest.fixture(params=["flask", "edge"])
def serve(request, app_for, auth):
    """Return a function that serves a gateway and returns a client of it."""
    with contextlib.ExitStack() as stack:

        def start(**variables):
            settings = {"CLERK_PUBLISHABLE_KEY": PUBLISHABLE_KEY, "AUTH_SERVICE_URL": auth.url}
            app = app_for(**{**settings, **variables})
            server = serve_flask(app) if request.param == "flask" else RunningEdge(app)
            opened = stack.enter_context(server)
            return stack.enter_context(
                RawClient(opened if request.param == "flask" else opened.port)
            )

        yield start


@pytest.fixture
def client(serve):
    return serve()


@pytest.fixture
def clerk():
    return Clerk()


def get_code(response):
    return response.status, json.loads(response.body).get("code")


def bearer(token):
    return f"Authorization: Bearer {token}"


def test_service_receives_our_token_instead_of_that_of_clerk(client, auth, clerk, identities):
    token = clerk.sign()
    received = get_received_headers(client.request("GET", "/rag/documents", bearer(token)))

    assert received["authorization"] == f"Bearer {auth.response['access_token']}"
    assert auth.tokens == [token]
    service_token = auth.headers[0]["X-Service-Token"]
    callee = ServiceTokens(identities.shared_secret, "auth-service")
    assert callee.verify_caller(service_token) == "gateway"


def test_requests_with_one_token_cost_one_call_of_auth(client, auth, clerk):
    header = bearer(clerk.sign())
    for number in range(20):
        for extra in ((), (f"X-Trace: {number}",)):
            response = client.request("GET", f"/rag/documents/{number}", header, *extra)
            assert get_received_headers(response)["authorization"].endswith(
                auth.response["access_token"]
            )
            client.request("POST", "/packages/packages", header, *extra, body=b"{}")

    assert len(auth.tokens) == 1


def test_next_token_is_exchanged_again(client, auth, clerk):
    for issued in (1, 2):
        client.request("GET", "/rag/documents", bearer(clerk.sign(jti=str(issued))))

    assert len(auth.tokens) == 2


def test_token_is_not_used_after_its_expiry(client, auth, clerk):
    auth.response = {**auth.response, "expires_in": 1}
    header = bearer(clerk.sign())
    assert client.request("GET", "/rag/documents", header).status == 200
    auth.status, auth.response = 401, PROBLEM

    wait_until(lambda: client.request("GET", "/rag/documents", header).status == 401)
    assert len(auth.tokens) == 2


def test_rejection_has_the_reason_and_is_cached_for_a_moment(client, auth, clerk):
    auth.status, auth.response = 401, PROBLEM
    header = bearer(clerk.sign())

    for _ in range(20):
        response = client.request("GET", "/rag/documents", header)
        assert get_code(response) == (401, "invalid_clerk_token")
        assert "(expired)" in json.loads(response.body)["detail"]
        assert response.headers["www-authenticate"] == "Bearer"
    # One, or a few if the requests took longer than the time of the cache.
    assert len(auth.tokens) < 10


@pytest.fixture
def small_caches(monkeypatch):
    for name in ("_MAX_TOKENS", "_MAX_REJECTIONS"):
        monkeypatch.setattr(external_tokens, name, 4)


def test_rejected_tokens_do_not_evict_valid_ones(small_caches, client, auth, clerk):
    valid = clerk.sign()
    client.request("GET", "/rag/documents", bearer(valid))
    auth.status, auth.response = 401, PROBLEM

    for number in range(10):
        response = client.request("GET", "/rag/documents", bearer(clerk.sign(jti=str(number))))
        assert response.status == 401

    assert client.request("GET", "/rag/documents", bearer(valid)).status == 200
    assert auth.tokens.count(valid) == 1


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_token_of_another_algorithm_is_left_to_auth(client, auth, algorithm):
    auth.status, auth.response = 401, PROBLEM
    token = f"{b64({'alg': algorithm, 'typ': 'JWT'})}.{b64({'iss': ISSUER})}."

    client.request("GET", "/rag/documents", bearer(token))

    assert auth.tokens == [token]


@pytest.mark.parametrize("status", [404, 422, 500, 503])
def test_gateway_responds_with_503_while_auth_or_clerk_fails(client, auth, clerk, status):
    header = bearer(clerk.sign())
    auth.status, auth.response = status, PROBLEM | {"status": status, "code": "any"}
    assert get_code(client.request("GET", "/rag/documents", header)) == (503, "auth_unavailable")


def test_gateway_responds_with_503_if_the_response_of_auth_is_invalid(client, auth, clerk):
    auth.response = ["unexpected"]

    response = client.request("GET", "/rag/documents", bearer(clerk.sign()))

    assert get_code(response) == (503, "auth_unavailable")


def test_revoked_session_is_exchanged_once_more(client, auth, clerk, identities):
    header = bearer(clerk.sign())
    client.request("GET", "/rag/documents", header)

    identities.revocations.raise_user_generation("user-ada", 1)
    auth.response = {"access_token": identities.token(gen=1), "expires_in": 50}
    response = client.request("GET", "/rag/documents", header)

    assert get_received_headers(response)["authorization"].endswith(auth.response["access_token"])
    assert len(auth.tokens) == 2

    identities.revocations.revoke_session("session-of-user-ada", 600)
    auth.status = 401
    auth.response = PROBLEM | {"code": "session_ended"}
    for _ in range(3):
        response = client.request("GET", "/rag/documents", header)
        assert get_code(response) == (401, "session_ended")
    assert len(auth.tokens) < 5


def test_our_own_tokens_and_keys_are_not_exchanged(client, auth, identities):
    own = client.request("GET", "/rag/documents", bearer(identities.token()))
    key = client.request("GET", "/rag/documents", bearer("aas_x.y.z"))
    text = client.request("GET", "/rag/documents", bearer("a.b.c"))

    assert own.status == 200
    assert get_code(key) == (401, "invalid_api_key")
    assert get_code(text) == (401, "invalid_token")
    assert auth.tokens == []


def test_nothing_is_exchanged_without_an_application(serve, auth, clerk):
    client = serve(CLERK_PUBLISHABLE_KEY="")

    response = client.request("GET", "/rag/documents", bearer(clerk.sign()))

    assert get_code(response) == (401, "invalid_token")
    assert auth.tokens == []


def test_session_cookie_of_clerk_is_not_accepted(client, auth, clerk):
    response = client.request("GET", "/rag/documents", f"Cookie: __session={clerk.sign()}")

    assert get_code(response) == (401, "not_authenticated")
    assert auth.tokens == []


def test_service_that_verifies_callers_itself_receives_our_token(client, auth, clerk):
    header = bearer(clerk.sign())
    for _ in range(3):
        response = client.request("GET", "/sse/topic", header)
        received = get_received_headers(response)
        assert received["authorization"] == f"Bearer {auth.response['access_token']}"
    assert len(auth.tokens) == 1


@pytest.mark.parametrize("path", ["/agent/socket", "/ws/socket"])
def test_websocket_is_opened_with_our_token(app_for, auth, clerk, echo, path):
    app = app_for(CLERK_PUBLISHABLE_KEY=PUBLISHABLE_KEY, AUTH_SERVICE_URL=auth.url)
    with RunningEdge(app) as edge, RawClient(edge.port) as client:
        response = client.request("GET", path, bearer(clerk.sign()), *UPGRADE)

    assert response.status == 101
    received = {name.lower(): value for name, value in echo.requests[-1]["headers"]}
    assert received["authorization"] == f"Bearer {auth.response['access_token']}"


def test_rejected_token_does_not_close_public_paths(client, auth, clerk):
    auth.status, auth.response = 401, PROBLEM
    header = bearer(clerk.sign())

    received = get_received_headers(client.request("GET", "/rag/openapi.json", header))

    assert f"Authorization: {received['authorization']}" == header


def test_tokens_of_other_issuers_are_passed_on_at_public_paths(client, auth, clerk):
    header = bearer(clerk.sign(iss="https://api.botframework.com"))

    received = get_received_headers(client.request("POST", "/webhook/teams/1", header))

    assert f"Authorization: {received['authorization']}" == header
    assert auth.tokens == []


def test_tenant_that_the_token_does_not_contain_is_rejected(client, clerk):
    response = client.request(
        "GET", "/rag/documents", bearer(clerk.sign()), "X-Tenant-ID: another-tenant"
    )

    assert get_code(response) == (403, "not_a_member")


def test_routes_of_the_gateway_accept_the_token(client, auth, clerk, identities):
    auth.response = {
        "access_token": identities.token(permissions=["system:read"]),
        "expires_in": 50,
    }

    assert client.request("GET", "/stats", bearer(clerk.sign())).status == 200
    assert get_code(client.request("GET", "/stats", bearer("a.b.c"))) == (401, "invalid_token")
