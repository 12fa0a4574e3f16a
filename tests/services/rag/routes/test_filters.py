"""The door for filters: what each condition finds, and what is refused where."""

import json

import pytest

from backend.security.http_errors import Refusal
from backend.services.rag.routes import filters
from backend.services.rag.routes.filters import parsed

DOCUMENTS = {
    "old": {"year": 1997, "tags": ["air", "old"], "open": True, "filename": "a.txt"},
    "new": {"year": 2020, "tags": [], "open": False, "filename": "b.txt", "due": "2024-05-01"},
    "bare": {"filename": "c.txt"},
}


@pytest.mark.parametrize(
    ("wanted", "found"),
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
def test_conditions_find(wanted, found):
    condition = parsed(wanted)

    assert {key for key, known in DOCUMENTS.items() if condition(known)} == set(found.split())


def nested(depth):
    inner = {"a": 1}
    for _ in range(depth):
        inner = {"$not": inner}
    return inner


@pytest.mark.parametrize(
    ("wanted", "pointer"),
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
        (nested(filters.DEEPEST + 1), "#/filter" + "/$not" * (filters.DEEPEST + 1)),
        ({f"n{each}": each for each in range(51)}, "#/filter/n50"),
        ({"year": list(range(201))}, "#/filter/year"),
    ],
)
def test_what_is_no_filter_is_refused_where_it_is_wrong(wanted, pointer):
    with pytest.raises(Refusal) as refusal:
        parsed(wanted)

    (error,) = json.loads(refusal.value.get_response().get_data())["errors"]
    assert error["pointer"] == pointer
    assert error["detail"].endswith(".")


def test_no_condition_reaches_beyond_what_its_asker_may_read(shared):
    ada, bob = shared("user-filter-ada"), shared("user-filter-bob")
    mine = ada.upload("The runway of ours.", "ours.txt", metadata='{"tenant_id": "tenant-one"}')
    theirs = bob.upload("The runway of theirs.", "theirs.txt", collection="theirs")

    for wide in (
        {"$or": [{"tenant_id": {"$ne": "x"}}, {"document_id": theirs["id"]}]},
        {"$or": [{"owner_id": "user-filter-bob"}, {"collection": "theirs"}, {"$not": {"a": 1}}]},
        {"$not": {"document_id": mine["id"]}},
        {"document_id": theirs["id"]},
        {"tenant_id": {"$nin": []}},
    ):
        assert {each["document_id"] for each in ada.search("runway", filter=wide)} <= {mine["id"]}


def test_a_filter_sees_metadata_as_it_is_now(shared):
    ada = shared("user-filter-now")
    document = ada.upload("The runway is long.", metadata='{"year": 1}')
    assert ada.search("runway", filter={"year": 1})

    ada("PATCH", f"/documents/{document['id']}", json={"metadata": {"year": 2}})

    assert not ada.search("runway", filter={"year": 1})
    assert ada.search("runway", filter={"year": 2})
