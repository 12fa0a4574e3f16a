"""Investigations and predictions through HTTP, on histories that were computed before."""

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from backend.chassis.messaging.outbox import Outbox
from backend.chassis.web.app_factory import get_component
from backend.services.packages.domain.prediction.arrivals import SampleCache, predict_eta
from backend.services.packages.store.events import list_events
from backend.services.packages.store.packages import get_package, to_package
from backend.services.packages.wiring import PackageComponents
from tests.services.packages.conftest import NOW, event

LANE = {
    "origin": {"code": "DEFRA", "country": "DE"},
    "destination": {"code": "USPDX", "country": "US"},
}
KINDS = ("investigate/anomaly", "investigate/delay", "optimize/route", "predict")


def iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def build_events(start: datetime, hours=(0, 10, 40, 50, 60)) -> list[dict]:
    codes = ("accepted", "departed", "arrived", "out_for_delivery", "delivered")
    places = ("DEFRA", "DEFRA", "USPDX", "USPDX", "USPDX")
    return [
        event(code, iso(start + timedelta(hours=hour)), location={"code": place})
        for code, hour, place in zip(codes, hours, places, strict=False)
    ]


@pytest.fixture
def history(app: Flask, api):
    """40 delivered packages of one lane, every fifth late, and statistics of them."""
    for index in range(40):
        start = NOW - timedelta(days=30 + index % 9)
        last = 90 if index % 5 == 0 else 56 + index % 7
        package = api.create(
            f"HIST{index:06}",
            carrier="ups",
            promised_at=iso(start + timedelta(hours=72)),
            shipped_at=iso(start),
            **LANE,
        )
        api.add_events(package, *build_events(start, (0, 10 + index % 3, 40, 50, last)))
    statistics = get_component(app, PackageComponents).statistics
    assert statistics.recompute("ten_home") == 40


def create_slow(api) -> dict:
    """Return a package that needed 200 hours for the way that takes 30."""
    start = NOW - timedelta(hours=220)
    package = api.create(
        "SLOW000001",
        carrier="ups",
        promised_at=iso(start + timedelta(hours=72)),
        shipped_at=iso(start),
        **LANE,
    )
    api.add_events(package, *build_events(start, (0, 10, 210)))
    return package


@pytest.mark.usefixtures("history")
def test_delay_names_the_step_that_lost_the_time_with_its_events(api):
    package = create_slow(api)
    response = api.post(f"/agents/investigate/delay/{package['id']}")
    assert response.status_code == 200
    found = response.json
    lost = next(each for each in found["findings"] if each["kind"] == "lost_time")
    events = api.get(f"/packages/{package['id']}/events").json["items"]
    assert lost["event_ids"] == [events[1]["id"], events[2]["id"]]
    assert lost["evidence"]["value"] == 200
    steps = found["figures"]["steps"]
    assert steps[1]["late_probability_before"] < 0.5 < steps[1]["late_probability_after"]
    known = {each["id"] for each in events}
    assert all(each["event_ids"] and set(each["event_ids"]) <= known for each in found["text"])
    assert found["text_source"] == "templates"


@pytest.mark.usefixtures("history")
def test_anomaly_finds_the_slow_step(api):
    package = create_slow(api)
    found = api.post(f"/agents/investigate/anomaly/{package['id']}").json
    assert "slow_step" in [each["kind"] for each in found["findings"]]
    assert all(each["event_ids"] for each in found["findings"])


@pytest.mark.usefixtures("history")
def test_prediction_has_quantiles_in_order_and_its_basis(api):
    start = NOW - timedelta(hours=12)
    package = api.create(
        "OPEN000001", carrier="ups", promised_at=iso(start + timedelta(hours=72)), **LANE
    )
    api.add_events(package, *build_events(start, (0, 10)))
    found = api.post(f"/agents/predict/{package['id']}").json
    eta = found["figures"]["eta"]
    assert iso(NOW) <= eta["p10"] <= eta["p50"] <= eta["p90"]
    assert eta["p50"][:13] in {iso(start + timedelta(hours=hour))[:13] for hour in range(56, 65)}
    assert 0.05 < eta["late_probability"] < 0.4
    assert eta["basis"]["samples"] == 40
    assert "code:DEFRA>code:USPDX" in eta["basis"]["group"]


def test_without_history_nothing_is_guessed(api):
    package = create_slow(api)
    prediction = api.post(f"/agents/predict/{package['id']}").json
    assert prediction["figures"]["eta"] is None
    delay = api.post(f"/agents/investigate/delay/{package['id']}").json
    for found in (prediction, delay):
        assert "insufficient_history" in [each["kind"] for each in found["findings"]]


@pytest.mark.parametrize("kind", KINDS)
def test_package_without_events_has_an_answer(api, kind):
    package = api.create()
    found = api.post(f"/agents/{kind}/{package['id']}").json
    assert "no events" in found["text"][0]["text"]


def test_investigations_are_listed_newest_first(api):
    package = api.create()
    ids = [api.post(f"/agents/{kind}/{package['id']}").json["id"] for kind in KINDS]
    listed = api.get(f"/agents/investigations/{package['id']}").json["items"]
    assert [each["id"] for each in listed] == ids[::-1]


@pytest.mark.parametrize("kind", KINDS)
def test_package_of_another_tenant_is_not_found(api, sign_in, kind):
    package = api.create()
    other = sign_in("ten_other")
    assert other.post(f"/agents/{kind}/{package['id']}").status_code == 404
    assert other.get(f"/agents/investigations/{package['id']}").status_code == 404


def test_investigation_needs_the_permission(api, sign_in):
    package = api.create()
    assert sign_in(permissions=()).post(f"/agents/predict/{package['id']}").status_code == 403


def test_stale_statistics_are_recomputed_once(app: Flask, api, clock):
    api.create()
    statistics = get_component(app, PackageComponents).statistics
    assert statistics.list_tenants(stale_only=True) == ["ten_home"]
    statistics.recompute_stale()
    assert statistics.list_tenants(stale_only=True) == []
    clock.time += timedelta(days=1, minutes=1)
    assert statistics.list_tenants(stale_only=True) == ["ten_home"]


def create_open(api, number: str = "OPEN000001") -> dict:
    """Return a package that was handed over ten hours ago and left five hours ago."""
    start = NOW - timedelta(hours=10)
    package = api.create(
        number,
        carrier="ups",
        promised_at=iso(start + timedelta(hours=72)),
        shipped_at=iso(start),
        **LANE,
    )
    api.add_events(package, *build_events(start, (0, 5)))
    return api.get(f"/packages/{package['id']}").json


@pytest.mark.usefixtures("history")
def test_open_package_has_an_eta_with_its_basis_until_it_is_delivered(api):
    package = create_open(api)
    eta = package["eta"]
    assert eta["p10"] <= eta["p50"] <= eta["p90"]
    assert 0 < eta["late_probability"] < 1
    assert eta["basis"]["samples"] == 40

    start = NOW - timedelta(hours=10)
    api.add_events(package, event("delivered", iso(start + timedelta(hours=9.5))))
    assert api.get(f"/packages/{package['id']}").json["eta"] is None


@pytest.mark.usefixtures("history")
def test_packages_are_filtered_and_sorted_by_their_eta(api):
    package = create_open(api)
    eta = package["eta"]["p50"]
    found = api.get("/packages", query_string={"eta_since": eta, "sort": "eta"}).json["items"]
    assert [each["id"] for each in found] == [package["id"]]
    assert (
        api.get("/packages", query_string={"eta_until": "2020-01-01T00:00:00Z"}).json["items"] == []
    )


@pytest.mark.usefixtures("history")
def test_another_promised_time_changes_the_probability_to_be_late(api):
    package = create_open(api)
    path = f"/packages/{package['id']}"
    sooner = api("PATCH", path, json={"promised_at": iso(NOW + timedelta(hours=1))}).json
    assert sooner["eta"]["late_probability"] > package["eta"]["late_probability"]


def test_new_statistics_give_open_packages_an_eta(app: Flask, api, request):
    package = create_open(api)
    assert package["eta"] is None

    request.getfixturevalue("history")

    known = api.get(f"/packages/{package['id']}").json
    assert known["eta"]["basis"]["samples"] == 40
    assert known["version"] == package["version"] + 1


@pytest.mark.usefixtures("history")
def test_forecasts_use_new_statistics_at_once(app: Flask, api):
    assert create_open(api)["eta"]["basis"]["samples"] == 40
    start = NOW - timedelta(days=20)
    delivered = api.create(
        "HIST000040", carrier="ups", promised_at=iso(start + timedelta(hours=72)), **LANE
    )
    api.add_events(delivered, *build_events(start))
    get_component(app, PackageComponents).statistics.recompute("ten_home")

    package = api.create(
        "OPEN000002", carrier="ups", promised_at=iso(NOW + timedelta(hours=62)), **LANE
    )
    added = api.add_events(package, *build_events(NOW - timedelta(hours=10), (0, 5)))

    assert added["package"]["eta"]["basis"]["samples"] == 41


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("max_samples", [2, 4000])
def test_forecast_is_the_same_from_kept_samples_and_from_the_database(app, api, max_samples):
    package_id = create_open(api)["id"]
    database = get_component(app, PackageComponents).database
    cache = SampleCache(max_samples)
    with database.read("ten_home") as session:
        row = get_package(session, "ten_home", package_id)
        package, events = to_package(row), list_events(session, package_id)
        arrivals = [predict_eta(session, cache, package, events, NOW) for _ in range(3)]

    assert arrivals[0] is not None
    assert arrivals == [arrivals[0]] * 3


@pytest.mark.usefixtures("history")
def test_samples_are_read_once_for_events_at_the_same_step(app, api):
    package = create_open(api)
    database = get_component(app, PackageComponents).database
    statements = []
    sa.event.listen(
        database.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )

    api.add_events(package, event("note", iso(NOW - timedelta(hours=1))))

    assert [text for text in statements if "UPDATE packages" in text]
    assert not [text for text in statements if "lane_statistics" in text]


@pytest.mark.parametrize(("wait", "status"), [("0", 200), ("5", 200), ("-1", 422), ("x", 422)])
def test_wait_is_a_number_of_seconds(api, wait, status):
    package = api.create()
    assert api.post(f"/agents/predict/{package['id']}?wait={wait}").status_code == status


def test_investigation_is_reported_as_event(app: Flask, api):
    package = api.create()
    found = api.post(f"/agents/investigate/delay/{package['id']}").json
    database = get_component(app, PackageComponents).database
    events = Outbox("packages", database, "events").list_pending_events(10)
    [event] = [each for each in events if each.type == "packages.investigated"]
    assert event.data["investigation_id"] == found["id"]
    assert event.data["kind"] == "delay"


@pytest.mark.usefixtures("history")
def test_stats_have_the_errors_of_predictions_for_the_latest_deliveries(api):
    prediction = api.get("/packages/stats").json["prediction"]
    # A fifth of 40 packages, each with its start and four events before the delivery.
    assert prediction["predictions"] == 8 * 5
    assert prediction["error_hours"] < prediction["planned_error_hours"]
    assert 0 <= prediction["coverage"] <= 1
