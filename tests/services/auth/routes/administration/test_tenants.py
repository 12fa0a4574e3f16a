"""Tenants and their members."""

import pytest

from tests.services.auth.people import Person, outcome


def test_members_reach_a_shared_tenant_by_its_id_or_slug(client, team):
    for name in (team.id, "the-team"):
        headers = team.member.bearer | {"X-Tenant-ID": name}
        me = client.get("/me", headers=headers).json
        assert (me["tenant_id"], me["roles"]) == (team.id, ["user"])
    assert team.member.get("/me").json["tenant_id"] == team.member.user["tenant_id"] != team.id


def test_who_is_taken_out_of_a_tenant_is_out_at_once(client, team):
    place = f"/tenants/{team.id}/members/{team.member.user['id']}"
    key = client.post(
        "/api-keys", json={"name": "x"}, headers=team.member.bearer | {"X-Tenant-ID": team.id}
    ).json["key"]

    assert client.delete(place, headers=team.by_head()).status_code == 204

    inside = {"X-Tenant-ID": team.id}
    assert client.get("/me", headers=team.member.bearer | inside).status_code == 401
    assert client.get("/me", headers={"X-API-Key": key}).status_code == 401
    again = Person.sign_in(client, "member")
    refused = client.get("/me", headers=again.bearer | inside)
    assert outcome(refused) == (403, "not_a_member")
    assert outcome(client.delete(place, headers=team.by_head())) == (404, "not_found")


def test_members_are_listed_and_seen_one_by_one(client, admin, team):
    path = f"/tenants/{team.id}/members"

    first = client.get(f"{path}?limit=2", headers=team.by_head()).json
    rest = client.get(f"{path}?cursor={first['next_cursor']}", headers=team.by_head()).json

    members = first["items"] + rest["items"]
    assert [member["username"] for member in members] == ["admin", "head", "member"]
    assert members[0]["roles"] == ["tenant_admin"]
    one = admin.get(f"{path}/{team.member.user['id']}").json
    assert one == members[2]
    assert admin.get(f"{path}/nobody").status_code == 404


def test_tenants_are_listed_as_far_as_one_reaches(client, admin, team):
    everywhere = admin.get("/tenants").json["items"]
    here = client.get("/tenants", headers=team.by_head()).json["items"]

    assert [tenant["id"] for tenant in here] == [team.id]
    assert here[0] in everywhere
    assert sum(tenant["personal"] for tenant in everywhere) == len(everywhere) - 1 == 3


def test_a_tenant_gets_another_name_from_its_head_and_from_nobody_elses(client, admin, team):
    other = client.post("/tenants", json={"name": "Other"}, headers=admin.bearer).json
    new = {"name": "The Crew"}

    renamed = client.patch(f"/tenants/{team.id}", json=new, headers=team.by_head())
    foreign = client.patch(f"/tenants/{other['id']}", json=new, headers=team.by_head())

    assert (renamed.json["name"], renamed.json["slug"]) == ("The Crew", "the-team")
    assert outcome(foreign) == (404, "not_found")
    assert other in admin.get("/tenants").json["items"]
    place = f"/tenants/{other['id']}/members/{team.head.user['id']}"
    for method in ("GET", "PUT", "DELETE"):
        body = {} if method == "PUT" else None
        response = client.open(place, method=method, json=body, headers=team.by_head())
        assert outcome(response) == (404, "not_found")


def test_a_slug_is_there_once_and_is_made_of_the_name(client, admin):
    def found(**wanted: str):
        return client.post("/tenants", json=wanted, headers=admin.bearer)

    assert found(name="Ünïcorn & Söhne").json["slug"] == "unicorn-sohne"
    assert found(name="Unicorn Sohne").json["slug"].startswith("unicorn-sohne-")
    assert found(name="山田").json["slug"] == "tenant"
    assert outcome(found(name="x", slug="tenant")) == (409, "slug_taken")


def test_a_tenant_that_was_asked_for_twice_is_opened_once(client, admin):
    headers = admin.bearer | {"Idempotency-Key": "once"}

    first, again = (client.post("/tenants", json={"name": "x"}, headers=headers) for _ in "12")

    assert first.json == again.json


def test_a_personal_tenant_takes_in_nobody_and_keeps_its_owner(client, admin, ada):
    bob = Person.register(client, "bob")
    members = f"/tenants/{ada.user['tenant_id']}/members"

    joining = client.put(f"{members}/{bob.user['id']}", headers=admin.bearer)
    leaving = client.delete(f"{members}/{ada.user['id']}", headers=admin.bearer)

    assert outcome(joining) == (409, "personal_tenant")
    assert outcome(leaving) == (409, "home_tenant")


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
def test_bad_fields_are_pointed_at_and_no_tenant_is_opened(client, admin, body, pointer):
    response = client.post("/tenants", json=body, headers=admin.bearer)

    assert outcome(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
    assert len(admin.get("/tenants").json["items"]) == 1


def test_an_admins_place_in_a_tenant_may_end_while_another_is_left(client, admin, team):
    place = f"/tenants/{team.id}/members/{admin.user['id']}"

    assert client.delete(place, headers=admin.bearer).status_code == 204
