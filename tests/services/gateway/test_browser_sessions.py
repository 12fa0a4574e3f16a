"""Sessions of browsers in cookies, on both data paths: which requests they authenticate."""

import contextlib
import json

import pytest

from tests.services.gateway.data_paths import (
    RawClient,
    RunningEdge,
    get_received_headers,
    serve_flask,
)

ORIGIN = "https://gateway.example"
OWN_PAGE = "Sec-Fetch-Site: same-origin"
CONSOLE = "X-Requested-With: console"


@pytest.fixture(params=["flask", "edge"])
def serve(request, app_for):
    """Return a function that serves a gateway and returns a client of it."""
    with contextlib.ExitStack() as stack:

        def start(**variables):
            app = app_for(PUBLIC_URL=ORIGIN, **variables)
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
def token(identities):
    return identities.token()


@pytest.fixture
def cookie(token):
    return f"Cookie: theme=dark; __Host-aas_access={token}; __Secure-aas_refresh=rt_1"


def get_code(response):
    return response.status, json.loads(response.body).get("code")


ACCEPTED = [
    ("a page of ours reads", "GET", (OWN_PAGE,)),
    ("the user opens a URL", "GET", ("Sec-Fetch-Site: none",)),
    ("a page of ours writes", "POST", (OWN_PAGE, CONSOLE)),
    ("an older browser writes", "DELETE", (f"Origin: {ORIGIN}", CONSOLE)),
]


@pytest.mark.parametrize(("name", "method", "headers"), ACCEPTED, ids=[c[0] for c in ACCEPTED])
def test_cookie_authenticates_requests_of_own_pages(client, cookie, token, name, method, headers):
    response = client.request(method, "/rag/documents", cookie, *headers)

    assert response.status == 200
    assert get_received_headers(response)["authorization"] == f"Bearer {token}"
    assert response.headers["cache-control"] == "no-store"


REFUSED = [
    (
        "a form of another site",
        "POST",
        ("Sec-Fetch-Site: cross-site", "Origin: https://evil.example"),
    ),
    ("a form of our own page", "POST", (OWN_PAGE, f"Origin: {ORIGIN}")),
    ("fetch from another site", "GET", ("Sec-Fetch-Site: cross-site",)),
    ("fetch from another port", "GET", ("Sec-Fetch-Site: same-site",)),
    ("another port, with the header", "POST", ("Sec-Fetch-Site: same-site", CONSOLE)),
    ("another port in Origin", "POST", (f"Origin: {ORIGIN}:8443", CONSOLE)),
    ("our host over HTTP", "POST", ("Origin: http://gateway.example", CONSOLE)),
    ("a sandboxed frame", "POST", ("Origin: null", CONSOLE)),
    ("no header at all", "GET", ()),
    ("only the header of the console", "POST", (CONSOLE,)),
    ("the header with another value", "POST", (OWN_PAGE, "X-Requested-With: XMLHttpRequest")),
    ("a site that is sent twice", "GET", (OWN_PAGE, "Sec-Fetch-Site: cross-site")),
    (
        "an own Origin with another site",
        "POST",
        ("Sec-Fetch-Site: cross-site", f"Origin: {ORIGIN}", CONSOLE),
    ),
]


@pytest.mark.parametrize(("name", "method", "headers"), REFUSED, ids=[c[0] for c in REFUSED])
def test_cookie_is_refused_for_requests_of_other_pages(client, echo, cookie, name, method, headers):
    response = client.request(method, "/rag/documents", cookie, *headers)

    assert get_code(response) == (403, "cross_site_request")
    assert not any(request["target"] == "/documents" for request in echo.requests)


def test_public_paths_ignore_the_session_of_requests_from_other_sites(client, cookie):
    response = client.request("GET", "/rag/info", cookie, "Sec-Fetch-Site: cross-site")

    assert response.status == 200
    assert "authorization" not in get_received_headers(response)


def test_only_auth_receives_the_session_cookies(client, cookie):
    to_rag = client.request("GET", "/rag/documents", cookie, OWN_PAGE)
    to_auth = client.request("GET", "/auth/me", cookie, OWN_PAGE)

    assert get_received_headers(to_rag)["cookie"] == "theme=dark"
    assert f"Cookie: {get_received_headers(to_auth)['cookie']}" == cookie


def test_no_cookie_header_is_forwarded_if_only_session_cookies_were_sent(client, token):
    response = client.request(
        "GET", "/rag/documents", f"Cookie: __Host-aas_access={token}", OWN_PAGE
    )

    assert "cookie" not in get_received_headers(response)


def test_credentials_in_headers_take_precedence_over_the_cookie(client, cookie, identities):
    own = identities.token()
    cross_site = "Sec-Fetch-Site: cross-site"

    accepted = client.request("GET", "/rag/x", cookie, f"Authorization: Bearer {own}", cross_site)
    rejected = client.request("GET", "/rag/x", cookie, "Authorization: Bearer forged", OWN_PAGE)
    with_key = client.request("GET", "/rag/x", cookie, "X-API-Key: x", OWN_PAGE)

    assert get_received_headers(accepted)["authorization"] == f"Bearer {own}"
    assert get_received_headers(accepted)["cookie"] == "theme=dark"
    assert get_code(rejected) == (401, "invalid_token")
    assert get_code(with_key) == (401, "invalid_api_key")


def test_repeated_header_block_is_checked_again_for_each_method(client, cookie):
    # The edge parses equal header blocks of a connection only once.
    assert client.request("GET", "/rag/documents", cookie, OWN_PAGE).status == 200
    assert get_code(client.request("DELETE", "/rag/documents/1", cookie, OWN_PAGE)) == (
        403,
        "cross_site_request",
    )
    to_auth = client.request("GET", "/auth/me", cookie, OWN_PAGE)
    to_rag = client.request("GET", "/rag/documents", cookie, OWN_PAGE)
    assert "__Host-aas_access" in get_received_headers(to_auth)["cookie"]
    assert "__Host-aas_access" not in get_received_headers(to_rag)["cookie"]


@pytest.mark.parametrize(
    ("cookies", "code"),
    [
        ("__Host-aas_access=forged", "invalid_token"),
        ("aas_access={token}", "not_authenticated"),
        ("__Host-aas_access={token}; __Host-aas_access=x", "not_authenticated"),
        ("__Host-aas_access=", "not_authenticated"),
    ],
)
def test_forged_unprefixed_and_repeated_cookies_do_not_authenticate(client, token, cookies, code):
    header = f"Cookie: {cookies.format(token=token)}"

    assert get_code(client.request("GET", "/rag/documents", header, OWN_PAGE)) == (401, code)


def test_cookie_authenticates_event_streams_on_public_paths(client, cookie, token):
    own = client.request("GET", "/sse/user", cookie, OWN_PAGE)
    foreign = client.request("GET", "/sse/user", cookie, "Sec-Fetch-Site: cross-site")

    assert get_received_headers(own)["authorization"] == f"Bearer {token}"
    assert "authorization" not in get_received_headers(foreign)


def test_cookie_authenticates_the_routes_of_the_gateway(client, identities):
    allowed = identities.token(scope="system:read")
    cookie = f"Cookie: __Host-aas_access={allowed}"

    assert client.request("GET", "/health/detailed", cookie, OWN_PAGE).status == 200
    assert get_code(
        client.request("GET", "/health/detailed", cookie, "Sec-Fetch-Site: cross-site")
    ) == (403, "cross_site_request")


def test_unprefixed_cookie_is_accepted_over_http_only_with_the_development_setting(serve, token):
    client = serve(COOKIES_OVER_HTTP="true")
    cookie = f"Cookie: aas_access={token}"

    # Browsers send no Sec-Fetch-Site over HTTP, and no Origin with GET requests of own pages.
    assert client.request("GET", "/rag/documents", cookie).status == 200
    assert client.request("POST", "/rag/x", cookie, f"Origin: {ORIGIN}", CONSOLE).status == 200
    assert client.request("POST", "/rag/x", cookie, CONSOLE).status == 403
    assert client.request("GET", "/rag/x", cookie, "Origin: https://evil.example").status == 403


@pytest.mark.parametrize(("site", "is_own"), [("same-origin", True), ("cross-site", False)])
def test_cookie_authenticates_websocket_handshakes_of_own_pages(app_for, echo, token, site, is_own):
    with (
        RunningEdge(app_for(PUBLIC_URL=ORIGIN)) as edge,
        RawClient(edge.port) as client,
    ):
        response = client.request(
            "GET",
            "/ws/socket",
            f"Cookie: __Host-aas_access={token}; __Secure-aas_refresh=rt_1",
            f"Sec-Fetch-Site: {site}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: suite.v1",
        )

    received = {name.lower(): value for name, value in echo.requests[-1]["headers"]}
    assert response.status == 101
    assert received.get("authorization") == (f"Bearer {token}" if is_own else None)
    assert "cookie" not in received
