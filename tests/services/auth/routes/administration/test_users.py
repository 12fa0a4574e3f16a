"""Administration of users."""

# ruff: noqa: RUF001 - some names contain Turkish letters

from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.services.auth.app import create_app
from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD


def test_users_are_paginated_for_admin(client, admin, ada):
    for name in ("bob", "cy"):
        ApiUser.register(client, name)

    first = admin.get("/users?limit=3").json
    rest = admin.get(f"/users?limit=3&cursor={first['next_cursor']}").json

    names = [user["username"] for user in first["items"] + rest["items"]]
    assert names == ["ada", "admin", "bob", "cy"]
    assert rest["next_cursor"] is None
    (user,) = (user for user in first["items"] if user["username"] == "ada")
    assert user == admin.get(f"/users/{ada.user['id']}").json
    assert (user["roles"], user["disabled"]) == (["user"], False)
    assert "preferences" not in user


@pytest.mark.parametrize("text", ["ADA", "аdа", "ada@EXAMPLE", "love"])
def test_search_finds_users_by_part_of_name_or_email(client, admin, text):
    ApiUser.register(client, "ada", email="ada@example.org", display_name="Augusta Lovelace")
    ApiUser.register(client, "bob")

    users = client.get("/users", query_string={"q": text}, headers=admin.auth_headers).json["items"]

    assert [user["username"] for user in users] == ["ada"]


@pytest.mark.parametrize(
    "text", ["İbra", "ibra", "IBRA", "ıbra", "YILDIZ", "yıldız", "Yildiz", "ışık@", "IŞIK"]
)
def test_search_ignores_case_and_dots_of_turkish_letters(client, admin, text):
    ApiUser.register(
        client, "İbrahim", email="ışık@example.org", display_name="İbrahim Işık Yıldız"
    )
    ApiUser.register(client, "bob", display_name="Bob")

    users = client.get("/users", query_string={"q": text}, headers=admin.auth_headers).json["items"]

    assert [user["username"] for user in users] == ["İbrahim"]


@pytest.mark.parametrize("text", ["%", "_", "a%a", "\\"])
def test_search_escapes_sql_wildcards(client, admin, ada, text):
    assert (
        client.get("/users", query_string={"q": text}, headers=admin.auth_headers).json["items"]
        == []
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users"),
        ("POST", "/users"),
        ("GET", "/users/{id}"),
        ("PATCH", "/users/{id}"),
        ("DELETE", "/users/{id}"),
        ("POST", "/users/{id}/unlock"),
        ("GET", "/roles"),
        ("PUT", "/roles/mine"),
        ("DELETE", "/roles/mine"),
        ("GET", "/tenants"),
        ("POST", "/tenants"),
        ("PATCH", "/tenants/{tenant_id}"),
        ("GET", "/tenants/{tenant_id}/members"),
        ("PUT", "/tenants/{tenant_id}/members/{id}"),
        ("DELETE", "/tenants/{tenant_id}/members/{id}"),
        ("GET", "/audit"),
    ],
)
def test_administration_routes_reject_users_and_record_the_denial(client, ada, method, path):
    path = path.format(**ada.user)

    assert get_problem(client.open(path, method=method, headers=ada.auth_headers)) == (
        403,
        "permission_denied",
    )
    assert client.open(path, method=method).status_code == 401
    newest = ada.get("/me/activity").json["items"][0]
    assert (newest["action"], newest["outcome"]) == ("access.denied", "permission_denied")


def test_admin_creates_account_with_roles_once_per_idempotency_key(client, admin):
    body = {"username": "cy", "password": PASSWORD, "roles": ["viewer"], "email": "c@example.org"}
    headers = admin.auth_headers | {"Idempotency-Key": "once"}

    created, repeated = (client.post("/users", json=body, headers=headers) for _ in "12")

    assert created.status_code == 201
    assert repeated.json == created.json
    assert ApiUser.sign_in(client, "cy").user["permissions"] == [
        "agent:query",
        "chat:use",
        "packages:read",
        "rag:read",
    ]


def test_changed_roles_apply_immediately(client, admin, ada):
    path = f"/users/{ada.user['id']}"

    changed = client.patch(path, json={"roles": ["viewer"]}, headers=admin.auth_headers)

    assert (changed.status_code, changed.json["roles"]) == (200, ["viewer"])
    assert get_problem(ada.get("/me")) == (401, "session_ended")
    ada.access_token = ada.refresh().json["access_token"]
    assert ada.get("/me").json["permissions"] == [
        "agent:query",
        "chat:use",
        "packages:read",
        "rag:read",
    ]


def test_disabled_account_is_rejected_immediately_until_it_is_enabled(client, admin, ada):
    key = client.post("/api-keys", json={"name": "x"}, headers=ada.auth_headers).json["key"]
    path = f"/users/{ada.user['id']}"

    client.patch(path, json={"disabled": True}, headers=admin.auth_headers)

    assert get_problem(ada.get("/me")) == (401, "session_ended")
    assert get_problem(ada.refresh()) == (401, "session_ended")
    assert client.get("/me", headers={"X-API-Key": key}).status_code == 401
    login = {"username": "ada", "password": PASSWORD}
    assert get_problem(client.post("/login", json=login)) == (403, "account_disabled")
    client.patch(path, json={"disabled": False}, headers=admin.auth_headers)
    assert ApiUser.sign_in(client, "ada").get("/me").status_code == 200
    assert ada.refresh().status_code == 401, "an ended session must stay ended"


def test_deleted_account_is_erased_and_its_name_available(client, admin, ada, execute):
    key = client.post("/api-keys", json={"name": "x"}, headers=ada.auth_headers).json["key"]
    path = f"/users/{ada.user['id']}"

    assert client.delete(path, headers=admin.auth_headers).status_code == 204

    assert get_problem(ada.get("/me")) == (401, "session_ended")
    assert ada.refresh().status_code == 401
    assert client.get("/me", headers={"X-API-Key": key}).status_code == 401
    for response in (admin.get(path), client.delete(path, headers=admin.auth_headers)):
        assert get_problem(response) == (404, "not_found")
    assert "example.org" not in str(execute("SELECT * FROM users"))
    repeated = ApiUser.register(client, "ada", email="ada@example.org")
    assert repeated.user["id"] != ada.user["id"]


def test_unlock_resets_failed_sign_ins(make_settings, clock):
    client = create_app(make_settings(LOGIN_ATTEMPTS="2 per 1 minute"), clock.now).test_client()
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    ada = ApiUser.register(client, "ada", email="ada@example.org")
    guess = {"username": "ada", "password": "guess"}
    statuses = [client.post("/login", json=guess).status_code for _ in range(3)]
    by_email = client.post("/login", json=guess | {"username": "ada@example.org"})
    assert (statuses, by_email.status_code) == ([401, 401, 429], 429)

    response = client.post(f"/users/{ada.user['id']}/unlock", headers=admin.auth_headers)

    assert response.status_code == 204
    assert ApiUser.sign_in(client, "ada").username == "ada"


@pytest.mark.parametrize(
    ("method", "body"),
    [("PATCH", {"disabled": True}), ("PATCH", {"roles": ["user"]}), ("DELETE", None)],
)
def test_last_admin_cannot_be_removed(client, admin, method, body):
    path = f"/users/{admin.user['id']}"

    response = client.open(path, method=method, json=body, headers=admin.auth_headers)

    assert get_problem(response) == (409, "last_admin")
    assert admin.get("/me").json["roles"] == ["admin"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_one_admin_remains_when_two_remove_each_other_concurrently(app, client, admin, method):
    body = {"username": "other", "password": PASSWORD, "roles": ["admin"]}
    assert client.post("/users", json=body, headers=admin.auth_headers).status_code == 201
    other = ApiUser.sign_in(client, "other")

    def remove(pair: tuple[ApiUser, ApiUser]) -> int:
        caller, target = pair
        path, body = f"/users/{target.user['id']}", {"disabled": True}
        body = body if method == "PATCH" else None
        return (
            app.test_client()
            .open(path, method=method, json=body, headers=caller.auth_headers)
            .status_code
        )

    with ThreadPoolExecutor(2) as threads:
        statuses = sorted(threads.map(remove, [(admin, other), (other, admin)]))

    assert statuses[0] in (200, 204)
    assert statuses[1] in (401, 409)


def test_tenant_admin_sees_only_members(client, ada, team):
    headers = team.admin_headers

    users = client.get("/users", headers=headers).json["items"]

    assert [user["username"] for user in users] == ["admin", "administrator", "member"]
    assert {user["tenant_id"] for user in users} == {team.id}
    assert all(len(user["tenants"]) == 1 for user in users)
    path = f"/users/{ada.user['id']}"
    assert get_problem(client.get(path, headers=headers)) == (404, "not_found")
    for method, body in (("PATCH", {"roles": ["viewer"]}), ("DELETE", None)):
        response = client.open(path, method=method, json=body, headers=headers)
        assert get_problem(response) == (404, "not_found")
    assert client.post(f"{path}/unlock", headers=headers).status_code == 404
    assert ada.get("/me").json == ada.user


def test_tenant_admin_cannot_grant_or_revoke_permissions_they_lack(client, admin, team):
    headers = team.admin_headers
    member_path, admin_path = f"/users/{team.member.user['id']}", f"/users/{admin.user['id']}"

    promoted = client.patch(member_path, json={"roles": ["admin"]}, headers=headers)
    new_admin = {"username": "cy", "password": PASSWORD, "roles": ["admin"]}
    assert get_problem(promoted) == (403, "permission_denied")
    assert client.post("/users", json=new_admin, headers=headers).status_code == 403
    membership_path = f"/tenants/{team.id}/members/{admin.user['id']}"
    client.put(membership_path, json={"roles": ["admin"]}, headers=admin.auth_headers)
    for response in (
        client.patch(admin_path, json={"roles": ["viewer"]}, headers=headers),
        client.delete(membership_path, headers=headers),
    ):
        assert get_problem(response) == (403, "permission_denied")
    demoted = client.patch(member_path, json={"roles": ["viewer"]}, headers=headers)
    assert demoted.json["roles"] == ["viewer"]


def test_tenant_admin_cannot_lock_invited_user_out_of_their_account(client, team):
    path = f"/users/{team.member.user['id']}"

    for method, body in (
        ("PATCH", {"disabled": True}),
        ("PATCH", {"email": "administrator@example.org"}),
        ("DELETE", None),
    ):
        response = client.open(path, method=method, json=body, headers=team.admin_headers)
        assert get_problem(response) == (403, "foreign_account")
    assert team.member.get("/me").json == team.member.user


def test_tenant_admin_manages_accounts_created_in_the_tenant(client, team):
    body = {"username": "cy", "password": PASSWORD}

    created = client.post("/users", json=body, headers=team.admin_headers)
    cy = ApiUser.sign_in(client, "cy")
    disabled = client.patch(
        f"/users/{created.json['id']}", json={"disabled": True}, headers=team.admin_headers
    )

    assert (created.status_code, cy.user["tenant_id"]) == (201, team.id)
    assert disabled.json["disabled"] is True
    assert (
        client.delete(f"/users/{created.json['id']}", headers=team.admin_headers).status_code == 204
    )
    assert get_problem(cy.get("/me")) == (401, "session_ended")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"roles": []}, "#/roles"),
        ({"roles": ["nobody"]}, "#/roles/0"),
        ({"roles": ["user", "No!"]}, "#/roles/1"),
        ({"roles": "admin"}, "#/roles"),
        ({"disabled": "yes"}, "#/disabled"),
        ({"email": "nobody"}, "#/email"),
        ({"display_name": "a\u0000b"}, "#/display_name"),
        ({"display_name": "x" * 201}, "#/display_name"),
        ({"username": "eve"}, "#/username"),
        ({"tenant_id": "another"}, "#/tenant_id"),
        ({"permissions": ["system:write"]}, "#/permissions"),
        ({"email_verified": True}, "#/email_verified"),
        ({"password": "something else"}, "#/password"),
    ],
    ids=str,
)
def test_update_user_rejects_invalid_field_and_changes_nothing(client, admin, ada, body, pointer):
    path = f"/users/{ada.user['id']}"
    before = admin.get(path).json

    response = client.patch(path, json=body, headers=admin.auth_headers)

    assert get_problem(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
    assert admin.get(path).json == before


@pytest.mark.parametrize("user_id", ["x", "%00", "%ff", "ü" * 40, "..%2f", "a" * 5000])
def test_unknown_user_id_returns_404(client, admin, user_id):
    for method in ("GET", "DELETE"):
        response = client.open(f"/users/{user_id}", method=method, headers=admin.auth_headers)
        assert get_problem(response) == (404, "not_found")
