"""Audit log: own activity, denied requests, filters and tenant isolation."""

import pytest

from tests.services.auth.api_user import ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD


def test_own_activity_lists_only_own_records_newest_first(client, ada):
    ApiUser.register(client, "bob")
    client.post("/login", json={"username": "ada", "password": "not the password"})
    ApiUser.sign_in(client, "ada")

    first = ada.get("/me/activity?limit=2").json
    rest = ada.get(f"/me/activity?cursor={first['next_cursor']}").json

    records = first["items"] + rest["items"]
    assert [(record["action"], record["outcome"]) for record in records] == [
        ("session.login", "success"),
        ("session.login", "invalid_credentials"),
        ("session.login", "success"),
        ("account.register", "success"),
    ]
    assert {record["address"] for record in first["items"]} == {"127.0.0.1"}
    for cursor in ("nonsense", "WyJ4Il0", "WyI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OSJd", "0" * 900):
        assert ada.get(f"/me/activity?cursor={cursor}").status_code == 422


def test_denied_request_is_recorded(client, ada):
    assert get_problem(ada.get("/health/detailed")) == (403, "permission_denied")

    newest = ada.get("/me/activity").json["items"][0]
    assert (newest["action"], newest["outcome"]) == ("access.denied", "permission_denied")
    assert newest["target"] == "GET /health/detailed"


def test_admin_filters_the_audit_log_of_all_tenants(client, ada, clock):
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    clock.advance(minutes=5)
    ApiUser.register(client, "bob")

    def search(**filters: str) -> list[tuple[str, str]]:
        response = client.get("/audit", query_string=filters, headers=admin.auth_headers)
        return [(record["actor"], record["action"]) for record in response.json["items"]]

    assert search(actor="ADA") == search(actor=ada.user["id"])
    assert search(actor="ada") == [("ada", "session.login"), ("ada", "account.register")]
    assert search(action="account.register") == [
        ("bob", "account.register"),
        ("ada", "account.register"),
    ]
    assert search(since="2026-01-01T12:05:00Z", limit="1") == [("bob", "session.login")]
    assert len(search(since="2026-01-01T12:05:00Z")) == 2
    assert ("bob", "session.login") not in search(until="2026-01-01T12:05:00Z")
    assert search(actor="nobody") == []


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=2026-01-01T00:00:00", "actor=", "outcome=x", "limit=0"]
)
def test_audit_rejects_invalid_filter(client, query):
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)

    assert get_problem(admin.get(f"/audit?{query}")) == (422, "validation_failed")


def test_tenant_admin_reads_only_records_of_the_tenant(client, ada):
    admin = ApiUser.sign_in(client, "admin", ADMIN_PASSWORD)
    team = client.post("/tenants", json={"name": "Team"}, headers=admin.auth_headers).json["id"]
    member_path = f"/tenants/{team}/members/{ada.user['id']}"
    client.put(member_path, json={"roles": ["tenant_admin"]}, headers=admin.auth_headers)
    headers = ApiUser.sign_in(client, "ada").auth_headers | {"X-Tenant-ID": team}

    records = client.get("/audit", headers=headers).json["items"]

    assert [record["action"] for record in records] == ["member.put", "tenant.create"]
    assert {record["tenant_id"] for record in records} == {team}
