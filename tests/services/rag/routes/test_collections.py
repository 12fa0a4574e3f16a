"""Collections, and what sharing one changes for others of the tenant."""

import pytest

CLUB = "tenant-of-the-club"
TEXT = "The boat house key hangs behind the blue door."


@pytest.fixture
def ada(person):
    return person("user-ada", tenant_id=CLUB)


@pytest.fixture
def bob(person):
    return person("user-bob", tenant_id=CLUB)


@pytest.fixture
def stranger(person):
    return person("user-bob", tenant_id="another tenant")


@pytest.fixture
def shelf(ada):
    made = ada("POST", "/collections", json={"name": "Boat house", "description": "Keys"})
    assert made.status_code == 201
    ada.upload(TEXT, collection="Boat house")
    return made.json


def test_a_new_collection_is_private(ada, bob, shelf):
    assert {
        "name": "Boat house",
        "description": "Keys",
        "owner_id": "user-ada",
        "tenant_access": "none",
        "access": "write",
        "grants": {},
    }.items() <= shelf.items()
    assert bob("GET", "/collections").json["items"] == []
    assert bob.search("Where is the key?") == []


def test_a_name_is_taken_once_by_each_owner(ada, bob, shelf):
    again = ada("POST", "/collections", json={"name": "Boat house"})

    assert (again.status_code, again.json["code"]) == (409, "collection_exists")
    assert bob("POST", "/collections", json={"name": "Boat house"}).status_code == 201
    ada("POST", "/collections", json={"name": "other"})
    assert ada("PATCH", "/collections/other", json={"name": "Boat house"}).status_code == 409


def test_shared_with_the_tenant_it_is_read_by_all_of_it_and_nobody_else(ada, bob, stranger, shelf):
    ada("PATCH", "/collections/Boat house", json={"tenant_access": "read"})

    assert TEXT in bob.search("Where is the key?")[0]["text"]
    assert bob("GET", "/collections/Boat house").json["access"] == "read"
    assert stranger.search("Where is the key?") == []
    assert stranger("GET", f"/collections/{shelf['id']}").status_code == 404


def test_what_is_shared_to_read_is_not_changed(ada, bob, shelf):
    ada("PATCH", "/collections/Boat house", json={"tenant_access": "read"})
    (document,) = bob("GET", "/documents").json["items"]
    path = f"/documents/{document['id']}"

    refusals = [
        bob.send(b"Mine.", collection="Boat house"),
        bob("PATCH", path, json={"title": "Mine"}),
        bob("POST", f"{path}/reindex"),
        bob("DELETE", path),
    ]
    assert [(r.status_code, r.json["code"]) for r in refusals] == [(403, "read_only")] * 4
    grant = {"access": "write"}
    owners_only = [
        bob("PATCH", "/collections/Boat house", json={"name": "Mine"}),
        bob("DELETE", "/collections/Boat house"),
        bob("PUT", "/collections/Boat house/grants/user-bob", json=grant),
        bob("DELETE", "/collections/Boat house/grants/user-bob"),
    ]
    assert [(r.status_code, r.json["code"]) for r in owners_only] == [(403, "not_the_owner")] * 4


def test_shared_to_write_others_add_and_delete(ada, bob, shelf):
    ada("PATCH", "/collections/Boat house", json={"tenant_access": "write"})

    document = bob.upload("The oars lie in the loft.", collection="Boat house")

    assert "loft" in ada.search("Where are the oars?")[0]["text"]
    assert document["owner_id"] == "user-bob"
    assert ada("DELETE", f"/documents/{document['id']}").status_code == 204


def test_a_grant_opens_it_for_one_user_and_closes_again(ada, bob, person, shelf):
    carol = person("user-carol", tenant_id=CLUB)
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


def test_a_grant_does_not_reach_across_tenants(ada, stranger, shelf):
    ada("PUT", "/collections/Boat house/grants/user-bob", json={"access": "read"})

    assert stranger.search("Where is the key?") == []
    assert stranger("GET", f"/collections/{shelf['id']}").status_code == 404


def test_someone_elses_default_is_not_mine(ada, bob):
    ada.upload(TEXT)
    ada("PATCH", "/collections/default", json={"tenant_access": "write"})

    document = bob.upload("Bob keeps this to himself.")

    assert document["collection"] == "default"
    assert [r["text"] for r in ada.search("himself")] == [TEXT]


def test_a_deleted_collection_takes_its_documents_along(ada, shelf, tmp_path):
    assert ada("DELETE", "/collections/Boat house").status_code == 204

    assert ada("GET", "/documents").json["items"] == []
    assert ada.search("Where is the key?") == []
    assert ada("GET", "/collections/Boat house").status_code == 404
    ada.upload("Another text, so that the queue has passed the delete.")
    assert len(list((tmp_path / "rag" / "blobs").iterdir())) == 1


def test_a_list_of_collections_is_read_page_by_page(ada):
    for name in ("a", "b", "c"):
        ada("POST", "/collections", json={"name": name})

    first = ada("GET", "/collections?limit=2").json
    second = ada("GET", f"/collections?limit=2&cursor={first['next_cursor']}").json

    assert [each["name"] for each in first["items"] + second["items"]] == ["a", "b", "c"]
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
def test_a_wrong_collection_is_refused(shared, body):
    assert shared("user-careless")("POST", "/collections", json=body).status_code == 422
