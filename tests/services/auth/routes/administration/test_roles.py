"""Administration of roles."""

import pytest

from tests.services.auth.api_user import ApiUser, get_problem

VIEWER = ["agent:query", "chat:use", "packages:read", "rag:read"]
READER = {"permissions": ["rag:read"], "description": "Can only read"}


def test_built_in_roles_are_listed_and_cannot_be_changed(client, admin):
    listed = {role["name"]: role for role in admin.get("/roles").json["items"]}

    assert set(listed) == {"viewer", "user", "support", "tenant_admin", "admin"}
    assert listed["viewer"]["permissions"] == VIEWER
    assert all(role["built_in"] for role in listed.values())
    put = client.put("/roles/viewer", json=READER, headers=admin.auth_headers)
    assert get_problem(put) == (409, "built_in_role")
    assert get_problem(client.delete("/roles/admin", headers=admin.auth_headers)) == (
        409,
        "built_in_role",
    )


def test_changed_role_applies_immediately(client, admin, ada):
    created = client.put("/roles/reader", json=READER, headers=admin.auth_headers)
    client.patch(f"/users/{ada.user['id']}", json={"roles": ["reader"]}, headers=admin.auth_headers)
    ada = ApiUser.sign_in(client, "ada")
    assert (created.status_code, ada.user["permissions"]) == (201, ["rag:read"])

    wider = {"permissions": ["rag:read", "agent:query"]}
    changed = client.put("/roles/reader", json=wider, headers=admin.auth_headers)

    assert (changed.status_code, changed.json["description"]) == (200, None)
    assert get_problem(ada.get("/me")) == (401, "session_ended")
    assert ApiUser.sign_in(client, "ada").user["permissions"] == ["agent:query", "rag:read"]


def test_assigned_role_cannot_be_deleted(client, admin, ada):
    client.put("/roles/reader", json=READER, headers=admin.auth_headers)
    path = f"/users/{ada.user['id']}"
    client.patch(path, json={"roles": ["reader"]}, headers=admin.auth_headers)

    assert get_problem(client.delete("/roles/reader", headers=admin.auth_headers)) == (
        409,
        "role_in_use",
    )

    client.patch(path, json={"roles": ["user"]}, headers=admin.auth_headers)
    assert client.delete("/roles/reader", headers=admin.auth_headers).status_code == 204
    assert get_problem(client.delete("/roles/reader", headers=admin.auth_headers)) == (
        404,
        "not_found",
    )


def test_tenant_role_is_only_available_in_its_tenant(client, admin, team):
    created = client.put("/roles/reader", json=READER, headers=team.admin_headers)

    assert created.json["tenant_id"] == team.id
    names = [
        role["name"] for role in client.get("/roles", headers=team.admin_headers).json["items"]
    ]
    assert "reader" in names
    assert "reader" not in str(admin.get("/roles").json)
    path = f"/users/{team.member.user['id']}"
    response = client.patch(path, json={"roles": ["reader"]}, headers=team.admin_headers)
    assert response.json["permissions"] == ["rag:read"]
    in_other_tenant = client.patch(path, json={"roles": ["reader"]}, headers=admin.auth_headers)
    assert get_problem(in_other_tenant) == (422, "validation_failed")


def test_tenant_role_takes_precedence_over_global_role_of_the_same_name(client, admin, team):
    client.put("/roles/reader", json=READER, headers=team.admin_headers)
    path = f"/users/{team.member.user['id']}"
    client.patch(path, json={"roles": ["reader"]}, headers=team.admin_headers)

    global_role = {"permissions": ["system:write"]}
    assert (
        client.put("/roles/reader", json=global_role, headers=admin.auth_headers).status_code == 201
    )

    user = client.get(path, headers=team.admin_headers).json
    assert user["permissions"] == ["rag:read"]


def test_role_cannot_grant_permissions_that_the_caller_lacks(client, admin, team):
    system = {"permissions": ["system:read"]}

    assert get_problem(client.put("/roles/root", json=system, headers=team.admin_headers)) == (
        403,
        "permission_denied",
    )
    client.put("/roles/root", json=system, headers=admin.auth_headers)
    path = f"/users/{team.member.user['id']}"
    response = client.patch(path, json={"roles": ["root"]}, headers=team.admin_headers)
    assert get_problem(response) == (403, "permission_denied")


@pytest.mark.parametrize(
    ("name", "body", "pointer"),
    [
        ("Reader", READER, "#/name"),
        ("a" * 65, READER, "#/name"),
        ("7", READER, "#/name"),
        ("reader", {"permissions": ["all"]}, "#/permissions/0"),
        ("reader", {}, "#/permissions"),
        ("reader", READER | {"description": "a\u202eb"}, "#/description"),
        ("reader", READER | {"tenant_id": "another"}, "#/tenant_id"),
        ("reader", READER | {"built_in": True}, "#/built_in"),
    ],
    ids=str,
)
def test_put_role_rejects_invalid_field_and_creates_no_role(client, admin, name, body, pointer):
    response = client.put(f"/roles/{name}", json=body, headers=admin.auth_headers)

    assert get_problem(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
    assert len(admin.get("/roles").json["items"]) == 5


def test_roles_are_paginated(client, admin):
    client.put("/roles/reader", json=READER, headers=admin.auth_headers)

    first = admin.get("/roles?limit=3").json
    rest = admin.get(f"/roles?limit=3&cursor={first['next_cursor']}").json

    names = [role["name"] for role in first["items"] + rest["items"]]
    assert names == ["admin", "reader", "support", "tenant_admin", "user", "viewer"]
