"""Last known positions of open packages."""

import pytest

from backend.services.packages.domain import positions
from tests.services.packages.conftest import event

TOKYO = {"name": "Tokyo", "country": "JP", "lat": 35.7, "lon": 139.7}


def test_positions_are_the_places_of_the_last_events(api):
    package = api.create("LOCAL00001", carrier="local", destination={"lat": 1.3, "lon": 103.8})
    api.add_events(
        package,
        event("picked_up", "2026-06-09T08:00:00Z", location={"lat": 50.1, "lon": 8.7}),
        event("arrived", "2026-06-10T08:00:00Z", location=TOKYO),
    )

    found = api.get("/packages/positions").json

    (item,) = found["items"]
    assert (item["id"], item["code"], item["lat"], item["lon"]) == (
        package["id"],
        "arrived",
        35.7,
        139.7,
    )
    assert item["place"]["name"] == "Tokyo"
    assert (item["origin"], item["destination"]["lat"]) == (None, 1.3)
    assert (found["without_position"], found["complete"]) == (0, True)


def test_delivered_packages_and_those_without_coordinates_have_no_position(api):
    delivered = api.create("LOCAL00001", carrier="local")
    api.add_events(delivered, event("delivered", location=TOKYO))
    coded = api.create("LOCAL00002", carrier="local")
    api.add_events(coded, event("arrived", location={"code": "DEFRA"}))
    api.create("LOCAL00003", carrier="local")

    found = api.get("/packages/positions").json

    assert (found["items"], found["without_position"]) == ([], 2)


def test_positions_of_another_tenant_are_not_listed(api, sign_in):
    package = api.create("LOCAL00001", carrier="local")
    api.add_events(package, event("arrived", location=TOKYO))
    assert sign_in("ten_other").get("/packages/positions").json["items"] == []


def test_too_many_positions_are_reported_as_incomplete(api, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(positions, "MAX_POSITIONS", 2)
    codes = ("arrived", "exception", "out_for_delivery")
    for number, code in enumerate(codes):
        package = api.create(f"LOCAL0000{number}", carrier="local")
        api.add_events(package, event(code, location=TOKYO))

    found = api.get("/packages/positions").json

    assert [item["code"] for item in found["items"]] == ["out_for_delivery", "exception"]
    assert found["complete"] is False


def test_positions_need_the_permission(sign_in):
    assert sign_in(permissions=()).get("/packages/positions").status_code == 403
