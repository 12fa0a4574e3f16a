"""Handshakes, tickets and credentials of connections."""

import http.client
import json

import pytest
from websockets.exceptions import InvalidStatus

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(realtime, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", realtime.port, timeout=30)
    connection.request(method, path, body and json.dumps(body), headers or {})
    response = connection.getresponse()
    content = response.read() if response.status != 101 else b""
    connection.close()
    return response, content


def get_ticket(realtime, token):
    headers = {"Authorization": f"Bearer {token}"}
    response, content = request(realtime, "POST", "/tickets", headers)
    assert response.status == 201
    assert json.loads(content)["expires_in"] == 30
    return json.loads(content)["ticket"]


def test_handshake_answers_the_key_of_rfc_6455(realtime):
    response, _ = request(realtime, "GET", "/ws/connect", UPGRADE)
    assert response.status == 101
    assert response.headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"Sec-WebSocket-Key": "short"}, 400, "invalid_handshake"),
        ({"Sec-WebSocket-Key": "é" * 16}, 400, "invalid_handshake"),
        ({"Sec-WebSocket-Version": "8"}, 426, "upgrade_required"),
        ({"Upgrade": "h2c"}, 426, "upgrade_required"),
        ({"Connection": "close"}, 426, "upgrade_required"),
    ],
)
def test_invalid_handshake_is_rejected(realtime, changes, status, code):
    response, content = request(realtime, "GET", "/ws/connect", UPGRADE | changes)
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(content)["code"] == code


def test_token_in_a_header_authenticates(realtime, token):
    with realtime.connect(additional_headers={"Authorization": f"Bearer {token}"}) as client:
        assert "connect" in client.ask(connect={})
        assert "subscribe" in client.subscribe("packages")


def test_token_in_a_subprotocol_authenticates_and_is_not_echoed(realtime, token):
    with realtime.connect(subprotocols=["suite.v1", f"bearer.{token}"]) as client:
        assert client.socket.subprotocol == "suite.v1"
        assert "connect" in client.ask(connect={})


def test_ticket_is_valid_once(realtime, token):
    ticket = get_ticket(realtime, token)
    with realtime.connect(f"/ws/connect?ticket={ticket}") as client:
        assert "connect" in client.ask(connect={})
        assert client.subscribe("packages")["subscribe"]
    with (
        pytest.raises(InvalidStatus) as refused,
        realtime.connect(f"/ws/connect?ticket={ticket}"),
    ):
        pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["code"] == "invalid_ticket"


def test_ticket_expires(realtime, token, monkeypatch):
    monkeypatch.setattr("backend.services.realtime.domain.tickets.TICKET_SECONDS", -1)
    ticket = use_short_ticket(realtime, token)
    response, content = request(realtime, "GET", f"/ws/connect?ticket={ticket}", UPGRADE)
    assert (response.status, json.loads(content)["code"]) == (401, "invalid_ticket")


def use_short_ticket(realtime, token):
    headers = {"Authorization": f"Bearer {token}"}
    return json.loads(request(realtime, "POST", "/tickets", headers)[1])["ticket"]


def test_ticket_of_an_ended_session_is_rejected(realtime, token, identities):
    ticket = get_ticket(realtime, token)
    identities.revocations.revoke_session("session-of-user-ada", 60)
    response, content = request(realtime, "GET", f"/ws/connect?ticket={ticket}", UPGRADE)
    assert (response.status, json.loads(content)["code"]) == (401, "session_ended")


@pytest.mark.parametrize("path", ["/ws/connect", "/ws/packages", "/sse/packages"])
def test_token_in_the_query_is_ignored(realtime, token, path):
    response, content = request(
        realtime,
        "GET",
        f"{path}?token={token}&access_token={token}",
        {**(UPGRADE if path.startswith("/ws") else {}), "Authorization": "Bearer x"},
    )
    assert response.status == 401
    assert json.loads(content)["code"] == "invalid_token"


@pytest.mark.parametrize("path", ["/ws/packages", "/ws/dashboard", "/ws/map", "/ws/agents"])
def test_unidirectional_path_requires_credentials(realtime, path):
    response, content = request(realtime, "GET", path, UPGRADE)
    assert (response.status, json.loads(content)["code"]) == (401, "not_authenticated")


def test_unidirectional_path_requires_the_permission(realtime, identities):
    token = identities.token(permissions=("rag:read",))
    headers = UPGRADE | {"Authorization": f"Bearer {token}"}
    response, content = request(realtime, "GET", "/ws/packages", headers)
    assert (response.status, json.loads(content)["code"]) == (403, "permission_denied")


def test_number_of_connections_of_the_process_is_limited(start, token):
    realtime = start(REALTIME_SOCKETS="1")
    with realtime.connect() as client:
        client.authenticate(token)
        for path, headers in (("/ws/connect", UPGRADE), ("/sse/packages", {})):
            response, content = request(realtime, "GET", path, headers)
            assert (response.status, json.loads(content)["code"]) == (429, "too_many_sockets")


@pytest.mark.parametrize("target", ["/ws/../x", "/ws//connect", "/%2e%2e/x"])
def test_ambiguous_target_is_rejected(realtime, target):
    response, content = request(realtime, "GET", target, UPGRADE)
    assert (response.status, json.loads(content)["code"]) == (400, "bad_target")


def test_other_paths_are_answered_by_the_flask_app(realtime, token):
    response, content = request(realtime, "GET", "/health/live")
    assert response.status == 200
    headers = {"Authorization": f"Bearer {token}"}
    response, content = request(realtime, "GET", "/topics", headers)
    assert "packages" in [topic["name"] for topic in json.loads(content)]
    assert "system" not in [topic["name"] for topic in json.loads(content)]
