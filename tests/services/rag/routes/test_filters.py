"""Parsing, validation and matching of search filters."""

import json

import pytest

from backend.security.http_errors import HttpError
from backend.services.rag.routes import filters
from backend.services.rag.routes.filters import parse_filter

DOCUMENTS = {
    "old": {"year": 1997, "tags": ["air", "old"], "open": True, "filename": "a.txt"},
    "new": {"year": 2020, "tags": [], "open": False, "filename": "b.txt", "due": "2024-05-01"},
    "bare": {"filename": "c.txt"},
}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({}, "old new bare"),
        ({"year": 1997}, "old"),
        ({"year": 1997.0}, "old"),
        ({"year": "1997"}, ""),
        ({"open": 1}, ""),
        ({"open": True}, "old"),
        ({"year": [1997, 2020]}, "old new"),
        ({"year": {"$in": []}}, ""),
        ({"year": {"$eq": 2020}}, "new"),
        ({"year": {"$ne": 2020}}, "old bare"),
        ({"year": {"$nin": [2020, 1]}}, "old bare"),
        ({"year": {"$gt": 1997}}, "new"),
        ({"year": {"$gte": 1997, "$lt": 2020}}, "old"),
        ({"year": {"$lte": 1997}}, "old"),
        ({"year": {"$gt": "1"}}, ""),
        ({"open": {"$gt": 0}}, ""),
        ({"due": {"$lt": "2025-01-01"}}, "new"),
        ({"tags": "air"}, "old"),
        ({"tags": {"$ne": "air"}}, "new bare"),
        ({"nothing": None}, ""),
        ({"year": {"$not": {"$gt": 1997}}}, "old bare"),
        ({"$not": {"year": 1997}}, "new bare"),
        ({"$or": [{"year": 1997}, {"filename": "c.txt"}]}, "old bare"),
        ({"$and": [{"year": {"$gt": 1}}, {"open": False}]}, "new"),
        ({"$and": [{"$or": [{"year": 1997}, {"year": 2020}]}, {"$not": {"tags": "old"}}]}, "new"),
        ({"year": 1997, "open": False}, ""),
    ],
)
def test_filter_matches_documents(raw, expected):
    condition = parse_filter(raw)

    assert {key for key, attributes in DOCUMENTS.items() if condition(attributes)} == set(
        expected.split()
    )


def nest_filter(depth):
    inner = {"a": 1}
    for _ in range(depth):
        inner = {"$not": inner}
    return inner


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        ({"$where": "1"}, "#/filter/$where"),
        ({"year": {"$regex": "x"}}, "#/filter/year/$regex"),
        ({"year": {}}, "#/filter/year"),
        ({"year": {"more": {"than": 1}}}, "#/filter/year/more"),
        ({"year": {"$in": 5}}, "#/filter/year/$in"),
        ({"year": {"$gt": None}}, "#/filter/year/$gt"),
        ({"year": {"$eq": {"a": 1}}}, "#/filter/year/$eq"),
        ({"year": [1, [2]]}, "#/filter/year/1"),
        ({"year": {"$not": 5}}, "#/filter/year/$not"),
        ({"$or": []}, "#/filter/$or"),
        ({"$or": {"a": 1}}, "#/filter/$or"),
        ({"$or": [{"a": 1}, 5]}, "#/filter/$or/1"),
        ({"$or": [{"a/b": {"$x": 1}}]}, "#/filter/$or/0/a~1b/$x"),
        (nest_filter(filters.MAX_DEPTH + 1), "#/filter" + "/$not" * (filters.MAX_DEPTH + 1)),
        ({f"n{number}": number for number in range(51)}, "#/filter/n50"),
        ({"year": list(range(201))}, "#/filter/year"),
    ],
)
def test_invalid_filter_returns_pointer_to_invalid_field(raw, pointer):
    with pytest.raises(HttpError) as caught:
        parse_filter(raw)

    (error,) = json.loads(caught.value.get_response().get_data())["errors"]
    assert error["pointer"] == pointer
    assert error["detail"].endswith(".")


def test_no_filter_returns_documents_without_access(shared_user):
    ada, bob = shared_user("user-filter-ada"), shared_user("user-filter-bob")
    own = ada.upload("The runway of Ada.", "ada.txt", metadata='{"tenant_id": "tenant-one"}')
    foreign = bob.upload("The runway of Bob.", "bob.txt", collection="bobs")

    for search_filter in (
        {"$or": [{"tenant_id": {"$ne": "x"}}, {"document_id": foreign["id"]}]},
        {"$or": [{"owner_id": "user-filter-bob"}, {"collection": "bobs"}, {"$not": {"a": 1}}]},
        {"$not": {"document_id": own["id"]}},
        {"document_id": foreign["id"]},
        {"tenant_id": {"$nin": []}},
    ):
        assert {hit["document_id"] for hit in ada.search("runway", filter=search_filter)} <= {
            own["id"]
        }


def test_filter_uses_current_metadata(shared_user):
    ada = shared_user("user-filter-now")
    document = ada.upload("The runway is long.", metadata='{"year": 1}')
    assert ada.search("runway", filter={"year": 1})

    ada("PATCH", f"/documents/{document['id']}", json={"metadata": {"year": 2}})

    assert not ada.search("runway", filter={"year": 1})
    assert ada.search("runway", filter={"year": 2})
