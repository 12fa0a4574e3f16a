"""Statistics of the whole system: merged counts, and null for unavailable services."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.servers import wait_until

FIRST, LAST = "2026-01-31", "2026-02-01"
TOKENS = {"prompt": 30, "completion": 10, "total": 40}
NO_TOKENS = {"prompt": 0, "completion": 0, "total": 0}
REQUESTS = {"requests": 9, "client_errors": 3, "limited": 1, "errors": 2}
NO_REQUESTS = dict.fromkeys(REQUESTS, 0)
USERS = {"total": 5, "disabled": 1, "active_24h": 2, "active_7d": 3, "active_30d": 4}
DOCUMENTS = {"total": 4, "queued": 0, "processing": 1, "ready": 2, "failed": 1}

SERVICE_STATS = {
    "auth": {
        "users": USERS,
        "sessions": {"active": 3},
        "tenants": {"total": 6, "personal": 5},
        "api_keys": {"active": 1},
        "days": [
            {"date": FIRST, "users": 2, "sign_ins": 4},
            {"date": LAST, "users": 0, "sign_ins": 0},
        ],
    },
    "agent": {
        "conversations": 7,
        "messages": 20,
        "tokens": TOKENS,
        "days": [
            {"date": FIRST, "conversations": 1, "messages": 2, "tokens": TOKENS}
            | {"models": {"b": TOKENS, "a": NO_TOKENS}},
            {"date": LAST, "conversations": 0, "messages": 0, "tokens": TOKENS}
            | {"models": {"b": TOKENS}},
        ],
    },
    "rag": {
        "collections": 2,
        "documents": DOCUMENTS,
        "chunks": 40,
        "bytes": 5_000_000_000,
        "days": [
            {"date": FIRST, "documents": 0, "bytes": 0},
            {"date": LAST, "documents": 4, "bytes": 5_000_000_000},
        ],
    },
    "gateway": {
        "days": [
            {"date": FIRST, "services": {"rag": REQUESTS}, **REQUESTS},
            {"date": LAST, "services": {"rag": REQUESTS, "auth": NO_REQUESTS}, **REQUESTS},
        ],
    },
}


@pytest.fixture(autouse=True)
def service_stats(services):
    for name, service in services.items():
        service.documents["/stats"] = SERVICE_STATS[name]


def get_stats(client, admin):
    return client.get(f"/stats?days=2&until={LAST}", headers=admin)


def test_stats_merge_the_counts_of_all_services(client, admin):
    stats = get_stats(client, admin).json

    assert (stats["since"], stats["until"], stats["unavailable"]) == (FIRST, LAST, [])
    assert stats["totals"] == {
        **{
            name: SERVICE_STATS["auth"][name]
            for name in ("users", "sessions", "tenants", "api_keys")
        },
        **{name: SERVICE_STATS["agent"][name] for name in ("conversations", "messages", "tokens")},
        **{
            name: SERVICE_STATS["rag"][name]
            for name in ("collections", "documents", "chunks", "bytes")
        },
        **{name: 2 * number for name, number in REQUESTS.items()},
    }
    assert stats["users"] == SERVICE_STATS["auth"]["users"]["total"]
    assert stats["sessions"] == SERVICE_STATS["auth"]["sessions"]["active"]
    assert stats["documents"] == SERVICE_STATS["rag"]["documents"]["total"]
    assert stats["tokens"] == SERVICE_STATS["agent"]["tokens"]["total"]
    assert all(stats[name] == stats["totals"][name] for name in ("chunks", "requests", "errors"))
    assert stats["services"] == {
        "auth": NO_REQUESTS,
        "rag": {name: 2 * number for name, number in REQUESTS.items()},
    }
    assert stats["models"]["b"] == {"prompt": 60, "completion": 20, "total": 80}
    assert stats["days"][1] == {
        "date": LAST,
        "users": 0,
        "sign_ins": 0,
        "conversations": 0,
        "messages": 0,
        "tokens": TOKENS,
        "models": {"b": TOKENS},
        "documents": 4,
        "bytes": 5_000_000_000,
        "services": {"auth": NO_REQUESTS, "rag": REQUESTS},
        **REQUESTS,
    }
    assert datetime.fromisoformat(stats["generated_at"]).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("unavailable", "null_fields", "other_field"),
    [
        ("auth", {"users", "sessions", "tenants", "api_keys"}, "documents"),
        ("agent", {"conversations", "messages", "tokens"}, "users"),
        ("rag", {"collections", "documents", "chunks", "bytes"}, "users"),
        ("gateway", {"requests", "client_errors", "limited", "errors"}, "users"),
    ],
)
@pytest.mark.parametrize("failure", ["stopped", "invalid response"])
def test_counts_of_an_unavailable_service_are_null(
    client, admin, services, unavailable, null_fields, other_field, failure
):
    if failure == "stopped":
        services[unavailable].stop()
    else:
        services[unavailable].documents["/stats"] = {"documents": "many"}
    stats = get_stats(client, admin).json

    assert stats["unavailable"] == [unavailable]
    assert {name for name, value in stats["totals"].items() if value is None} == null_fields
    assert stats["totals"][other_field] is not None
    assert all(stats[name] is None for name in null_fields & set(stats))
    assert all(day[name] is None for day in stats["days"] for name in null_fields & set(day))
    assert [day["date"] for day in stats["days"]] == [FIRST, LAST]


def test_stats_return_503_when_no_service_responds(client, admin, services):
    for service in services.values():
        service.stop()
    stats = get_stats(client, admin)

    assert (stats.status_code, stats.json["code"]) == (503, "stats_unavailable")
    assert stats.headers["Retry-After"]


def test_services_receive_the_callers_credentials_and_the_same_days(client, admin, services):
    get_stats(client, admin | {"X-Request-ID": "request-1"})
    for service in services.values():
        (request,) = service.requests
        headers = dict(request["headers"])
        assert request["target"] == f"/stats?days=2&until={LAST}"
        assert headers["Authorization"] == admin["Authorization"]
        assert headers["X-Request-ID"] == "request-1"
        assert headers["X-Service-Token"]


def test_stats_default_to_the_last_thirty_days(client, admin, services):
    services["gateway"].stop()
    today = datetime.now(UTC).date()
    stats = client.get("/stats", headers=admin).json

    assert stats["until"] in {str(today), str(datetime.now(UTC).date())}
    assert len(stats["days"]) == 30
    # Days without a response are null, too.
    assert stats["days"][0]["users"] is None


@pytest.mark.parametrize(
    "query", ["days=0", "days=91", "days=x", "until=yesterday", "until=1700000000", "month=1"]
)
def test_invalid_query_returns_422(client, admin, query):
    assert client.get(f"/stats?{query}", headers=admin).status_code == 422


def test_stats_require_system_read(client, identities):
    assert client.get("/stats").status_code == 401
    assert client.get("/stats", headers=identities.bearer()).status_code == 403


def test_denied_request_is_delivered_to_the_audit_log(client, services, identities):
    visitor = identities.bearer("user-visitor", permissions=[])

    assert client.get("/stats", headers=visitor).status_code == 403

    def find_deliveries():
        return [r for r in services["auth"].requests if r["target"] == "/internal/audit-events"]

    wait_until(find_deliveries)
    assert [delivery["method"] for delivery in find_deliveries()] == ["POST"]
