"""The audit trail: one's own part of it, and who was turned away."""

import pytest

from tests.services.auth.conftest import ADMIN_PASSWORD
from tests.services.auth.people import Person, outcome


def test_ones_own_activity_is_told_the_newest_first_and_nobody_elses(client, ada):
    Person.register(client, "bob")
    client.post("/login", json={"username": "ada", "password": "not the password"})
    Person.sign_in(client, "ada")

    first = ada.get("/me/activity?limit=2").json
    rest = ada.get(f"/me/activity?cursor={first['next_cursor']}").json

    told = [(deed["action"], deed["outcome"]) for deed in first["items"] + rest["items"]]
    assert told == [
        ("session.login", "success"),
        ("session.login", "invalid_credentials"),
        ("session.login", "success"),
        ("account.register", "success"),
    ]
    assert {deed["address"] for deed in first["items"]} == {"127.0.0.1"}
    for cursor in ("nonsense", "WyJ4Il0", "WyI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OSJd"):
        assert ada.get(f"/me/activity?cursor={cursor}").status_code == 422


def test_who_is_turned_away_is_written_down(client, ada):
    assert outcome(ada.get("/health/detailed")) == (403, "permission_denied")

    newest = ada.get("/me/activity").json["items"][0]
    assert (newest["action"], newest["outcome"]) == ("access.denied", "permission_denied")
    assert newest["target"] == "GET /health/detailed"


def test_an_admin_reads_the_whole_trail_with_filters(client, ada, clock):
    admin = Person.sign_in(client, "admin", ADMIN_PASSWORD)
    clock.pass_by(minutes=5)
    Person.register(client, "bob")

    def told(**filters: str) -> list[tuple[str, str]]:
        answer = client.get("/audit", query_string=filters, headers=admin.bearer)
        return [(deed["actor"], deed["action"]) for deed in answer.json["items"]]

    assert told(actor="ADA") == told(actor=ada.user["id"])
    assert told(actor="ada") == [("ada", "session.login"), ("ada", "account.register")]
    assert told(action="account.register") == [
        ("bob", "account.register"),
        ("ada", "account.register"),
    ]
    assert told(since="2026-01-01T12:05:00Z", limit="1") == [("bob", "session.login")]
    assert len(told(since="2026-01-01T12:05:00Z")) == 2
    assert ("bob", "session.login") not in told(until="2026-01-01T12:05:00Z")
    assert told(actor="nobody") == []


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=2026-01-01T00:00:00", "actor=", "outcome=x", "limit=0"]
)
def test_a_bad_filter_is_refused(client, query):
    admin = Person.sign_in(client, "admin", ADMIN_PASSWORD)

    assert outcome(admin.get(f"/audit?{query}")) == (422, "validation_failed")


def test_the_head_of_a_tenant_reads_what_was_done_in_it_and_nothing_else(client, ada):
    admin = Person.sign_in(client, "admin", ADMIN_PASSWORD)
    team = client.post("/tenants", json={"name": "Team"}, headers=admin.bearer).json["id"]
    place = f"/tenants/{team}/members/{ada.user['id']}"
    client.put(place, json={"roles": ["tenant_admin"]}, headers=admin.bearer)
    head = Person.sign_in(client, "ada").bearer | {"X-Tenant-ID": team}

    deeds = client.get("/audit", headers=head).json["items"]

    assert [deed["action"] for deed in deeds] == ["member.put", "tenant.create"]
    assert {deed["tenant_id"] for deed in deeds} == {team}
