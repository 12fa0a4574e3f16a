"""Choice of a route through HTTP, from histories of two ways between the same places."""

from datetime import timedelta

import pytest
from flask import Flask

from backend.chassis.web.app_factory import get_component
from backend.services.packages.domain.optimization.graphs import find_paths
from backend.services.packages.wiring import PackageComponents
from tests.services.packages.conftest import NOW, event
from tests.services.packages.test_investigations import LANE, iso

SLOW, FAST = ("DEFRA", "USORD", "USPDX"), ("DEFRA", "USJFK", "USPDX")


def deliver(api, number: str, places, hours, carrier: str = "ups") -> None:
    start = NOW - timedelta(days=20)
    codes = ("accepted", "arrived", "arrived", "delivered")
    package = api.create(number, carrier=carrier, shipped_at=iso(start), **LANE)
    api.add_events(
        package,
        *(
            event(code, iso(start + timedelta(hours=hour)), location={"code": place})
            for code, hour, place in zip(codes, hours, (*places, places[-1]), strict=True)
        ),
    )


@pytest.fixture
def history(app: Flask, api):
    """40 packages over Chicago that took 80 to 119 hours, and 30 over New York with 50 to 59."""
    for index in range(40):
        deliver(api, f"SLOW{index:06}", SLOW, (0, 40 + index, 75 + index, 80 + index))
    for index in range(30):
        deliver(
            api, f"FAST{index:06}", FAST, (0, 20 + index % 10, 45 + index % 10, 50 + index % 10)
        )
    get_component(app, PackageComponents).statistics.recompute("ten_home")


def create_open(api, *, hours_left: float = 70, carrier: str = "ups", **fields) -> dict:
    package = api.create(
        "OPEN000001",
        carrier=carrier,
        promised_at=iso(NOW + timedelta(hours=hours_left)),
        **(LANE | fields),
    )
    api.add_events(
        package,
        event("accepted", iso(NOW - timedelta(hours=1)), location={"code": "DEFRA"}),
    )
    return package


@pytest.mark.usefixtures("history")
def test_route_with_the_highest_probability_of_delivery_on_time_comes_first(api):
    package = create_open(api)
    found = api.post(f"/agents/optimize/route/{package['id']}").json
    best, other = found["figures"]["routes"]
    assert best["places"] == [f"code:{place}" for place in FAST]
    assert other["places"] == [f"code:{place}" for place in SLOW]
    assert best["on_time_probability"] > 0.95
    assert other["on_time_probability"] < 0.3
    assert best["samples"] == 30
    assert 49 <= best["hours"]["p50"] <= best["hours"]["p90"] <= 80
    assert [leg["to"] for leg in best["legs"]] == ["code:USJFK", "code:USPDX", "delivered"]
    [finding] = found["findings"]
    assert finding["kind"] == "better_route"
    events = [each["id"] for each in api.get(f"/packages/{package['id']}/events").json["items"]]
    assert finding["event_ids"] == events
    assert all(set(each["event_ids"]) <= set(events) for each in found["text"])


@pytest.mark.slow
@pytest.mark.usefixtures("history")
def test_route_begins_where_the_package_is(api):
    package = create_open(api)
    api.add_events(package, event("arrived", iso(NOW), location={"code": "USORD"}))
    [route] = api.post(f"/agents/optimize/route/{package['id']}").json["figures"]["routes"]
    assert route["places"] == ["code:USORD", "code:USPDX"]


@pytest.mark.slow
@pytest.mark.usefixtures("history")
def test_carrier_without_own_history_gets_the_routes_of_all(api):
    package = create_open(api, carrier="dhl")
    figures = api.post(f"/agents/optimize/route/{package['id']}").json["figures"]
    assert figures["carrier"] is None
    assert len(figures["routes"]) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("history")
def test_unknown_destination_has_no_guessed_route(api):
    package = create_open(api, destination={"code": "JPTYO"})
    found = api.post(f"/agents/optimize/route/{package['id']}").json
    assert found["figures"]["routes"] == []
    assert [each["kind"] for each in found["findings"]] == ["insufficient_history"]


def test_route_without_history_or_events_has_an_answer(api):
    package = api.create()
    found = api.post(f"/agents/optimize/route/{package['id']}")
    assert found.status_code == 200
    assert found.json["kind"] == "route"
    assert found.json["figures"]["routes"] == []


def test_paths_are_in_order_of_length_and_have_no_loops():
    graph = {
        "a": {"b": 1.0, "c": 4.0, "d": 10.0},
        "b": {"a": 1.0, "c": 1.0, "d": 5.0},
        "c": {"b": 1.0, "d": 1.0},
    }
    assert find_paths(graph, "a", "d", 10) == [
        ("a", "b", "c", "d"),
        ("a", "c", "d"),
        ("a", "b", "d"),
        ("a", "c", "b", "d"),
        ("a", "d"),
    ]
    assert find_paths(graph, "d", "a", 3) == []
