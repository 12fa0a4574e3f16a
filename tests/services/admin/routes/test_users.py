"""Administration of users: requests are passed on to auth with the caller's credentials."""

import threading
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from backend.services.admin.app import create_app
from tests.contract import stages


@pytest.fixture
def manager(identities):
    return identities.bearer("user-mia", permissions=["users:read", "users:write"])


@pytest.mark.parametrize(
    ("method", "path", "body", "target_method", "target"),
    [
        ("GET", "/users?q=a+b&limit=10", None, "GET", "/users?limit=10&q=a+b"),
        ("GET", "/users/user_1", None, "GET", "/users/user_1"),
        ("POST", "/users", {"username": "x", "password": "y"}, "POST", "/users"),
        ("PATCH", "/users/user_1", {"email": None}, "PATCH", "/users/user_1"),
        ("POST", "/users/user_1/disable", None, "PATCH", "/users/user_1"),
        ("POST", "/users/user_1/enable", None, "PATCH", "/users/user_1"),
        ("POST", "/users/user_1/unlock", None, "POST", "/users/user_1/unlock"),
        ("DELETE", "/users/user_1", None, "DELETE", "/users/user_1"),
    ],
)
def test_request_reaches_auth_with_the_callers_credentials(
    client, services, manager, method, path, body, target_method, target
):
    extra = {"X-Request-ID": "r-1", "User-Agent": "Browser/1", "Idempotency-Key": "once"}
    options = {} if body is None else {"json": body}
    response = client.open(path, method=method, headers=manager | extra, **options)

    assert response.status_code == 200, response.text
    request = services["auth"].requests[-1]
    headers = dict(request["headers"])
    assert (request["method"], request["target"]) == (target_method, target)
    assert headers["Authorization"] == manager["Authorization"]
    assert headers["X-Service-Token"]
    assert {name: headers[name] for name in extra} == extra


def test_path_cannot_leave_the_users(client, services, manager):
    client.delete("/users/..", headers=manager)
    client.delete("/users/%3Fx", headers=manager)

    targets = [request["target"] for request in services["auth"].requests]
    assert all(target.startswith("/users/%") for target in targets)


def test_unavailable_auth_is_reported(client, services, manager):
    services["auth"].stop()

    response = client.get("/users", headers=manager)

    assert (response.status_code, response.json["code"]) == (503, "auth_unavailable")
    assert response.headers["Retry-After"]


def test_users_require_the_permissions_of_auth(client, services, identities):
    reader = identities.bearer("user-cleo", permissions=["users:read"])

    assert client.get("/users").status_code == 401
    assert client.get("/users", headers=reader).status_code == 200
    for method, path in (
        ("POST", "/users"),
        ("PATCH", "/users/user_1"),
        ("DELETE", "/users/user_1"),
        ("POST", "/users/user_1/disable"),
    ):
        assert client.open(path, method=method, headers=reader).status_code == 403, path
    targets = {request["target"] for request in services["auth"].requests}
    # Denials are recorded in the audit log.
    assert targets <= {"/users?limit=50", "/internal/audit-events"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"username": "x"}, "#/password"),
        ({"username": ["x"], "password": "y"}, "#/username"),
        ({"username": "x", "password": "y", "is_admin": True}, "#/is_admin"),
    ],
)
def test_malformed_user_is_not_sent_to_auth(client, services, manager, body, pointer):
    response = client.post("/users", json=body, headers=manager)

    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == pointer
    assert services["auth"].requests == []


@pytest.fixture
def with_auth(tmp_path, monkeypatch) -> Iterator[tuple[FlaskClient, stages.Stage]]:
    """The admin service in front of an auth service."""
    with stages.auth(tmp_path) as auth:
        server = make_server("127.0.0.1", 0, auth.app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        monkeypatch.setenv("AUTH_SERVICE_URL", url)
        try:
            yield create_app().test_client(), auth
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def test_auth_decides_and_its_errors_are_returned_unchanged(with_auth):
    client, auth = with_auth
    admin = auth.headers("admin")
    body = {"username": "grace", "password": "analytical engine 1843"}

    created = client.post("/users", json=body, headers=admin | {"Idempotency-Key": "once"})
    assert created.status_code == 201, created.text
    path = f"/users/{created.json['id']}"
    repeated = client.post("/users", json=body, headers=admin | {"Idempotency-Key": "once"})
    assert repeated.json == created.json
    assert repeated.headers["Idempotency-Replayed"] == "true"

    taken = client.post("/users", json=body, headers=admin)
    assert (taken.status_code, taken.json["code"]) == (409, "username_taken")
    assert taken.content_type == "application/problem+json"
    invalid = client.post("/users", json=body | {"username": "gr ace"}, headers=admin)
    expected = auth.client.post("/users", json=body | {"username": "gr ace"}, headers=admin)
    assert invalid.status_code == expected.status_code == 422
    assert invalid.json["code"] == expected.json["code"]

    assert client.post(f"{path}/disable", headers=admin).json["disabled"] is True
    login = {"username": "grace", "password": body["password"]}
    assert auth.client.post("/login", json=login).status_code in (401, 403)
    assert client.post(f"{path}/enable", headers=admin).json["disabled"] is False
    assert auth.client.post("/login", json=login).status_code == 200
    page = client.get("/users?q=grace", headers=admin).json
    assert [user["username"] for user in page["items"]] == ["grace"]
    assert client.delete(path, headers=admin).status_code == 204
    assert client.get(path, headers=admin).json["code"] == "not_found"

    key = {"X-API-Key": auth.post("/api-keys", admin, json={"name": "all"}).json["key"]}
    denied = client.post("/users", json=body, headers=key)
    assert (denied.status_code, denied.json["code"]) == (403, "session_required")
