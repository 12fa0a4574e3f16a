"""API keys: creation, use, permissions and deletion."""

import jwt
import pytest

from tests.databases import contents, database_in
from tests.services.auth.api_user import ApiUser, get_problem


@pytest.fixture
def create_key(client):
    def send_create(owner: ApiUser, **fields: object) -> dict:
        body = {"name": "nightly import"} | fields
        response = client.post("/api-keys", json=body, headers=owner.auth_headers)
        assert response.status_code == 201, response.text
        return response.json

    return send_create


def key_headers(key: dict) -> dict[str, str]:
    return {"X-API-Key": key["key"]}


def test_key_has_all_permissions_of_its_owner_and_is_shown_once(client, ada, create_key):
    key = create_key(ada)

    assert key["key"].startswith("aas_")
    assert key["key"].startswith(key["prefix"])
    assert key["permissions"] == ada.user["permissions"]
    (listed,) = ada.get("/api-keys").json["items"]
    assert "key" not in listed
    assert listed == {name: value for name, value in key.items() if name != "key"}


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_auth_accepts_key_in_either_header(client, ada, create_key, header):
    key = create_key(ada)["key"]

    headers = {header: key if header == "X-API-Key" else f"Bearer {key}"}

    assert client.get("/me", headers=headers).json["id"] == ada.user["id"]


def test_exchange_returns_short_lived_token_restricted_to_the_key(client, ada, create_key):
    key = create_key(ada, permissions=["rag:read"])

    token = client.post("/api-keys/exchange", json={"key": key["key"]}).json

    claims = jwt.decode(token["access_token"], options={"verify_signature": False})
    assert claims["scope"] == "rag:read"
    assert (claims["tid"], claims["sid"]) == (ada.user["tenant_id"], f"key:{key['id']}")
    assert "tenants" not in claims
    assert token["expires_in"] == claims["exp"] - claims["iat"] == 120


def test_key_cannot_grant_more_permissions_than_its_creator_has(client, ada, create_key):
    excessive = {"name": "x", "permissions": ["rag:read", "users:write"]}
    assert get_problem(client.post("/api-keys", json=excessive, headers=ada.auth_headers)) == (
        403,
        "permission_denied",
    )
    restricted = create_key(ada, permissions=["rag:read"])

    child = client.post("/api-keys", json={"name": "child"}, headers=key_headers(restricted))
    wider = {"name": "wider", "permissions": ["rag:write"]}

    assert child.json["permissions"] == ["rag:read"]
    assert client.post("/api-keys", json=wider, headers=key_headers(restricted)).status_code == 403


def test_key_loses_permissions_that_its_owner_loses(client, ada, create_key, execute):
    key = create_key(ada)
    execute("UPDATE memberships SET role = 'viewer' WHERE user_id = :id", id=ada.user["id"])

    token = client.post("/api-keys/exchange", json={"key": key["key"]}).json["access_token"]

    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["scope"] == "agent:query chat:use packages:read rag:read"


def test_deleted_key_and_its_tokens_are_rejected(client, ada, create_key):
    key = create_key(ada)
    token = client.post("/api-keys/exchange", json={"key": key["key"]}).json["access_token"]

    assert client.delete(f"/api-keys/{key['id']}", headers=ada.auth_headers).status_code == 204

    assert get_problem(client.get("/me", headers=key_headers(key))) == (401, "invalid_api_key")
    bearer = {"Authorization": f"Bearer {token}"}
    assert get_problem(client.get("/me", headers=bearer)) == (401, "session_ended")
    assert ada.get("/api-keys").json["items"] == []
    assert client.delete(f"/api-keys/{key['id']}", headers=ada.auth_headers).status_code == 404
    assert ada.get("/me").status_code == 200


def test_key_of_another_user_returns_404(client, ada, create_key):
    key = create_key(ada)
    bob = ApiUser.register(client, "bob")

    assert get_problem(client.delete(f"/api-keys/{key['id']}", headers=bob.auth_headers)) == (
        404,
        "not_found",
    )
    assert bob.get("/api-keys").json["items"] == []
    assert client.get("/me", headers=key_headers(key)).status_code == 200


def test_key_is_rejected_after_its_expiry(client, ada, create_key, clock):
    key = create_key(ada, expires_at="2026-01-01T12:01:30Z")
    clock.advance(seconds=60)
    last = client.post("/api-keys/exchange", json={"key": key["key"]})
    clock.advance(seconds=30)

    assert last.json["expires_in"] == 30
    assert get_problem(client.get("/me", headers=key_headers(key))) == (401, "invalid_api_key")


def test_keys_are_paginated_with_their_last_use(client, ada, create_key, clock):
    names = [f"key {n}" for n in range(5)]
    for name in names:
        key = create_key(ada, name=name)
        clock.advance(seconds=1)
    client.get("/me", headers=key_headers(key))

    first = ada.get("/api-keys?limit=3").json
    rest = ada.get(f"/api-keys?limit=3&cursor={first['next_cursor']}").json

    assert [key["name"] for key in first["items"] + rest["items"]] == names[::-1]
    assert rest["next_cursor"] is None
    assert first["items"][0]["last_used_at"] == "2026-01-01T12:00:05Z"
    assert first["items"][1]["last_used_at"] is None
    for cursor in ("nonsense", "WyJub25zZW5zZSJd", "WyJ4IiwieSJd"):
        assert ada.get(f"/api-keys?cursor={cursor}").status_code == 422


def test_create_key_with_the_same_idempotency_key_creates_one_key_and_shows_it_once(client, ada):
    headers = ada.auth_headers | {"Idempotency-Key": "once"}

    first, repeated = (client.post("/api-keys", json={"name": "x"}, headers=headers) for _ in "12")

    assert first.status_code == 201
    assert get_problem(repeated) == (409, "response_not_repeatable")
    assert first.json["key"] not in repeated.text
    assert len(ada.get("/api-keys").json["items"]) == 1


def test_idempotency_key_of_the_owner_does_not_open_the_response_to_a_key(client, ada, create_key):
    narrow = create_key(ada, permissions=["rag:read"])
    body = {"name": "wide", "permissions": ["rag:write"]}
    once = {"Idempotency-Key": "once"}

    wide = client.post("/api-keys", json=body, headers=ada.auth_headers | once)
    repeated = client.post("/api-keys", json=body, headers=key_headers(narrow) | once)

    assert wide.status_code == 201
    assert repeated.status_code == 403
    assert wide.json["key"] not in repeated.text


@pytest.fixture
def family(client, ada, create_key):
    """Return a key, a key created with it, and one created with that one."""
    keys = [create_key(ada, permissions=["rag:read", "agent:query"])]
    for name in ("child", "grandchild"):
        response = client.post("/api-keys", json={"name": name}, headers=key_headers(keys[-1]))
        assert response.status_code == 201, response.text
        keys.append(response.json)
    return keys


def exchange_key(client, key):
    return client.post("/api-keys/exchange", json={"key": key["key"]})


def test_key_created_with_a_key_names_it_as_parent(family):
    root, child, grandchild = family

    assert root["parent_id"] is None
    assert (child["parent_id"], grandchild["parent_id"]) == (root["id"], child["id"])


def test_deleted_key_ends_its_descendants_and_their_tokens(client, ada, family):
    root, child, grandchild = family
    tokens = [exchange_key(client, key).json["access_token"] for key in (child, grandchild)]

    assert client.delete(f"/api-keys/{root['id']}", headers=ada.auth_headers).status_code == 204

    for key in family:
        assert get_problem(client.get("/me", headers=key_headers(key))) == (401, "invalid_api_key")
    for token in tokens:
        bearer = {"Authorization": f"Bearer {token}"}
        assert get_problem(client.get("/me", headers=bearer)) == (401, "session_ended")
    assert ada.get("/api-keys").json["items"] == []


def test_deleted_key_does_not_end_its_parent(client, ada, family):
    root, child, _ = family

    client.delete(f"/api-keys/{child['id']}", headers=ada.auth_headers)

    assert [exchange_key(client, key).status_code for key in family] == [200, 401, 401]
    assert [key["id"] for key in ada.get("/api-keys").json["items"]] == [root["id"]]


def test_key_is_rejected_if_only_the_row_of_its_parent_is_deleted(client, family, execute):
    execute("UPDATE api_keys SET deleted_at = created_at WHERE id = :id", id=family[0]["id"])

    assert [exchange_key(client, key).status_code for key in family] == [401, 401, 401]


def test_key_cannot_outlive_its_parent(client, ada, create_key, clock):
    parent = create_key(ada, expires_at="2026-01-01T12:01:30Z", permissions=["rag:read"])

    def create_child(**fields):
        return client.post("/api-keys", json={"name": "c"} | fields, headers=key_headers(parent))

    late = create_child(expires_at="2026-01-01T12:01:31Z")
    child = create_child()

    assert get_problem(late) == (422, "validation_failed")
    assert late.json["errors"][0]["pointer"] == "#/expires_at"
    assert child.json["expires_at"] == "2026-01-01T12:01:30Z"
    assert create_child(expires_at="2026-01-01T12:01:00Z").status_code == 201
    clock.advance(seconds=90)
    assert exchange_key(client, child.json).status_code == 401


def test_expiry_of_a_parent_limits_the_tokens_of_its_descendants(client, family, execute, clock):
    execute(
        "UPDATE api_keys SET expires_at = '2026-01-01 12:01:00' WHERE id = :id",
        id=family[0]["id"],
    )

    assert exchange_key(client, family[2]).json["expires_in"] == 60
    clock.advance(seconds=60)
    assert exchange_key(client, family[2]).status_code == 401


def test_key_loses_permissions_that_its_parent_loses(client, family, execute):
    execute("UPDATE api_keys SET permissions = '[\"rag:read\"]' WHERE id = :id", id=family[0]["id"])

    token = exchange_key(client, family[2]).json["access_token"]

    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["scope"] == "rag:read"


def test_key_tree_has_at_most_three_levels(client, family):
    response = client.post("/api-keys", json={"name": "deep"}, headers=key_headers(family[2]))

    assert get_problem(response) == (403, "key_depth_exceeded")


def test_tables_do_not_contain_the_key(ada, create_key, execute, tmp_path):
    key = create_key(ada)["key"]
    stored = str(contents(database_in(tmp_path, "auth"), "auth"))

    assert key[:8] in stored
    assert key not in stored
    actions = execute("SELECT action, tenant_id FROM audit_records WHERE action LIKE 'api_key.%'")
    assert actions == [("api_key.create", ada.user["tenant_id"])]


@pytest.mark.parametrize(
    "key", ["aas_made-up", "nothing like it", "aas_" + "x" * 200, "aas_\u0000", ""]
)
def test_invalid_key_is_rejected(client, key):
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
def test_create_key_rejects_invalid_field_and_creates_no_key(client, ada, body, pointer):
    response = client.post("/api-keys", json=body, headers=ada.auth_headers)

    assert get_problem(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
    assert ada.get("/api-keys").json["items"] == []
