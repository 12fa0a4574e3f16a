"""Packages: create, list, change and delete them."""

from datetime import timedelta

import pytest

from backend.chassis.web.app_factory import get_component
from backend.services.packages.app import create_app
from backend.services.packages.model import Quotas
from backend.services.packages.store import package_queries
from backend.services.packages.wiring import PackageComponents
from tests.services.packages.conftest import Api, build_settings, event

UPS = "1Z5R89390357567127"


def test_create_identifies_the_carrier_by_the_number(api):
    response = api.post("/packages", json={"tracking_number": "1z 5R8-939 0357567127"})

    assert response.status_code == 201
    assert response.json["carrier"] == "ups"
    assert response.json["tracking_number"] == UPS
    assert response.json["status"] == "pre_transit"
    assert response.headers["ETag"] == '"1"'
    assert response.headers["Location"] == f"/packages/{response.json['id']}"


def test_create_returns_the_candidates_of_an_ambiguous_number(api):
    response = api.post("/packages", json={"tracking_number": "287809468872"})

    assert (response.status_code, response.json["code"]) == (422, "carrier_unknown")
    assert [each["carrier"] for each in response.json["errors"]] == ["fedex", "purolator"]


def test_create_accepts_a_carrier_that_is_not_known(api):
    package = api.create("LOCAL-0001", carrier="City Couriers")

    assert (package["tracking_number"], package["carrier"]) == ("LOCAL0001", "city_couriers")


def test_create_returns_409_for_the_same_carrier_and_number(api):
    first = api.create()

    response = api.post("/packages", json={"tracking_number": UPS})

    assert (response.status_code, response.json["code"]) == (409, "package_exists")
    assert first["id"] in response.json["detail"]
    assert len(api.get("/packages").json["items"]) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"tracking_number": "!!"}, "#/tracking_number"),
        ({"tracking_number": "ßßßß"}, "#/tracking_number"),
        ({"tracking_number": UPS, "weight_g": -1}, "#/weight_g"),
        ({"tracking_number": UPS, "promised_at": "2026-02-30T00:00:00Z"}, "#/promised_at"),
        ({"tracking_number": UPS, "promised_at": "2026-02-03T00:00:00"}, "#/promised_at"),
        ({"tracking_number": UPS, "origin": {"country": "Germany"}}, "#/origin/country"),
        ({"tracking_number": UPS, "destination": {"lat": 91}}, "#/destination/lat"),
        ({"tracking_number": UPS, "metadata": {"a": "x" * 20_000}}, "#/metadata"),
        ({"tracking_number": UPS, "status": "delivered"}, "#/status"),
    ],
)
def test_create_rejects_invalid_fields_and_stores_nothing(api, body, pointer):
    response = api.post("/packages", json=body)

    assert response.status_code == 422
    assert [each["pointer"] for each in response.json["errors"]] == [pointer]
    assert api.get("/packages").json["items"] == []


def test_idempotency_key_returns_the_first_response(api):
    headers = {"Idempotency-Key": "create-1"}

    first = api.post("/packages", json={"tracking_number": UPS}, headers=headers)
    second = api.post("/packages", json={"tracking_number": UPS}, headers=headers)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json == first.json


def test_replace_requires_the_present_version_and_empties_missing_fields(api):
    package = api.create(reference="order-1", tags=["a"])
    path = f"/packages/{package['id']}"

    stale = api("PUT", path, json={"service": "express"}, headers={"If-Match": '"7"'})
    replaced = api("PUT", path, json={"service": "express"}, headers={"If-Match": '"1"'})

    assert (stale.status_code, stale.json["code"]) == (412, "version_conflict")
    assert replaced.status_code == 200
    assert replaced.headers["ETag"] == '"2"'
    assert replaced.json["service"] == "express"
    assert (replaced.json["reference"], replaced.json["tags"]) == (None, [])


def test_change_keeps_other_fields_and_skips_equal_values(api):
    package = api.create(reference="order-1", tags=["a"])
    path = f"/packages/{package['id']}"

    changed = api("PATCH", path, json={"reference": "order-2"})
    repeated = api("PATCH", path, json={"reference": "order-2"})

    assert (changed.json["reference"], changed.json["tags"]) == ("order-2", ["a"])
    assert (changed.json["version"], repeated.json["version"]) == (2, 2)


def test_get_returns_304_for_the_present_etag(api):
    package = api.create()

    response = api.get(f"/packages/{package['id']}", headers={"If-None-Match": '"1"'})

    assert (response.status_code, response.data) == (304, b"")


def test_delete_removes_the_package_and_frees_its_number(api):
    package = api.create()
    api.add_events(package, event("picked_up"))

    deleted = api("DELETE", f"/packages/{package['id']}")

    assert deleted.status_code == 204
    assert api.get(f"/packages/{package['id']}").status_code == 404
    assert api.create()["event_count"] == 0


def test_another_tenant_sees_no_package(api, sign_in):
    package = api.create(reference="secret")
    other = sign_in("ten_other")
    path = f"/packages/{package['id']}"

    responses = [
        other.get(path),
        other("PATCH", path, json={"reference": "x"}),
        other("DELETE", path),
        other.get(f"{path}/events"),
        other.post(f"{path}/events", json={"events": [event("lost")]}),
    ]

    assert [response.status_code for response in responses] == [404] * 5
    assert other.get("/packages?q=secret").json["items"] == []
    assert other.create()["id"] != package["id"]
    assert api.get(path).json == package


def test_reader_cannot_write(sign_in):
    reader = sign_in(permissions=("packages:read",))

    assert reader.get("/packages").status_code == 200
    assert reader.post("/packages", json={"tracking_number": UPS}).status_code == 403


def test_lists_are_filtered(api):
    first = api.create(
        reference="order-1",
        tags=["fragile"],
        origin={"code": "DEFRA", "country": "DE", "name": "Frankfurt"},
        destination={"country": "US", "postal_code": "97201"},
        metadata={"customer": "Müller"},
        promised_at="2026-06-01T00:00:00Z",
    )
    api.create("LOCAL0001", carrier="local", reference="order-2")
    api.add_events(first, event("departed", location={"code": "DEFRA"}))

    def find(query: str) -> list[str]:
        return [each["reference"] for each in api.get(f"/packages?{query}").json["items"]]

    for query in (
        "status=in_transit",
        "carrier=ups",
        "tracking_number=1z5r89390357567127",
        "reference=order-1",
        "origin=DEFRA",
        "origin=DE",
        "destination=us",
        "destination=US:97201",
        "late=true",
        "tag=fragile",
        "q=frank",
        "q=1z5r8",
        "q=muller%20order",
        "tag=fragile&status=in_transit&sort=eta",
    ):
        assert find(query) == ["order-1"], query
    assert find("late=false") == ["order-2"]
    assert find("q=order") == ["order-2", "order-1"]
    assert find("created_until=2026-06-15T00:00:00Z") == []
    assert find("q=nothing") == []


@pytest.mark.parametrize(
    "query", ["status=lost", "sort=weight", "limit=0", "q=!!!", "created_since=1", "colour=red"]
)
def test_list_rejects_invalid_filters(api, query):
    assert api.get(f"/packages?{query}").status_code == 422


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "promised_at", "-promised_at"])
@pytest.mark.parametrize("tag", ["", "&tag=all"])
def test_pages_contain_every_package_once_in_order(api, sort, tag):
    for index in range(7):
        promised = {"promised_at": f"2027-01-0{index % 3 + 1}T00:00:00Z"} if index % 2 else {}
        api.create(f"LOCAL{index:04}", carrier="local", tags=["all"], **promised)

    found, cursor = [], ""
    while cursor is not None:
        page = api.get(f"/packages?limit=2&sort={sort}{tag}{cursor and f'&cursor={cursor}'}").json
        found += page["items"]
        cursor = page["next_cursor"]

    assert len({each["id"] for each in found}) == len(found) == 7
    name = sort.lstrip("-")
    values = [each[name] for each in found if each[name]]
    assert values == sorted(values, reverse=sort.startswith("-"))
    assert [each[name] for each in found[len(values) :]] == [None] * (7 - len(values))


def test_cursor_is_valid_for_its_sort_only(api):
    for index in range(3):
        api.create(f"LOCAL{index:04}", carrier="local")
    cursor = api.get("/packages?limit=1").json["next_cursor"]

    response = api.get(f"/packages?limit=1&sort=eta&cursor={cursor}")

    assert response.status_code == 422


def test_quota_limits_the_packages_of_a_tenant(tmp_path, identities, clock):

    app = identities.trust(
        create_app(build_settings(tmp_path, quotas=Quotas(packages=1, events=2)), now=clock)
    )
    token = identities.token(permissions=("packages:read", "packages:write"))
    api = Api(app.test_client(), token)
    package = api.create()

    response = api.post("/packages", json={"tracking_number": "LOCAL0001", "carrier": "local"})
    events = [event("note", external_id=str(index)) for index in range(3)]
    too_many = api.post(f"/packages/{package['id']}/events", json={"events": events})

    assert (response.status_code, response.json["code"]) == (403, "quota_exceeded")
    assert len(api.get("/packages").json["items"]) == 1
    assert (too_many.status_code, too_many.json["code"]) == (422, "too_many_events")
    assert api("DELETE", f"/packages/{package['id']}").status_code == 204
    assert api.create("LOCAL0001", carrier="local")["version"] == 1


def test_package_becomes_late_when_the_promised_time_passes(app, api, clock):

    package = api.create(promised_at="2026-06-16T00:00:00Z")
    clock.time += timedelta(days=1)

    get_component(app, PackageComponents).upkeep.mark_overdue()

    assert [each["id"] for each in api.get("/packages?late=true").json["items"]] == [package["id"]]


def test_common_routes_are_served_below_the_prefix(client):
    for prefix in ("", "/packages"):
        assert client.get(f"{prefix}/health").json["service"] == "packages-service"
        assert client.get(f"{prefix}/openapi.json").status_code == 200


QUERIES = (
    {"q": "common"},
    {"q": "common", "status": "in_transit"},
    {"q": "common", "tag": "blue"},
    {"q": "common", "sort": "promised_at"},
    {"carrier": "one", "status": "in_transit"},
    {"carrier": "one", "late": "true", "sort": "-updated_at"},
    {"origin": "DE", "destination": "USPDX"},
    {"status": "pre_transit", "sort": "-delivered_at"},
    {"status": "in_transit", "sort": "created_at"},
    {"eta_until": "2030-01-01T00:00:00Z"},
    {"q": "common", "sort": "-updated_at"},
    {"q": "common", "carrier": "two", "sort": "eta"},
    {"q": "com", "tag": "blue", "status": "in_transit"},
    {"tag": "blue", "sort": "promised_at"},
    {"tag": "blue", "carrier": "three"},
    {"tag": "blue", "late": "true", "sort": "-promised_at"},
)


@pytest.fixture
def many(api, monkeypatch):
    """60 packages with different fields, and limits that make each query read several ranges."""
    monkeypatch.setattr(package_queries, "_HITS", 3)
    monkeypatch.setattr(package_queries, "_MAX_COUNTED", 20)
    monkeypatch.setattr(package_queries, "_MAX_SORTED", 10)
    for index in range(60):
        package = api.create(
            f"MANY{index:06}",
            carrier=("one", "two", "three")[index % 3],
            reference="common" if index % 2 else "other",
            tags=["blue"] if index % 4 == 1 else [],
            origin={"code": "DEFRA", "country": "DE"} if index % 5 else None,
            destination={"code": "USPDX", "country": "US"} if index % 7 else None,
            promised_at=f"20{20 + index % 10}-01-01T00:00:00Z" if index % 6 else None,
        )
        if index % 4 == 1:
            api.add_events(package, event("accepted"))


@pytest.mark.slow
@pytest.mark.usefixtures("many")
def test_pages_of_each_filter_have_every_matching_package_once_in_order(api):
    for query in QUERIES:
        whole = api.get("/packages", query_string=query | {"limit": 200}).json["items"]
        paged, cursor = [], None
        while True:
            page = api.get(
                "/packages",
                query_string=query | {"limit": 7} | ({"cursor": cursor} if cursor else {}),
            ).json
            paged += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert paged == whole, query
        assert {each["id"] for each in whole} == {
            each["id"]
            for each in api.get("/packages?limit=200").json["items"]
            if matches(each, query)
        }, query


def matches(package: dict, query: dict) -> bool:
    """Return whether *package* matches a query of QUERIES."""
    places = {"origin": ("DE", "DEFRA"), "destination": ("US", "USPDX")}
    return all(
        (
            name in ("sort",)
            or (name == "q" and package["reference"].startswith(value))
            or (name == "tag" and value in package["tags"])
            or (name == "late" and package["late"])
            or (name in places and package[name] and value in places[name])
            or (name == "eta_until" and package["eta"])
            or (name in ("carrier", "status") and package[name] == value)
        )
        for name, value in query.items()
    )


def test_given_carrier_is_not_compared_with_the_number(api):
    wrong_check_digit = "1Z5R89390357567128"

    unknown = api.post("/packages", json={"tracking_number": wrong_check_digit})

    assert (unknown.status_code, unknown.json["code"]) == (422, "carrier_unknown")
    assert api.create(wrong_check_digit, carrier="ups")["carrier"] == "ups"


def test_number_with_a_dash_is_identified_in_imports(api):
    text = "tracking_number,reference\n1LS7119013618127-1,a\n1LS7119013618127-1,b\n"

    result = api.post("/packages/import", data=text, headers={"Content-Type": "text/csv"}).json

    assert (result["created"], result["existing"], result["errors"]) == (1, 1, [])
    assert api.get("/packages").json["items"][0]["carrier"] == "lasership"
