"""Collections and their sharing within a tenant."""

import pytest

CLUB = "tenant-of-the-club"
TEXT = "The boat house key hangs behind the blue door."


@pytest.fixture
def ada(sign_in):
    return sign_in("user-ada", tenant_id=CLUB)


@pytest.fixture
def bob(sign_in):
    return sign_in("user-bob", tenant_id=CLUB)


@pytest.fixture
def other_tenant_user(sign_in):
    return sign_in("user-bob", tenant_id="another tenant")


@pytest.fixture
def boat_house(ada):
    created = ada("POST", "/collections", json={"name": "Boat house", "description": "Keys"})
    assert created.status_code == 201
    ada.upload(TEXT, collection="Boat house")
    return created.json


def test_new_collection_is_private(ada, bob, boat_house):
    assert {
        "name": "Boat house",
        "description": "Keys",
        "owner_id": "user-ada",
        "tenant_access": "none",
        "access": "write",
        "grants": {},
    }.items() <= boat_house.items()
    assert bob("GET", "/collections").json["items"] == []
    assert bob.search("Where is the key?") == []


def test_collection_name_is_unique_per_owner(ada, bob, boat_house):
    duplicate = ada("POST", "/collections", json={"name": "Boat house"})

    assert (duplicate.status_code, duplicate.json["code"]) == (409, "collection_exists")
    assert bob("POST", "/collections", json={"name": "Boat house"}).status_code == 201
    ada("POST", "/collections", json={"name": "other"})
    assert ada("PATCH", "/collections/other", json={"name": "Boat house"}).status_code == 409


def test_tenant_access_gives_read_access_within_the_tenant_only(
    ada, bob, other_tenant_user, boat_house
):
    ada("PATCH", "/collections/Boat house", json={"tenant_access": "read"})

    assert TEXT in bob.search("Where is the key?")[0]["text"]
    assert bob("GET", "/collections/Boat house").json["access"] == "read"
    assert other_tenant_user.search("Where is the key?") == []
    assert other_tenant_user("GET", f"/collections/{boat_house['id']}").status_code == 404


def test_read_access_does_not_allow_changes(ada, bob, boat_house):
    ada("PATCH", "/collections/Boat house", json={"tenant_access": "read"})
    (document,) = bob("GET", "/documents").json["items"]
    path = f"/documents/{document['id']}"

    write_responses = [
        bob.send(b"Mine.", collection="Boat house"),
        bob("PATCH", path, json={"title": "Mine"}),
        bob("POST", f"{path}/reindex"),
        bob("DELETE", path),
    ]
    assert [(r.status_code, r.json["code"]) for r in write_responses] == [(403, "read_only")] * 4
    grant = {"access": "write"}
    owner_responses = [
        bob("PATCH", "/collections/Boat house", json={"name": "Mine"}),
        bob("DELETE", "/collections/Boat house"),
        bob("PUT", "/collections/Boat house/grants/user-bob", json=grant),
        bob("DELETE", "/collections/Boat house/grants/user-bob"),
    ]
    assert [(r.status_code, r.json["code"]) for r in owner_responses] == [
        (403, "not_the_owner")
    ] * 4


def test_write_access_allows_adding_and_deleting_documents(ada, bob, boat_house):
    ada("PATCH", "/collections/Boat house", json={"tenant_access": "write"})

    document = bob.upload("The oars lie in the loft.", collection="Boat house")

    assert "loft" in ada.search("Where are the oars?")[0]["text"]
    assert document["owner_id"] == "user-bob"
    assert ada("DELETE", f"/documents/{document['id']}").status_code == 204


def test_grant_gives_one_user_access_until_revoked(ada, bob, sign_in, boat_house):
    carol = sign_in("user-carol", tenant_id=CLUB)
    granted = ada("PUT", "/collections/Boat house/grants/user-bob", json={"access": "read"})

    assert granted.json["grants"] == {"user-bob": "read"}
    assert bob.search("Where is the key?")
    assert bob("GET", "/collections/Boat house").json["grants"] == {}
    assert carol.search("Where is the key?") == []

    ada("PUT", "/collections/Boat house/grants/user-bob", json={"access": "write"})
    assert bob.upload("The oars lie in the loft.", collection="Boat house")
    assert ada("DELETE", "/collections/Boat house/grants/user-bob").status_code == 204
    assert bob.search("Where is the key?") == []
    assert bob("GET", "/documents").json["items"] == []


def test_grant_does_not_apply_to_other_tenants(ada, other_tenant_user, boat_house):
    ada("PUT", "/collections/Boat house/grants/user-bob", json={"access": "read"})

    assert other_tenant_user.search("Where is the key?") == []
    assert other_tenant_user("GET", f"/collections/{boat_house['id']}").status_code == 404


def test_default_collection_is_always_the_users_own(ada, bob):
    ada.upload(TEXT)
    ada("PATCH", "/collections/default", json={"tenant_access": "write"})

    document = bob.upload("Bob keeps this to himself.")

    assert document["collection"] == "default"
    assert [r["text"] for r in ada.search("himself")] == [TEXT]


def test_deleting_a_collection_deletes_its_documents(ada, boat_house, tmp_path):
    assert ada("DELETE", "/collections/Boat house").status_code == 204

    assert ada("GET", "/documents").json["items"] == []
    assert ada.search("Where is the key?") == []
    assert ada("GET", "/collections/Boat house").status_code == 404
    ada.upload("Another text, so that the queue has processed the deletion.")
    assert len(list((tmp_path / "rag" / "blobs").iterdir())) == 1


def test_collections_are_listed_in_pages(ada):
    for name in ("a", "b", "c"):
        ada("POST", "/collections", json={"name": name})

    first = ada("GET", "/collections?limit=2").json
    second = ada("GET", f"/collections?limit=2&cursor={first['next_cursor']}").json

    assert [item["name"] for item in first["items"] + second["items"]] == ["a", "b", "c"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a/b"},
        {"name": " a"},
        {"name": "x" * 65},
        {"name": "a", "owner_id": "user-bob"},
        {"name": "a", "tenant_id": "t"},
        {"name": "a", "tenant_access": "all"},
    ],
)
def test_invalid_collection_returns_422(shared_user, body):
    assert shared_user("user-careless")("POST", "/collections", json=body).status_code == 422
