"""Statistics of users, sessions, tenants and API keys."""

import pytest

from backend.services.auth.app import create_app
from tests.services.auth.api_user import ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD


@pytest.fixture
def client(make_settings, clock):
    app = create_app(make_settings(), clock.now)
    app.testing = True
    return app.test_client()


def test_stats_return_totals_and_daily_counts(client, clock):
    for name in ("ada", "bob", "cyd"):
        ApiUser.register(client, name)
    clock.advance(days=2)
    ApiUser.sign_in(client, "ada")
    dot = ApiUser.register(client, "dot")
    key = client.post("/api-keys", json={"name": "one"}, headers=dot.auth_headers).json["key"]
    clock.advance(days=10)
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    client.post("/tenants", json={"name": "A team"}, headers=admin.auth_headers)
    assert client.post("/api-keys/exchange", json={"key": key}).status_code == 200
    path_by_name = {
        user["username"]: f"/users/{user['id']}" for user in admin.get("/users").json["items"]
    }
    client.patch(path_by_name["bob"], json={"disabled": True}, headers=admin.auth_headers)
    client.delete(path_by_name["cyd"], headers=admin.auth_headers)

    stats = admin.get("/stats?days=14").json
    days = {day["date"]: (day["users"], day["sign_ins"]) for day in stats["days"]}

    assert stats["users"] == {
        "total": 4,
        "disabled": 1,
        "active_24h": 2,
        "active_7d": 2,
        "active_30d": 4,
    }
    assert stats["sessions"] == {"active": 4}  # The sessions of bob and cyd have ended.
    assert stats["tenants"] == {"total": 6, "personal": 5}
    assert stats["api_keys"] == {"active": 1}
    assert list(days) == [f"2025-12-{day}" for day in (31,)] + [
        f"2026-01-{day:02}" for day in range(1, 14)
    ]
    assert {day: counts for day, counts in days.items() if any(counts)} == {
        "2026-01-01": (4, 3),
        "2026-01-03": (1, 2),
        "2026-01-13": (0, 1),
    }


def test_stats_exclude_expired_keys_and_sessions(client, clock):
    ada = ApiUser.register(client, "ada")
    expiring = {"name": "short", "expires_at": "2026-01-02T00:00:00Z"}
    client.post("/api-keys", json=expiring, headers=ada.auth_headers)
    deleted = client.post("/api-keys", json={"name": "deleted"}, headers=ada.auth_headers).json
    client.delete(f"/api-keys/{deleted['id']}", headers=ada.auth_headers)
    clock.advance(days=31)
    stats = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD).get("/stats").json

    assert (stats["api_keys"]["active"], stats["sessions"]["active"]) == (0, 1)
    assert stats["users"]["active_30d"] == 1


def test_stats_require_system_read(client):
    ada = ApiUser.register(client, "ada")

    assert get_problem(ada.get("/stats")) == (403, "permission_denied")


def test_user_has_sign_ins_by_day_and_last_activity(client, clock):
    ApiUser.register(client, "ada")
    clock.advance(days=2)
    ada = ApiUser.sign_in(client, "ada")
    clock.advance(days=1)
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    user_id = ada.get("/me").json["id"]

    stats = admin.get(f"/users/{user_id}/stats?days=3").json

    assert stats["days"] == [
        {"date": "2026-01-02", "sign_ins": 0},
        {"date": "2026-01-03", "sign_ins": 1},
        {"date": "2026-01-04", "sign_ins": 0},
    ]
    assert stats["last_activity_at"].startswith("2026-01-03")
    assert ada.get("/me/stats?days=3").json == stats
    assert get_problem(ada.get(f"/users/{user_id}/stats")) == (403, "permission_denied")
    assert admin.get("/users/unknown/stats").status_code == 404


def test_statistics_of_a_user_of_another_tenant_are_not_found(client):
    ada, bob = (ApiUser.register(client, name) for name in ("ada", "bob"))
    bob_id = bob.get("/me").json["id"]

    assert ada.get(f"/users/{bob_id}/stats").status_code in (403, 404)
