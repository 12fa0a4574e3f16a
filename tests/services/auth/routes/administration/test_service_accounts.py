"""Service accounts: creation, use, key rotation, deletion and tenant separation."""

import jwt
import pytest

from backend.security.permissions import SERVICE_ACCOUNT_PERMISSIONS
from backend.services.auth.app import create_app
from tests.databases import contents, database_in
from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD

CHANNEL = {"name": "telegram channel", "permissions": ["agent:query", "rag:read"]}
NOT_ALLOWED = (403, "session_required")


@pytest.fixture
def create_account(client, team):
    def send_create(**fields):
        response = client.post(
            "/service-accounts", json=CHANNEL | fields, headers=team.admin_headers
        )
        assert response.status_code == 201, response.text
        return response.json

    return send_create


@pytest.fixture
def rotate(client, team):
    def send_rotate(account, **body):
        path = f"/service-accounts/{account['id']}/rotate"
        response = client.post(path, json=body, headers=team.admin_headers)
        assert response.status_code == 201, response.text
        return response.json

    return send_rotate


def key_headers(account):
    return {"X-API-Key": account["key"]}


def exchange(client, account):
    return client.post("/api-keys/exchange", json={"key": account["key"]})


def exchange_token(client, account):
    return {"Authorization": f"Bearer {exchange(client, account).json['access_token']}"}


def test_account_has_its_permissions_in_its_tenant_only(client, team, create_account):
    account = create_account()

    me = client.get("/me", headers=key_headers(account)).json

    assert (me["kind"], me["username"], me["id"]) == ("service", CHANNEL["name"], account["id"])
    assert me["permissions"] == account["permissions"] == CHANNEL["permissions"]
    assert me["tenant_id"] == account["tenant_id"] == team.id
    assert [tenant["id"] for tenant in me["tenants"]] == [team.id]
    for other in (team.member.user["tenant_id"], team.administrator.user["tenant_id"]):
        response = client.get("/me", headers=key_headers(account) | {"X-Tenant-ID": other})
        assert get_problem(response) == (403, "not_a_member")


def test_key_is_shown_once_and_stored_as_digest(client, team, create_account, execute, tmp_path):
    account = create_account()
    path = f"/service-accounts/{account['id']}"

    shown = client.get(path, headers=team.admin_headers).json
    (listed,) = client.get("/service-accounts", headers=team.admin_headers).json["items"]

    assert shown == listed == {name: account[name] for name in account if name != "key"}
    assert account["key"].startswith(account["keys"][0]["prefix"])
    assert account["key"] not in str(contents(database_in(tmp_path, "auth"), "auth"))
    assert execute("SELECT count(*) FROM service_account_keys") == [(1,)]


def test_exchange_returns_short_lived_token(client, team, create_account):
    account = create_account()

    token = exchange(client, account).json

    claims = jwt.decode(token["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["tid"]) == (account["id"], team.id)
    assert claims["sid"] == f"key:{account['keys'][0]['id']}"
    assert claims["scope"] == "agent:query rag:read"
    assert token["expires_in"] == claims["exp"] - claims["iat"] == 120


def test_account_cannot_sign_in(client, create_account):
    account = create_account()

    for name in (account["id"], account["name"]):
        for password in (account["key"], "", PASSWORD):
            response = client.post("/login", json={"username": name, "password": password})
            assert response.status_code in (401, 422)
        forgot = client.post("/password/forgot", json={"username": name})
        assert forgot.status_code in (202, 422)
    assert client.post("/refresh", json={"refresh_token": account["key"]}).status_code == 401


def test_account_cannot_create_means_of_sign_in(client, create_account, execute):
    account = create_account()
    tables = ("sessions", "api_keys", "totp_factors", "users", "external_identities")

    def count_rows():
        return [execute(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608

    before = count_rows()

    for headers in (key_headers(account), exchange_token(client, account)):
        for method, path, body in (
            ("POST", "/api-keys", {"name": "x"}),
            ("POST", "/api-keys", {"name": "x", "permissions": ["rag:write"]}),
            ("PATCH", "/me", {"display_name": "x"}),
            ("PATCH", "/me", {"email": "thief@example.org"}),
            ("POST", "/mfa/totp", None),
            ("POST", "/password/change", {"current_password": "x", "new_password": PASSWORD}),
            ("POST", "/reauthenticate", {"password": account["key"]}),
            ("POST", "/logout", None),
            ("POST", "/logout/all", None),
        ):
            response = client.open(path, method=method, json=body, headers=headers)
            assert get_problem(response) == NOT_ALLOWED, (method, path)
        assert client.get("/me/sessions", headers=headers).json["items"] == []
        assert client.get("/api-keys", headers=headers).json["items"] == []

    assert count_rows() == before


def test_account_cannot_administer_accounts(client, team, create_account):
    account = create_account(permissions=sorted(SERVICE_ACCOUNT_PERMISSIONS))

    for method, path in (
        ("GET", "/users"),
        ("GET", "/service-accounts"),
        ("POST", "/service-accounts"),
        ("DELETE", f"/service-accounts/{account['id']}"),
        ("GET", "/audit"),
        ("GET", f"/tenants/{team.id}/members"),
    ):
        response = client.open(path, method=method, json=CHANNEL, headers=key_headers(account))
        assert get_problem(response) == (403, "permission_denied"), (method, path)


@pytest.mark.parametrize(
    "permission", ["users:read", "users:write", "audit:read", "system:read", "system:write"]
)
def test_administrative_permission_is_rejected_also_for_admins(client, admin, permission):
    body = CHANNEL | {"permissions": ["rag:read", permission]}

    response = client.post("/service-accounts", json=body, headers=admin.auth_headers)

    assert get_problem(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == "#/permissions/1"
    assert admin.get("/service-accounts").json["items"] == []


def test_creator_cannot_grant_or_administer_permissions_it_lacks(
    client, admin, team, create_account
):
    account = create_account(permissions=["rag:write"])
    role = {"permissions": ["rag:read", "users:read", "users:write"]}
    client.put("/roles/helpdesk", json=role, headers=team.admin_headers)
    member = f"/tenants/{team.id}/members/{team.member.user['id']}"
    client.put(member, json={"roles": ["helpdesk"]}, headers=team.admin_headers)
    headers = ApiUser.sign_in(client, "member").auth_headers | {"X-Tenant-ID": team.id}
    path = f"/service-accounts/{account['id']}"

    for method, target, body in (
        ("POST", "/service-accounts", CHANNEL),
        ("POST", f"{path}/rotate", {}),
        ("DELETE", path, None),
    ):
        response = client.open(target, method=method, json=body, headers=headers)
        assert get_problem(response) == (403, "permission_denied"), (method, target)

    narrow = client.post(
        "/service-accounts", json=CHANNEL | {"permissions": ["rag:read"]}, headers=headers
    )
    assert narrow.status_code == 201
    assert client.get("/me", headers=key_headers(account)).status_code == 200


def test_permission_that_accounts_can_no_longer_have_ends(client, create_account, execute):
    account = create_account()
    execute('UPDATE service_accounts SET permissions = \'["rag:read", "users:write"]\'')

    assert client.get("/me", headers=key_headers(account)).json["permissions"] == ["rag:read"]


def test_previous_key_stays_valid_for_the_overlap(client, create_account, rotate, clock):
    account = create_account()
    token = exchange_token(client, account)

    rotated = rotate(account, overlap_seconds=90)

    assert rotated["key"] != account["key"]
    new, old = rotated["keys"]
    assert (new["expires_at"], old["expires_at"]) == (None, "2026-01-01T12:01:30Z")
    assert old["id"] == account["keys"][0]["id"]
    assert client.get("/me", headers=token).status_code == 200
    assert exchange(client, account).json["expires_in"] == 90
    clock.advance(seconds=90)
    assert get_problem(exchange(client, account)) == (401, "invalid_api_key")
    assert client.get("/me", headers=key_headers(rotated)).json["id"] == account["id"]


def test_overlap_is_one_day_by_default(create_account, rotate):
    rotated = rotate(create_account())

    assert rotated["keys"][1]["expires_at"] == "2026-01-02T12:00:00Z"


def test_rotation_without_overlap_revokes_the_key_and_its_tokens(client, create_account, rotate):
    account = create_account()
    token = exchange_token(client, account)

    rotated = rotate(account, overlap_seconds=0)

    assert len(rotated["keys"]) == 1
    assert get_problem(client.get("/me", headers=token)) == (401, "session_ended")
    assert get_problem(exchange(client, account)) == (401, "invalid_api_key")
    assert client.get("/me", headers=key_headers(rotated)).status_code == 200


def test_second_rotation_revokes_the_key_before_the_previous_one(
    client, create_account, rotate, clock
):
    first = create_account()
    second = rotate(first)
    clock.advance(seconds=1)
    token = exchange_token(client, first)

    third = rotate(first)

    assert [exchange(client, account).status_code for account in (first, second, third)] == [
        401,
        200,
        200,
    ]
    assert get_problem(client.get("/me", headers=token)) == (401, "session_ended")
    assert len(third["keys"]) == 2


def test_second_rotation_does_not_extend_the_overlap(create_account, rotate, clock):
    account = rotate(create_account(), overlap_seconds=60)
    clock.advance(seconds=60)

    assert [key["expires_at"] for key in rotate(account, overlap_seconds=60)["keys"]] == [
        None,
        "2026-01-01T12:02:00Z",
    ]


def test_deleted_account_and_its_tokens_are_rejected(client, team, create_account, rotate):
    account = create_account()
    rotated = rotate(account)
    tokens = [exchange_token(client, item) for item in (account, rotated)]
    path = f"/service-accounts/{account['id']}"

    assert client.delete(path, headers=team.admin_headers).status_code == 204

    for token in tokens:
        assert get_problem(client.get("/me", headers=token)) == (401, "session_ended")
    for item in (account, rotated):
        assert get_problem(exchange(client, item)) == (401, "invalid_api_key")
    assert client.get("/service-accounts", headers=team.admin_headers).json["items"] == []
    for method, target in (("GET", path), ("DELETE", path), ("POST", f"{path}/rotate")):
        response = client.open(target, method=method, headers=team.admin_headers)
        assert get_problem(response) == (404, "not_found")


def test_account_of_another_tenant_does_not_exist(client, admin, team, create_account):
    account = create_account()
    before = client.get("/service-accounts", headers=team.admin_headers).json
    path = f"/service-accounts/{account['id']}"

    # Also for an admin with all permissions who has selected another tenant.
    for method, target in (("GET", path), ("POST", f"{path}/rotate"), ("DELETE", path)):
        response = client.open(target, method=method, headers=admin.auth_headers)
        assert get_problem(response) == (404, "not_found"), (method, target)

    assert admin.get("/service-accounts").json["items"] == []
    assert client.get("/service-accounts", headers=team.admin_headers).json == before


def test_accounts_are_deleted_with_their_tenant(client, team, create_account, execute):
    account = create_account()
    token = exchange_token(client, account)

    assert client.delete(f"/tenants/{team.id}", headers=team.admin_headers).status_code == 204

    assert get_problem(client.get("/me", headers=token)) == (401, "session_ended")
    assert get_problem(exchange(client, account)) == (401, "invalid_api_key")
    assert execute("SELECT count(*) FROM service_accounts WHERE deleted_at IS NULL") == [(0,)]
    assert execute("SELECT count(*) FROM service_account_keys WHERE revoked_at IS NULL") == [(0,)]


def test_accounts_of_a_personal_tenant_are_deleted_with_its_owner(client, admin):
    body = {"username": "boss", "password": PASSWORD, "roles": ["admin"]}
    boss_id = client.post("/users", json=body, headers=admin.auth_headers).json["id"]
    boss = ApiUser.sign_in(client, "boss")
    account = client.post("/service-accounts", json=CHANNEL, headers=boss.auth_headers).json
    token = exchange_token(client, account)

    assert client.delete(f"/users/{boss_id}", headers=admin.auth_headers).status_code == 204

    assert get_problem(client.get("/me", headers=token)) == (401, "session_ended")
    assert get_problem(exchange(client, account)) == (401, "invalid_api_key")


def test_account_of_a_shared_tenant_survives_its_creator(client, admin, team, create_account):
    account = create_account()

    path = f"/users/{team.administrator.user['id']}"
    assert client.delete(path, headers=admin.auth_headers).status_code == 204

    assert client.get("/me", headers=key_headers(account)).status_code == 200


def test_audit_shows_administration_and_use(client, admin, team, create_account, rotate):
    account = create_account()
    rotated = rotate(account, overlap_seconds=0)
    client.get("/me", headers=key_headers(rotated))
    client.get("/users", headers=key_headers(rotated))
    client.delete(f"/service-accounts/{account['id']}", headers=team.admin_headers)

    records = client.get("/audit", headers=team.admin_headers).json["items"]

    shown = {
        (record["action"], record["actor"], record["target"])
        for record in records
        if account["id"] in (record["actor_id"], record["target"])
    }
    assert shown == {
        ("service_account.create", "administrator", account["id"]),
        ("service_account.rotate", "administrator", account["id"]),
        ("service_account.delete", "administrator", account["id"]),
        ("api_key.use", CHANNEL["name"], rotated["keys"][0]["id"]),
        ("access.denied", CHANNEL["name"], "GET /users"),
    }
    assert {record["tenant_id"] for record in records if record["actor_id"] == account["id"]} == {
        team.id
    }
    assert all(item["key"] not in str(records) for item in (account, rotated))


def test_accounts_are_paginated(client, team, create_account, clock):
    names = [f"account {n}" for n in range(5)]
    for name in names:
        create_account(name=name)
        clock.advance(seconds=1)

    first = client.get("/service-accounts?limit=3", headers=team.admin_headers).json
    rest = client.get(
        f"/service-accounts?limit=3&cursor={first['next_cursor']}", headers=team.admin_headers
    ).json

    assert [item["name"] for item in first["items"] + rest["items"]] == names[::-1]
    assert rest["next_cursor"] is None


def test_repeated_creation_and_rotation_with_an_idempotency_key_run_once(client, team):
    headers = team.admin_headers | {"Idempotency-Key": "once"}

    created = [client.post("/service-accounts", json=CHANNEL, headers=headers) for _ in "12"]
    path = f"/service-accounts/{created[0].json['id']}/rotate"
    rotated = [client.post(path, headers=headers) for _ in "12"]

    for first, repeated in (created, rotated):
        assert first.status_code == 201
        assert get_problem(repeated) == (409, "response_not_repeatable")
    (listed,) = client.get("/service-accounts", headers=team.admin_headers).json["items"]
    assert listed["keys"] == rotated[0].json["keys"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "x"}, "#/permissions"),
        ({"name": "x", "permissions": []}, "#/permissions"),
        ({"name": "x", "permissions": ["everything"]}, "#/permissions/0"),
        ({"name": "a\nb", "permissions": ["rag:read"]}, "#/name"),
        ({"name": "x" * 101, "permissions": ["rag:read"]}, "#/name"),
        (CHANNEL | {"tenant_id": "another"}, "#/tenant_id"),
        (CHANNEL | {"key": "aas_sa.chosen"}, "#/key"),
    ],
    ids=str,
)
def test_creation_rejects_invalid_field(client, admin, body, pointer):
    response = client.post("/service-accounts", json=body, headers=admin.auth_headers)

    assert get_problem(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("overlap", [-1, 604_801, "60", None, 1.5])
def test_rotation_rejects_invalid_overlap(client, team, create_account, overlap):
    account = create_account()
    path = f"/service-accounts/{account['id']}/rotate"

    response = client.post(path, json={"overlap_seconds": overlap}, headers=team.admin_headers)

    assert get_problem(response) == (422, "validation_failed")
    assert exchange(client, account).status_code == 200


def test_key_revoked_at_another_instance_is_rejected_at_once(make_settings, clock):
    settings = make_settings()
    first, second = (create_app(settings, clock.now).test_client() for _ in "ab")
    admin = ApiUser.sign_in(first, "admin", ADMIN_PASSWORD)
    account = first.post("/service-accounts", json=CHANNEL, headers=admin.auth_headers).json
    token = exchange_token(first, account)

    second.delete(f"/service-accounts/{account['id']}", headers=admin.auth_headers)

    assert get_problem(first.get("/me", headers=token)) == (401, "session_ended")
