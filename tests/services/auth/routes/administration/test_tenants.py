"""Administration of tenants and their members."""

import threading
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event

from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem


def test_deleted_tenant_ends_tokens_and_keys_and_frees_its_slug(client, admin, team):
    key = client.post(
        "/api-keys", json={"name": "x", "permissions": ["rag:read"]}, headers=team.admin_headers
    ).json
    before = client.get(f"/tenants/{team.id}/members", headers=admin.auth_headers)

    response = client.delete(f"/tenants/{team.id}", headers=team.admin_headers)

    assert (before.status_code, response.status_code) == (200, 204)
    assert get_problem(client.get("/me", headers=team.admin_headers)) == (401, "session_ended")
    assert client.get("/me", headers={"X-API-Key": key["key"]}).status_code == 401
    assert team.member.get("/me").status_code == 200
    assert client.get(f"/tenants/{team.id}/members", headers=admin.auth_headers).status_code == 404
    again = client.post("/tenants", json={"name": "The Team"}, headers=admin.auth_headers)
    assert again.json["slug"] == "the-team"
    refreshed = ApiUser.sign_in(client, "member")
    assert [tenant["id"] for tenant in refreshed.user["tenants"]] == [refreshed.user["tenant_id"]]


def test_personal_and_home_tenants_cannot_be_deleted(client, admin, team):
    own = f"/tenants/{admin.user['tenant_id']}"
    assert get_problem(client.delete(own, headers=admin.auth_headers)) == (409, "personal_tenant")
    body = {"username": "native", "password": PASSWORD}
    assert client.post("/users", json=body, headers=team.admin_headers).status_code == 201

    response = client.delete(f"/tenants/{team.id}", headers=team.admin_headers)

    assert get_problem(response) == (409, "home_tenant")
    assert client.get("/me", headers=team.admin_headers).status_code == 200


def test_member_can_select_a_tenant_by_id_or_slug(client, team):
    for name in (team.id, "the-team"):
        headers = team.member.auth_headers | {"X-Tenant-ID": name}
        me = client.get("/me", headers=headers).json
        assert (me["tenant_id"], me["roles"]) == (team.id, ["user"])
    assert team.member.get("/me").json["tenant_id"] == team.member.user["tenant_id"] != team.id


def test_removed_member_loses_access_immediately(client, team):
    member_path = f"/tenants/{team.id}/members/{team.member.user['id']}"
    key = client.post(
        "/api-keys", json={"name": "x"}, headers=team.member.auth_headers | {"X-Tenant-ID": team.id}
    ).json["key"]

    assert client.delete(member_path, headers=team.admin_headers).status_code == 204

    tenant_header = {"X-Tenant-ID": team.id}
    assert client.get("/me", headers=team.member.auth_headers | tenant_header).status_code == 401
    assert client.get("/me", headers={"X-API-Key": key}).status_code == 401
    repeated = ApiUser.sign_in(client, "member")
    response = client.get("/me", headers=repeated.auth_headers | tenant_header)
    assert get_problem(response) == (403, "not_a_member")
    assert get_problem(client.delete(member_path, headers=team.admin_headers)) == (404, "not_found")


def test_members_are_paginated_and_can_be_read_individually(client, admin, team):
    path = f"/tenants/{team.id}/members"

    first = client.get(f"{path}?limit=2", headers=team.admin_headers).json
    rest = client.get(f"{path}?cursor={first['next_cursor']}", headers=team.admin_headers).json

    members = first["items"] + rest["items"]
    assert [member["username"] for member in members] == ["admin", "administrator", "member"]
    assert members[0]["roles"] == ["tenant_admin"]
    member = admin.get(f"{path}/{team.member.user['id']}").json
    assert member == members[2]
    assert admin.get(f"{path}/nobody").status_code == 404


def test_admin_lists_all_tenants_and_tenant_admin_only_their_own(client, admin, team):
    all_tenants = admin.get("/tenants").json["items"]
    own_tenants = client.get("/tenants", headers=team.admin_headers).json["items"]

    assert [tenant["id"] for tenant in own_tenants] == [team.id]
    assert own_tenants[0] in all_tenants
    assert sum(tenant["personal"] for tenant in all_tenants) == len(all_tenants) - 1 == 3


def test_tenant_admin_can_only_change_their_own_tenant(client, admin, team):
    other = client.post("/tenants", json={"name": "Other"}, headers=admin.auth_headers).json
    changes = {"name": "The Crew"}

    renamed = client.patch(f"/tenants/{team.id}", json=changes, headers=team.admin_headers)
    foreign = client.patch(f"/tenants/{other['id']}", json=changes, headers=team.admin_headers)

    assert (renamed.json["name"], renamed.json["slug"]) == ("The Crew", "the-team")
    assert get_problem(foreign) == (404, "not_found")
    assert other in admin.get("/tenants").json["items"]
    member_path = f"/tenants/{other['id']}/members/{team.administrator.user['id']}"
    for method in ("GET", "PUT", "DELETE"):
        body = {} if method == "PUT" else None
        response = client.open(member_path, method=method, json=body, headers=team.admin_headers)
        assert get_problem(response) == (404, "not_found")


def test_slug_is_unique_and_derived_from_the_name(client, admin):
    def create_tenant(**fields: str):
        return client.post("/tenants", json=fields, headers=admin.auth_headers)

    assert create_tenant(name="Ünïcorn & Söhne").json["slug"] == "unicorn-sohne"
    assert create_tenant(name="Unicorn Sohne").json["slug"].startswith("unicorn-sohne-")
    assert create_tenant(name="山田").json["slug"] == "tenant"
    assert get_problem(create_tenant(name="x", slug="tenant")) == (409, "slug_taken")


def test_create_tenant_with_the_same_idempotency_key_creates_one_tenant(client, admin):
    headers = admin.auth_headers | {"Idempotency-Key": "once"}

    first, repeated = (client.post("/tenants", json={"name": "x"}, headers=headers) for _ in "12")

    assert first.json == repeated.json


def test_personal_tenant_accepts_no_members_and_keeps_its_owner(client, admin, ada):
    bob = ApiUser.register(client, "bob")
    members = f"/tenants/{ada.user['tenant_id']}/members"

    joining = client.put(f"{members}/{bob.user['id']}", headers=admin.auth_headers)
    leaving = client.delete(f"{members}/{ada.user['id']}", headers=admin.auth_headers)

    assert get_problem(joining) == (409, "personal_tenant")
    assert get_problem(leaving) == (409, "home_tenant")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/name"),
        ({"name": ""}, "#/name"),
        ({"name": "x" * 201}, "#/name"),
        ({"name": "a\u0007"}, "#/name"),
        ({"name": "x", "slug": "Not a slug"}, "#/slug"),
        ({"name": "x", "slug": "x" * 64}, "#/slug"),
        ({"name": "x", "slug": "u-0123456789abcdef"}, "#/slug"),
        ({"name": "x", "slug": "0123456789abcdef" * 2}, "#/slug"),
        ({"name": "x", "id": "chosen"}, "#/id"),
        ({"name": "x", "personal": True}, "#/personal"),
    ],
    ids=str,
)
def test_create_tenant_rejects_invalid_field_and_creates_no_tenant(client, admin, body, pointer):
    response = client.post("/tenants", json=body, headers=admin.auth_headers)

    assert get_problem(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
    assert len(admin.get("/tenants").json["items"]) == 1


def test_admin_can_be_removed_from_a_tenant_with_another_admin(client, admin, team):
    member_path = f"/tenants/{team.id}/members/{admin.user['id']}"

    assert client.delete(member_path, headers=admin.auth_headers).status_code == 204


def test_colleagues_are_names_and_who_can_answer_in_the_inbox(client, team):
    member_path = f"/tenants/{team.id}/members/{team.member.user['id']}"
    client.put(member_path, json={"roles": ["support"]}, headers=team.admin_headers)
    member = ApiUser.sign_in(client, "member")

    listed = client.get("/colleagues", headers=member.auth_headers | {"X-Tenant-ID": team.id})

    assert {tuple(item) for item in listed.json["items"]} == {("id", "name", "can_reply")}
    names = {item["id"]: (item["name"], item["can_reply"]) for item in listed.json["items"]}
    assert names[member.user["id"]] == ("member", True)


@pytest.mark.parametrize("path", ["/colleagues", "/tenants/{}/members"])
def test_lists_of_members_execute_the_same_number_of_statements_for_more_members(
    client, admin, team, path
):
    role = {"permissions": ["chat:read", "chat:reply"]}
    created = client.put("/roles/answering", json=role, headers=team.admin_headers)
    assert created.status_code == 201

    def list_and_count():
        with count_statements() as statements:
            listed = client.get(path.format(team.id), headers=team.admin_headers)
        return listed.json["items"], len(statements)

    def add_member(name):
        member = ApiUser.register(client, name)
        member_path = f"/tenants/{team.id}/members/{member.user['id']}"
        body = {"roles": ["user", "answering"]}
        assert client.put(member_path, json=body, headers=admin.auth_headers).status_code == 201

    add_member("first")
    few, statements = list_and_count()
    for number in range(5):
        add_member(f"another-{number}")

    assert list_and_count()[1] == statements
    items = list_and_count()[0]
    assert len(items) == len(few) + 5
    if path == "/colleagues":
        answering = {item["name"] for item in items if item["can_reply"]}
        assert answering >= {"first", *(f"another-{number}" for number in range(5))}
        assert "member" not in answering


@contextmanager
def count_statements():
    """Collect the SQL statements that this thread executes."""
    statements, thread = [], threading.get_ident()

    def add_statement(_connection, _cursor, statement, *_):
        if threading.get_ident() == thread:
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", add_statement)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", add_statement)


def test_colleagues_are_hidden_from_members_without_access_to_the_inbox(client, team):
    headers = team.member.auth_headers | {"X-Tenant-ID": team.id}

    assert get_problem(client.get("/colleagues", headers=headers)) == (403, "permission_denied")
