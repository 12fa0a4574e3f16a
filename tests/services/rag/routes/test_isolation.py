"""Nobody sees, finds or changes what they were not given."""

import pytest

from tests.services.rag.conftest import DATA

SECRET = "The safe in the cellar opens with the code 4711."


@pytest.fixture
def document(ada):
    return ada.upload(SECRET, collection="cellar")


def test_a_stranger_finds_nothing_and_cannot_tell_that_there_is_something(bob, document):
    assert bob("GET", "/documents").json["items"] == []
    assert bob("GET", "/collections").json["items"] == []
    assert bob.search("What is the code of the safe?") == []
    assert bob.ask("What is the code of the safe?")["citations"] == []


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("GET", "", None),
        ("GET", "/content", None),
        ("GET", "/chunks", None),
        ("GET", "/text", None),
        ("GET", "/events", None),
        ("PATCH", "", {"title": "mine"}),
        ("POST", "/reindex", None),
        ("DELETE", "", None),
    ],
)
def test_a_foreign_document_answers_like_one_that_does_not_exist(
    bob, document, method, suffix, body
):
    foreign = bob(method, f"/documents/{document['id']}{suffix}", json=body)
    unknown = bob(method, f"/documents/doc_unknown{suffix}", json=body)

    assert foreign.status_code == unknown.status_code == 404
    known_only_here = {"request_id", "instance"}
    assert {k: v for k, v in foreign.json.items() if k not in known_only_here} == {
        k: v for k, v in unknown.json.items() if k not in known_only_here
    }


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_foreign_collection_does_not_exist(ada, bob, document, by):
    shelf = ada("GET", "/collections/cellar").json[by]

    assert bob("GET", f"/collections/{shelf}").status_code == 404
    assert bob("PATCH", f"/collections/{shelf}", json={"description": "x"}).status_code == 404
    assert bob("DELETE", f"/collections/{shelf}").status_code == 404
    grant = {"access": "read"}
    assert bob("PUT", f"/collections/{shelf}/grants/user-bob", json=grant).status_code == 404
    for path in ("/search", "/query"):
        response = bob("POST", path, json={"query": "code", "collection": shelf})
        assert response.status_code == 404
    own = bob("POST", "/collections", json={"name": "target"}).json["name"]
    moved = bob("PATCH", f"/documents/{document['id']}", json={"collection": own})
    assert moved.status_code == 404


@pytest.mark.parametrize(
    "wanted",
    [
        {"tenant_id": "tenant-of-user-ada"},
        {"owner_id": "user-ada"},
        {"$or": [{"tenant_id": "tenant-of-user-ada"}, {"owner_id": "user-ada"}]},
        {"document_id": ["doc_of_somebody"]},
    ],
)
def test_a_filter_only_ever_takes_away(bob, document, wanted):
    bob.upload("Bob keeps a bicycle in the cellar.")

    assert bob.search("code of the safe in the cellar", filter=wanted) == []
    assert bob.search("code of the safe", filter={"document_id": document["id"]}) == []


def test_the_same_name_is_another_collection_for_another_user(bob, document):
    bob.upload("Bob keeps a bicycle in the cellar.", collection="cellar")

    (found,) = bob.search("cellar", collection="cellar")

    assert "bicycle" in found["text"]


def test_another_tenant_of_the_same_user_is_another_library(person, document):
    elsewhere = person("user-ada", tenant_id="tenant-of-the-club")

    assert elsewhere("GET", f"/documents/{document['id']}").status_code == 404
    assert elsewhere.search("code of the safe") == []


def test_a_reader_may_not_write(person):
    viewer = person("user-eve", permissions=["rag:read"])

    assert viewer("GET", "/documents").status_code == 200
    assert viewer.send(b"Some text.").status_code == 403
    assert viewer("DELETE", "/documents/doc_unknown").status_code == 403


def test_without_a_token_every_door_is_closed(app):
    client = app.test_client()

    for method, path in [("GET", "/documents"), ("POST", "/documents"), ("POST", "/search")]:
        response = client.open(path, method=method)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_many_documents_of_others_do_not_hide_ones_own(ada, bob):
    for number in range(12):
        bob.upload(f"Bicycle number {number} is red.", f"{number}.txt")
    ada.upload(DATA / "2305.03393v1-pg9.pdf")
    ada.upload("The bicycle of Ada is green.")

    assert "green" in ada.search("What colour is the bicycle?", k=1)[0]["text"]
