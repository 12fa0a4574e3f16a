"""Users, sessions, tenants and keys in numbers, all tenants together."""

import pytest

from backend.services.auth.app import create_app
from tests.services.auth.conftest import ADMIN_PASSWORD
from tests.services.auth.people import Person, outcome


@pytest.fixture
def client(make_settings, each_database_url, clock):
    app = create_app(make_settings(DATABASE_URL=each_database_url), clock.now)
    app.testing = True
    return app.test_client()


def test_everything_is_counted_now_and_by_day(client, clock):
    for name in ("ada", "bob", "cyd"):
        Person.register(client, name)
    clock.pass_by(days=2)
    Person.sign_in(client, "ada")
    dot = Person.register(client, "dot")
    key = client.post("/api-keys", json={"name": "one"}, headers=dot.bearer).json["key"]
    clock.pass_by(days=10)
    admin = Person.sign_in(client, "admin", ADMIN_PASSWORD)
    client.post("/tenants", json={"name": "A team"}, headers=admin.bearer)
    assert client.post("/api-keys/exchange", json={"key": key}).status_code == 200
    by_name = {
        each["username"]: f"/users/{each['id']}" for each in admin.get("/users").json["items"]
    }
    client.patch(by_name["bob"], json={"disabled": True}, headers=admin.bearer)
    client.delete(by_name["cyd"], headers=admin.bearer)

    answer = admin.get("/stats?days=14").json
    days = {day["date"]: (day["users"], day["sign_ins"]) for day in answer["days"]}

    assert answer["users"] == {
        "total": 4,
        "disabled": 1,
        "active_24h": 2,
        "active_7d": 2,
        "active_30d": 4,
    }
    assert answer["sessions"] == {"active": 4}  # those of bob and cyd have ended
    assert answer["tenants"] == {"total": 6, "personal": 5}
    assert answer["api_keys"] == {"active": 1}
    assert list(days) == [f"2025-12-{day}" for day in (31,)] + [
        f"2026-01-{day:02}" for day in range(1, 14)
    ]
    assert {day: counted for day, counted in days.items() if any(counted)} == {
        "2026-01-01": (4, 3),
        "2026-01-03": (1, 2),
        "2026-01-13": (0, 1),
    }


def test_a_key_that_ended_and_a_session_that_expired_count_no_more(client, clock):
    ada = Person.register(client, "ada")
    expiring = {"name": "short", "expires_at": "2026-01-02T00:00:00Z"}
    client.post("/api-keys", json=expiring, headers=ada.bearer)
    kept = client.post("/api-keys", json={"name": "deleted"}, headers=ada.bearer).json
    client.delete(f"/api-keys/{kept['id']}", headers=ada.bearer)
    clock.pass_by(days=31)
    answer = Person.sign_in(client, "admin", ADMIN_PASSWORD).get("/stats").json

    assert (answer["api_keys"]["active"], answer["sessions"]["active"]) == (0, 1)
    assert answer["users"]["active_30d"] == 1


def test_an_administrator_of_one_tenant_does_not_see_all(client):
    ada = Person.register(client, "ada")

    assert outcome(ada.get("/stats")) == (403, "permission_denied")
