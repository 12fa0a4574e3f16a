"""API keys: made, used, narrowed with their owner, ended."""

import jwt
import pytest

from tests.databases import contents, database_in
from tests.services.auth.people import Person, outcome


@pytest.fixture
def give(client):
    def give_key(owner: Person, **wanted: object) -> dict:
        body = {"name": "nightly import"} | wanted
        response = client.post("/api-keys", json=body, headers=owner.bearer)
        assert response.status_code == 201, response.text
        return response.json

    return give_key


def by(key: dict) -> dict[str, str]:
    return {"X-API-Key": key["key"]}


def test_a_key_may_what_its_owner_may_and_is_shown_once(client, ada, give):
    key = give(ada)

    assert key["key"].startswith("aas_")
    assert key["key"].startswith(key["prefix"])
    assert key["permissions"] == ada.user["permissions"]
    (listed,) = ada.get("/api-keys").json["items"]
    assert "key" not in listed
    assert listed == {name: value for name, value in key.items() if name != "key"}


@pytest.mark.parametrize("carried", ["X-API-Key", "Authorization"])
def test_a_key_opens_the_doors_of_auth_itself(client, ada, give, carried):
    key = give(ada)["key"]

    headers = {carried: key if carried == "X-API-Key" else f"Bearer {key}"}

    assert client.get("/me", headers=headers).json["id"] == ada.user["id"]


def test_an_exchanged_key_is_a_short_token_for_its_tenant_and_permissions_alone(client, ada, give):
    key = give(ada, permissions=["rag:read"])

    token = client.post("/api-keys/exchange", json={"key": key["key"]}).json

    claims = jwt.decode(token["access_token"], options={"verify_signature": False})
    assert claims["scope"] == "rag:read"
    assert (claims["tid"], claims["sid"]) == (ada.user["tenant_id"], f"key:{key['id']}")
    assert "tenants" not in claims
    assert token["expires_in"] == claims["exp"] - claims["iat"] == 120


def test_a_key_gives_away_no_more_than_its_maker_has(client, ada, give):
    beyond = {"name": "x", "permissions": ["rag:read", "users:write"]}
    assert outcome(client.post("/api-keys", json=beyond, headers=ada.bearer)) == (
        403,
        "permission_denied",
    )
    narrow = give(ada, permissions=["rag:read"])

    child = client.post("/api-keys", json={"name": "child"}, headers=by(narrow))
    wider = {"name": "wider", "permissions": ["rag:write"]}

    assert child.json["permissions"] == ["rag:read"]
    assert client.post("/api-keys", json=wider, headers=by(narrow)).status_code == 403


def test_a_key_shrinks_with_its_owner(client, ada, give, execute):
    key = give(ada)
    execute("UPDATE memberships SET role = 'viewer' WHERE user_id = :id", id=ada.user["id"])

    token = client.post("/api-keys/exchange", json={"key": key["key"]}).json["access_token"]

    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["scope"] == "agent:query rag:read"


def test_a_deleted_key_opens_nothing_and_neither_do_its_tokens(client, ada, give):
    key = give(ada)
    token = client.post("/api-keys/exchange", json={"key": key["key"]}).json["access_token"]

    assert client.delete(f"/api-keys/{key['id']}", headers=ada.bearer).status_code == 204

    assert outcome(client.get("/me", headers=by(key))) == (401, "invalid_api_key")
    bearer = {"Authorization": f"Bearer {token}"}
    assert outcome(client.get("/me", headers=bearer)) == (401, "session_ended")
    assert ada.get("/api-keys").json["items"] == []
    assert client.delete(f"/api-keys/{key['id']}", headers=ada.bearer).status_code == 404
    assert ada.get("/me").status_code == 200


def test_a_key_of_somebody_else_is_not_there(client, ada, give):
    key = give(ada)
    bob = Person.register(client, "bob")

    assert outcome(client.delete(f"/api-keys/{key['id']}", headers=bob.bearer)) == (
        404,
        "not_found",
    )
    assert bob.get("/api-keys").json["items"] == []
    assert client.get("/me", headers=by(key)).status_code == 200


def test_a_key_ends_at_its_time(client, ada, give, clock):
    key = give(ada, expires_at="2026-01-01T12:01:30Z")
    clock.pass_by(seconds=60)
    last = client.post("/api-keys/exchange", json={"key": key["key"]})
    clock.pass_by(seconds=30)

    assert last.json["expires_in"] == 30
    assert outcome(client.get("/me", headers=by(key))) == (401, "invalid_api_key")


def test_keys_are_listed_page_by_page_with_their_last_use(client, ada, give, clock):
    names = [f"key {n}" for n in range(5)]
    for name in names:
        key = give(ada, name=name)
        clock.pass_by(seconds=1)
    client.get("/me", headers=by(key))

    first = ada.get("/api-keys?limit=3").json
    rest = ada.get(f"/api-keys?limit=3&cursor={first['next_cursor']}").json

    assert [each["name"] for each in first["items"] + rest["items"]] == names[::-1]
    assert rest["next_cursor"] is None
    assert first["items"][0]["last_used_at"] == "2026-01-01T12:00:05Z"
    assert first["items"][1]["last_used_at"] is None
    for cursor in ("nonsense", "WyJub25zZW5zZSJd", "WyJ4IiwieSJd"):
        assert ada.get(f"/api-keys?cursor={cursor}").status_code == 422


def test_a_key_that_was_asked_for_twice_is_made_once(client, ada):
    headers = ada.bearer | {"Idempotency-Key": "once"}

    first, again = (client.post("/api-keys", json={"name": "x"}, headers=headers) for _ in "12")

    assert first.json == again.json
    assert len(ada.get("/api-keys").json["items"]) == 1


def test_the_key_itself_is_nowhere_kept(ada, give, execute, tmp_path):
    key = give(ada)["key"]
    kept = str(contents(database_in(tmp_path, "test"), "auth"))

    assert key[:8] in kept
    assert key not in kept
    actions = execute("SELECT action, tenant_id FROM audit_records WHERE action LIKE 'api_key.%'")
    assert actions == [("api_key.create", ada.user["tenant_id"])]


@pytest.mark.parametrize(
    "key", ["aas_made-up", "nothing like it", "aas_" + "x" * 200, "aas_\u0000", ""]
)
def test_a_made_up_key_is_refused(client, key):
    assert client.post("/api-keys/exchange", json={"key": key}).status_code in (401, 422)
    if key.isprintable():
        assert client.get("/me", headers={"X-API-Key": key}).status_code == 401


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": ""}, "#/name"),
        ({"name": "x" * 101}, "#/name"),
        ({"name": "a\nb"}, "#/name"),
        ({"name": 7}, "#/name"),
        ({"name": "x", "permissions": ["everything"]}, "#/permissions/0"),
        ({"name": "x", "permissions": []}, "#/permissions"),
        ({"name": "x", "permissions": "rag:read"}, "#/permissions"),
        ({"name": "x", "expires_at": "2025-12-31T00:00:00Z"}, "#/expires_at"),
        ({"name": "x", "expires_at": "2027-01-01T00:00:00"}, "#/expires_at"),
        ({"name": "x", "expires_at": 1900000000}, "#/expires_at"),
        ({"name": "x", "key": "aas_chosen"}, "#/key"),
        ({"name": "x", "user_id": "another"}, "#/user_id"),
        ({"name": "x", "tenant_id": "another"}, "#/tenant_id"),
    ],
    ids=str,
)
def test_bad_fields_are_pointed_at_and_no_key_is_made(client, ada, body, pointer):
    response = client.post("/api-keys", json=body, headers=ada.bearer)

    assert outcome(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
    assert ada.get("/api-keys").json["items"] == []
