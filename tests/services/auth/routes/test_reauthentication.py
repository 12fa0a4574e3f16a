"""Sensitive requests need a session with a recent proof."""

import pyotp
import pytest

from backend.services.auth.routes.sensitive_operations import SENSITIVE_OPERATIONS, Requirement
from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD

REQUIRED = (403, "reauthentication_required")


def list_sensitive_requests(user_id, tenant_id):
    """Return (method, path, body) of a request for each operation that needs a recent proof."""
    return [
        ("PATCH", "/me", {"email": "thief@example.org"}),
        ("PATCH", "/me", {"email": None}),
        ("POST", "/mfa/totp", None),
        ("POST", "/mfa/totp/confirm", {"code": "123456"}),
        ("POST", "/api-keys", {"name": "all"}),
        ("POST", "/api-keys", {"name": "x", "permissions": ["rag:write"]}),
        ("POST", "/logout/all", None),
        ("POST", "/users", {"username": "cyd", "password": PASSWORD}),
        ("PATCH", f"/users/{user_id}", {"roles": ["admin"]}),
        ("PATCH", f"/users/{user_id}", {"email": "thief@example.org"}),
        ("DELETE", f"/users/{user_id}", None),
        ("POST", "/invitations", {"email": "guest@example.org"}),
        ("POST", "/service-accounts", {"name": "x", "permissions": ["rag:read"]}),
        ("POST", "/service-accounts/unknown/rotate", None),
        ("PUT", "/roles/reader", {"permissions": ["rag:read"]}),
        ("DELETE", f"/tenants/{tenant_id}", None),
        ("PUT", f"/tenants/{tenant_id}/members/{user_id}", {"roles": ["viewer"]}),
    ]


@pytest.fixture
def admin(client):
    return ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)


@pytest.fixture
def read_tables(execute):
    """Return a function that reads all tables that a sensitive request could change."""

    def read():
        return {
            name: execute(f"SELECT * FROM {name}")  # noqa: S608
            for name in (
                "users", "sessions", "api_keys", "memberships", "custom_roles", "totp_factors",
                "pending_emails", "outgoing_mails", "service_accounts", "service_account_keys",
                "invitations",
            )
        }  # fmt: skip

    return read


def prove(client, user, **body):
    return client.post("/reauthenticate", json=body, headers=user.auth_headers)


def send(client, user, request):
    method, path, body = request
    return client.open(path, method=method, json=body, headers=user.auth_headers)


def test_sensitive_requests_without_recent_proof_change_nothing(
    app, client, ada, admin, clock, read_tables
):
    body = {"name": "Team", "slug": "team"}
    tenant = client.post("/tenants", json=body, headers=admin.auth_headers).json
    clock.advance(minutes=5)
    before = read_tables()
    requests = list_sensitive_requests(ada.user["id"], tenant["id"])

    for request in requests:
        assert get_problem(send(client, admin, request)) == REQUIRED, request

    rules = app.url_map.bind("localhost")
    tested = {
        f"{method} {rules.match(path, method, return_rule=True)[0].rule}"
        for method, path, _ in requests
    }
    assert tested == {
        route
        for route, rule in SENSITIVE_OPERATIONS.items()
        if rule.requirement is Requirement.RECENT_PROOF
    }

    assert read_tables() == before


def test_password_is_a_proof_for_five_minutes(client, ada, clock):
    clock.advance(minutes=5)

    assert prove(client, ada, password=PASSWORD).status_code == 204
    clock.advance(minutes=4, seconds=59)
    assert client.post("/mfa/totp", headers=ada.auth_headers).status_code == 200
    clock.advance(seconds=1)
    assert get_problem(client.post("/mfa/totp", headers=ada.auth_headers)) == REQUIRED


def test_proof_in_one_session_does_not_serve_another(client, ada, clock):
    other = ApiUser.sign_in(client, "ada")
    clock.advance(minutes=5)

    assert prove(client, ada, password=PASSWORD).status_code == 204

    assert get_problem(client.post("/mfa/totp", headers=other.auth_headers)) == REQUIRED
    assert client.post("/mfa/totp", headers=ada.auth_headers).status_code == 200


def test_second_factor_is_a_proof(client, ada, clock):
    secret = client.post("/mfa/totp", headers=ada.auth_headers).json["secret"]
    body = {"code": pyotp.TOTP(secret).at(clock.now())}
    client.post("/mfa/totp/confirm", json=body, headers=ada.auth_headers)
    clock.advance(minutes=5)

    assert get_problem(prove(client, ada, totp="000000")) == (401, "invalid_totp")
    assert prove(client, ada, totp=pyotp.TOTP(secret).at(clock.now())).status_code == 204
    assert client.post("/logout/all", headers=ada.auth_headers).status_code == 204


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "validation_failed"),
        ({"password": "not the password"}, 401, "invalid_credentials"),
        ({"totp": "123456"}, 401, "invalid_totp"),
        ({"password": PASSWORD, "totp": "123456"}, 401, "invalid_totp"),
    ],
    ids=str,
)
def test_invalid_proof_is_rejected(client, ada, clock, body, status, code):
    clock.advance(minutes=5)

    assert get_problem(prove(client, ada, **body)) == (status, code)

    assert get_problem(client.post("/mfa/totp", headers=ada.auth_headers)) == REQUIRED


def test_failed_proofs_are_limited_per_session(client, ada):
    statuses = [prove(client, ada, password="x").status_code for _ in range(11)]

    assert statuses == [401] * 10 + [429]
    change = {"current_password": "x", "new_password": "another password 7"}
    response = client.post("/password/change", json=change, headers=ada.auth_headers)
    assert get_problem(response) == (429, "too_many_attempts")


def test_failed_proof_is_in_the_audit_log(client, ada):
    prove(client, ada, password="x")

    newest = ada.get("/me/activity").json["items"][0]
    assert (newest["action"], newest["outcome"]) == (
        "session.reauthenticate",
        "invalid_credentials",
    )


def test_refreshed_token_keeps_the_proof_of_its_session(client, ada, clock):
    clock.advance(minutes=5)
    prove(client, ada, password=PASSWORD)

    token = ada.refresh().json["access_token"]

    headers = {"Authorization": f"Bearer {token}"}
    assert client.post("/mfa/totp", headers=headers).status_code == 200


def test_key_without_write_permissions_needs_no_proof(client, ada, clock):
    clock.advance(minutes=5)
    body = {"name": "x", "permissions": ["rag:read", "agent:query"]}

    assert client.post("/api-keys", json=body, headers=ada.auth_headers).status_code == 201


def test_preferences_and_display_name_need_no_proof(client, ada, clock):
    clock.advance(minutes=5)

    response = client.patch("/me", json={"display_name": "Ada"}, headers=ada.auth_headers)

    assert response.status_code == 200


def test_api_keys_cannot_perform_sensitive_operations(client, ada, admin, read_tables):
    key = client.post("/api-keys", json={"name": "all"}, headers=admin.auth_headers).json
    change = {"current_password": ADMIN_PASSWORD, "new_password": "another password 7"}
    session_id = admin.get("/me/sessions").json["items"][0]["id"]
    headers = {"X-API-Key": key["key"]}
    client.get("/me", headers=headers)
    before = read_tables()

    for method, path, body in (
        *list_sensitive_requests(ada.user["id"], "a-tenant"),
        ("POST", "/password/change", change),
        ("DELETE", "/mfa/totp", {"password": ADMIN_PASSWORD, "code": "123456"}),
        ("DELETE", f"/me/sessions/{session_id}", None),
        ("DELETE", f"/api-keys/{key['id']}", None),
        ("POST", "/logout", None),
        ("POST", "/reauthenticate", {"password": ADMIN_PASSWORD}),
    ):
        response = client.open(path, method=method, json=body, headers=headers)
        assert get_problem(response) == (403, "session_required"), (method, path)

    assert read_tables() == before
