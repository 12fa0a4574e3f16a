"""Events of packages: repetitions, times, unknown codes, and published events."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from backend.chassis.messaging.outbox import outbox_table
from backend.chassis.web.app_factory import get_component
from backend.services.packages.domain.event_input import EventInput
from backend.services.packages.domain.event_recording import PackageReport
from backend.services.packages.domain.packages import Caller
from backend.services.packages.wiring import PackageComponents
from tests.databases import on_postgresql
from tests.servers import wait_until
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


def record_together(app, *writes) -> list:
    """Call *writes*, each in a thread, so that they share a transaction. Returns their results."""
    if on_postgresql():
        pytest.skip("PostgreSQL needs no shared transactions")
    groups = get_component(app, PackageComponents).events.groups
    entered, leave = threading.Event(), threading.Event()

    def hold(_session) -> None:
        entered.set()
        leave.wait(60)

    with ThreadPoolExecutor(len(writes) + 1) as pool:
        first = pool.submit(groups.write, "ten_home", hold)
        assert entered.wait(60)
        results = []
        for count, write in enumerate(writes, 1):
            results.append(pool.submit(write))
            wait_until(lambda count=count: groups.count_waiting() == count)
        leave.set()
        first.result(60)
        return [result.result(60) for result in results]


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
        ("2026-06-10T12:00:00", {"country": "DE"}, "2026-06-10T10:00:00Z", "place"),
        ("2026-06-10T12:00:00", {"code": "DEHAM"}, "2026-06-10T10:00:00Z", "place"),
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


def test_requests_that_share_a_transaction_see_the_events_of_each_other(app, api, identities):
    first, second = api.create(), api.create("LOCAL0001", carrier="local")
    components = get_component(app, PackageComponents)
    token = identities.token(tenant_id="ten_home", permissions=("packages:read", "packages:write"))

    def send(package, *events):
        return lambda: Api(app.test_client(), token).add_events(package, *events)

    def report(number, carrier, given):
        # As a webhook, which names the package by its number.
        def write(session):
            report = PackageReport(number, carrier, events=[given])
            components.events.record_by_number(
                session, Caller("ten_home", "webhook"), report, "webhook"
            )

        return lambda: components.events.groups.write("ten_home", write)

    published = len(read_published(app))
    results = record_together(
        app,
        send(first, EVENTS[0]),
        send(second, EVENTS[0]),
        send(first, EVENTS[0], EVENTS[1]),
        report("LOCAL0001", "local", EventInput("departed", "2026-06-11T08:00:00Z")),
        send(second, event("arrived", "2026-06-12T08:00:00Z")),
        report("LOCAL0002", "local", EventInput("arrived", "2026-06-11T09:00:00Z")),
        send(first, EVENTS[2]),
    )

    counts = [(each["added"], each["duplicates"]) for each in results if each is not None]
    assert counts == [(1, 0), (1, 0), (1, 1), (1, 0), (1, 0)]
    first, second = (api.get(f"/packages/{each['id']}").json for each in (first, second))
    assert (first["event_count"], first["status"], first["version"]) == (3, "delivered", 4)
    assert (second["event_count"], second["last_event"]["code"]) == (3, "arrived")
    assert second["version"] == 4
    codes = [
        data["code"]
        for kind, data in read_published(app)[published:]
        if kind == "packages.event-recorded" and data["package_id"] == second["id"]
    ]
    assert codes == ["picked_up", "departed", "arrived"]
    (new,) = api.get("/packages?tracking_number=LOCAL0002").json["items"]
    assert (new["event_count"], new["last_event"]["code"]) == (1, "arrived")


def test_package_of_another_tenant_in_a_shared_transaction_is_not_found(app, api, identities):
    package = api.create()
    permissions = ("packages:read", "packages:write")
    token = identities.token(tenant_id="ten_other", permissions=permissions)
    stranger = Api(app.test_client(), token)
    path = f"/packages/{package['id']}/events"

    own, other = record_together(
        app,
        lambda: api.add_events(package, EVENTS[0]),
        lambda: stranger.post(path, json={"events": [EVENTS[1]]}).status_code,
    )

    assert (own["added"], other) == (1, 404)
    assert api.get(f"/packages/{package['id']}").json["event_count"] == 1
