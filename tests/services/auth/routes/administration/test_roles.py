"""Roles: which there are, and those that are made here."""

import pytest

from tests.services.auth.people import Person, outcome

READER = {"permissions": ["rag:read"], "description": "Reads and no more"}


def test_the_built_in_roles_are_told_and_stay(client, admin):
    listed = {role["name"]: role for role in admin.get("/roles").json["items"]}

    assert set(listed) == {"viewer", "user", "tenant_admin", "admin"}
    assert listed["viewer"]["permissions"] == ["agent:query", "rag:read"]
    assert all(role["built_in"] for role in listed.values())
    put = client.put("/roles/viewer", json=READER, headers=admin.bearer)
    assert outcome(put) == (409, "built_in_role")
    assert outcome(client.delete("/roles/admin", headers=admin.bearer)) == (409, "built_in_role")


def test_who_has_a_role_has_what_it_grants_at_once(client, admin, ada):
    made = client.put("/roles/reader", json=READER, headers=admin.bearer)
    client.patch(f"/users/{ada.user['id']}", json={"roles": ["reader"]}, headers=admin.bearer)
    ada = Person.sign_in(client, "ada")
    assert (made.status_code, ada.user["permissions"]) == (201, ["rag:read"])

    wider = {"permissions": ["rag:read", "agent:query"]}
    changed = client.put("/roles/reader", json=wider, headers=admin.bearer)

    assert (changed.status_code, changed.json["description"]) == (200, None)
    assert outcome(ada.get("/me")) == (401, "session_ended")
    assert Person.sign_in(client, "ada").user["permissions"] == ["agent:query", "rag:read"]


def test_a_role_that_somebody_has_stays(client, admin, ada):
    client.put("/roles/reader", json=READER, headers=admin.bearer)
    path = f"/users/{ada.user['id']}"
    client.patch(path, json={"roles": ["reader"]}, headers=admin.bearer)

    assert outcome(client.delete("/roles/reader", headers=admin.bearer)) == (409, "role_in_use")

    client.patch(path, json={"roles": ["user"]}, headers=admin.bearer)
    assert client.delete("/roles/reader", headers=admin.bearer).status_code == 204
    assert outcome(client.delete("/roles/reader", headers=admin.bearer)) == (404, "not_found")


def test_a_tenant_has_roles_of_its_own(client, admin, team):
    made = client.put("/roles/reader", json=READER, headers=team.by_head())

    assert made.json["tenant_id"] == team.id
    names = [role["name"] for role in client.get("/roles", headers=team.by_head()).json["items"]]
    assert "reader" in names
    assert "reader" not in str(admin.get("/roles").json)
    path = f"/users/{team.member.user['id']}"
    given = client.patch(path, json={"roles": ["reader"]}, headers=team.by_head())
    assert given.json["permissions"] == ["rag:read"]
    elsewhere = client.patch(path, json={"roles": ["reader"]}, headers=admin.bearer)
    assert outcome(elsewhere) == (422, "validation_failed")


def test_a_tenants_own_role_hides_the_common_one_of_that_name(client, admin, team):
    client.put("/roles/reader", json=READER, headers=team.by_head())
    path = f"/users/{team.member.user['id']}"
    client.patch(path, json={"roles": ["reader"]}, headers=team.by_head())

    common = {"permissions": ["system:write"]}
    assert client.put("/roles/reader", json=common, headers=admin.bearer).status_code == 201

    seen = client.get(path, headers=team.by_head()).json
    assert seen["permissions"] == ["rag:read"]


def test_nobody_makes_a_role_of_what_they_lack(client, admin, team):
    system = {"permissions": ["system:read"]}

    assert outcome(client.put("/roles/root", json=system, headers=team.by_head())) == (
        403,
        "permission_denied",
    )
    client.put("/roles/root", json=system, headers=admin.bearer)
    path = f"/users/{team.member.user['id']}"
    given = client.patch(path, json={"roles": ["root"]}, headers=team.by_head())
    assert outcome(given) == (403, "permission_denied")


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
def test_bad_fields_are_pointed_at_and_no_role_is_made(client, admin, name, body, pointer):
    response = client.put(f"/roles/{name}", json=body, headers=admin.bearer)

    assert outcome(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
    assert len(admin.get("/roles").json["items"]) == 4


def test_roles_are_listed_page_by_page(client, admin):
    client.put("/roles/reader", json=READER, headers=admin.bearer)

    first = admin.get("/roles?limit=3").json
    rest = admin.get(f"/roles?limit=3&cursor={first['next_cursor']}").json

    names = [role["name"] for role in first["items"] + rest["items"]]
    assert names == ["admin", "reader", "tenant_admin", "user", "viewer"]
