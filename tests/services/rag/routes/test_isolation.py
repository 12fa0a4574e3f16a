"""Users cannot see, find or change documents without access to them."""

import pytest

from tests.services.rag.conftest import DATA

SECRET = "The safe in the cellar opens with the code 4711."


@pytest.fixture
def document(ada):
    return ada.upload(SECRET, collection="cellar")


def test_other_user_finds_no_trace_of_private_documents(bob, document):
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
def test_foreign_document_returns_same_404_as_unknown_document(bob, document, method, suffix, body):
    foreign = bob(method, f"/documents/{document['id']}{suffix}", json=body)
    unknown = bob(method, f"/documents/doc_unknown{suffix}", json=body)

    assert foreign.status_code == unknown.status_code == 404
    varying_fields = {"request_id", "instance"}
    assert {k: v for k, v in foreign.json.items() if k not in varying_fields} == {
        k: v for k, v in unknown.json.items() if k not in varying_fields
    }


@pytest.mark.parametrize("by", ["name", "id"])
def test_foreign_collection_returns_404(ada, bob, document, by):
    collection = ada("GET", "/collections/cellar").json[by]

    assert bob("GET", f"/collections/{collection}").status_code == 404
    assert bob("PATCH", f"/collections/{collection}", json={"description": "x"}).status_code == 404
    assert bob("DELETE", f"/collections/{collection}").status_code == 404
    grant = {"access": "read"}
    assert bob("PUT", f"/collections/{collection}/grants/user-bob", json=grant).status_code == 404
    for path in ("/search", "/query"):
        response = bob("POST", path, json={"query": "code", "collection": collection})
        assert response.status_code == 404
    own = bob("POST", "/collections", json={"name": "target"}).json["name"]
    moved = bob("PATCH", f"/documents/{document['id']}", json={"collection": own})
    assert moved.status_code == 404


@pytest.mark.parametrize(
    "search_filter",
    [
        {"tenant_id": "tenant-of-user-ada"},
        {"owner_id": "user-ada"},
        {"$or": [{"tenant_id": "tenant-of-user-ada"}, {"owner_id": "user-ada"}]},
        {"document_id": ["doc_of_somebody"]},
    ],
)
def test_filter_never_adds_foreign_documents(bob, document, search_filter):
    bob.upload("Bob keeps a bicycle in the cellar.")

    assert bob.search("code of the safe in the cellar", filter=search_filter) == []
    assert bob.search("code of the safe", filter={"document_id": document["id"]}) == []


def test_collections_of_two_users_can_have_the_same_name(bob, document):
    bob.upload("Bob keeps a bicycle in the cellar.", collection="cellar")

    (hit,) = bob.search("cellar", collection="cellar")

    assert "bicycle" in hit["text"]


def test_user_does_not_see_documents_of_their_other_tenant(sign_in, document):
    other_tenant = sign_in("user-ada", tenant_id="tenant-of-the-club")

    assert other_tenant("GET", f"/documents/{document['id']}").status_code == 404
    assert other_tenant.search("code of the safe") == []


def test_write_endpoints_require_write_permission(sign_in):
    viewer = sign_in("user-eve", permissions=["rag:read"])

    assert viewer("GET", "/documents").status_code == 200
    assert viewer.send(b"Some text.").status_code == 403
    assert viewer("DELETE", "/documents/doc_unknown").status_code == 403


def test_requests_without_token_return_401(app):
    client = app.test_client()

    for method, path in [("GET", "/documents"), ("POST", "/documents"), ("POST", "/search")]:
        response = client.open(path, method=method)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.slow
def test_many_foreign_documents_do_not_displace_own_hits(ada, bob):
    for number in range(12):
        bob.upload(f"Bicycle number {number} is red.", f"{number}.txt")
    ada.upload(DATA / "2305.03393v1-pg9.pdf")
    ada.upload("The bicycle of Ada is green.")

    assert "green" in ada.search("What colour is the bicycle?", k=1)[0]["text"]
