"""Events of packages: repetitions, times, unknown codes, and published events."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from backend.chassis.messaging.outbox import outbox_table
from backend.chassis.web.app_factory import get_component
from backend.services.packages.wiring import PackageComponents
from tests.services.packages.conftest import Api, event

EVENTS = (
    event("picked_up", "2026-06-10T08:00:00Z"),
    event("departed", "2026-06-10T18:00:00Z", location={"code": "FRA"}),
    event("delivered", "2026-06-12T09:00:00Z", external_id="scan-3"),
    event("arrived", "2026-06-12T10:00:00Z"),
)


def read_published(app) -> list[tuple[str, dict]]:
    database = get_component(app, PackageComponents).database.across_tenants()
    table = outbox_table("packages")
    with database.read() as session:
        rows = session.execute(sa.select(table).order_by(table.c.seq))
        return [(row.type, row.data) for row in rows if row.channel == "events"]


def test_repeated_events_are_counted_and_not_stored_again(api):
    package = api.create()

    first = api.add_events(package, EVENTS[0], EVENTS[0], EVENTS[2])
    second = api.add_events(package, *EVENTS)

    assert (first["added"], first["duplicates"]) == (2, 1)
    assert (second["added"], second["duplicates"]) == (2, 2)
    items = api.get(f"/packages/{package['id']}/events").json["items"]
    assert [item["code"] for item in items] == ["picked_up", "departed", "delivered", "arrived"]
    assert second["package"]["status"] == "delivered"
    assert second["package"]["delivered_at"] == "2026-06-12T09:00:00Z"


def test_every_order_of_requests_gives_the_same_package(api):
    contradiction = event("delivered", "2026-06-12T09:00:00Z", external_id="scan-3", detail="door")
    seen = set()
    for index, order in enumerate(itertools.permutations((*EVENTS[1:], contradiction))):
        package = api.create(f"LOCAL{index:04}", carrier="local")
        for each in order:
            result = api.add_events(package, each)["package"]
        last = result["last_event"] | {"id": None}
        seen.add(str((result["status"], result["delivered_at"], result["event_count"], last)))

    assert len(seen) == 1


def test_unknown_code_becomes_a_note_and_is_counted(api, client):
    package = api.create()

    result = api.add_events(package, event("X"), event("Q9", detail="??"))

    items = api.get(f"/packages/{package['id']}/events").json["items"]
    assert {(item["code"], item["raw_code"]) for item in items} == {
        ("exception", "X"),
        ("note", "Q9"),
    }
    assert result["package"]["status"] == "exception"


@pytest.mark.parametrize(
    ("time", "location", "utc", "basis"),
    [
        ("2026-06-10T12:00:00+02:00", None, "2026-06-10T10:00:00Z", "offset"),
        ("2026-06-10T12:00:00", {"code": "FRA"}, "2026-06-10T10:00:00Z", "place"),
        ("2026-01-10 12:00:00", {"code": "fra"}, "2026-01-10T11:00:00Z", "place"),
        ("2026-06-10T12:00:00", {"code": "JPTYO"}, "2026-06-10T03:00:00Z", "place"),
        ("2026-06-10T12:00:00", {"country": "JP"}, "2026-06-10T03:00:00Z", "place"),
        ("2026-06-10T12:00:00", {"country": "US"}, "2026-06-10T12:00:00Z", "assumed"),
        ("2026-06-10T12:00", None, "2026-06-10T12:00:00Z", "assumed"),
    ],
)
def test_local_times_get_the_zone_of_their_place(api, time, location, utc, basis):
    package = api.create()
    api.add_events(package, event("arrived", time, **({"location": location} if location else {})))

    (item,) = api.get(f"/packages/{package['id']}/events").json["items"]

    assert (item["occurred_at"], item["time_basis"], item["local_time"]) == (utc, basis, time)


@pytest.mark.parametrize(
    ("bad", "pointer"),
    [
        (event("arrived", "2026-06-17T12:00:00Z"), "#/events/1/occurred_at"),
        (event("arrived", "1999-12-31T23:59:59Z"), "#/events/1/occurred_at"),
        (event("arrived", "yesterday"), "#/events/1/occurred_at"),
        (event("arrived", "2026-02-30T00:00:00Z"), "#/events/1/occurred_at"),
        (event("exception", reason="aliens"), "#/events/1/reason"),
        (event(""), "#/events/1/code"),
        (event("arrived", place="x"), "#/events/1/place"),
    ],
)
def test_invalid_event_is_rejected_and_nothing_is_stored(api, bad, pointer):
    package = api.create()
    path = f"/packages/{package['id']}/events"

    response = api.post(path, json={"events": [event("picked_up"), bad]})

    assert response.status_code == 422
    assert [each["pointer"] for each in response.json["errors"]] == [pointer]
    assert api.get(path).json["items"] == []


def test_events_are_paginated(api):
    package = api.create()
    api.add_events(package, *EVENTS)
    path = f"/packages/{package['id']}/events?limit=3"

    first = api.get(path).json
    rest = api.get(f"{path}&cursor={first['next_cursor']}").json

    assert [item["code"] for item in first["items"] + rest["items"]] == [
        "picked_up",
        "departed",
        "delivered",
        "arrived",
    ]


def test_changes_are_published_in_order(app, api):
    package = api.create()
    api.add_events(package, EVENTS[0])
    api("PATCH", f"/packages/{package['id']}", json={"service": "express"})
    api("DELETE", f"/packages/{package['id']}")

    published = read_published(app)

    assert [kind for kind, _ in published] == [
        "packages.created",
        "packages.event-recorded",
        "packages.status-changed",
        "packages.changed",
        "packages.deleted",
    ]
    assert published[2][1]["previous_status"] == "pre_transit"
    assert all(data["package_id"] == package["id"] for _, data in published)


def test_events_of_concurrent_requests_are_added_once_and_fail_alone(app, api, identities):
    packages = [api.create(f"LOCAL{index:04}", carrier="local") for index in range(3)]
    paths = [f"/packages/{package['id']}/events" for package in packages]
    token = identities.token(tenant_id="ten_home", permissions=("packages:write",))

    def send(index):
        path = "/packages/pkg_missing/events" if index % 7 == 0 else paths[index % 3]
        body = {"events": [event("note", "2026-06-10T08:00:00Z", external_id=f"scan-{index}")]}
        return index % 7 == 0, Api(app.test_client(), token).post(path, json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(send, range(42)))

    assert {status for is_missing, status in results if is_missing} == {404}
    assert {status for is_missing, status in results if not is_missing} == {200}
    counts = [api.get(f"/packages/{package['id']}").json["event_count"] for package in packages]
    assert sum(counts) == 36
    codes = [
        data["code"] for name, data in read_published(app) if name == "packages.event-recorded"
    ]
    assert len(codes) == 36
