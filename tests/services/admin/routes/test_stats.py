"""The whole suite in numbers: what all services tell, and null for what one does not."""

from datetime import UTC, datetime, timedelta

import pytest

FIRST, LAST = "2026-01-31", "2026-02-01"
TOKENS = {"prompt": 30, "completion": 10, "total": 40}
NO_TOKENS = {"prompt": 0, "completion": 0, "total": 0}
REQUESTS = {"requests": 9, "client_errors": 3, "limited": 1, "errors": 2}
NO_REQUESTS = dict.fromkeys(REQUESTS, 0)
USERS = {"total": 5, "disabled": 1, "active_24h": 2, "active_7d": 3, "active_30d": 4}
DOCUMENTS = {"total": 4, "queued": 0, "processing": 1, "ready": 2, "failed": 1}

TOLD = {
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
def telling(services):
    for name, service in services.items():
        service.documents["/stats"] = TOLD[name]


def asked(client, admin):
    return client.get(f"/stats?days=2&until={LAST}", headers=admin)


def test_it_puts_together_what_all_services_tell(client, admin):
    answer = asked(client, admin).json

    assert (answer["since"], answer["until"], answer["unavailable"]) == (FIRST, LAST, [])
    assert answer["totals"] == {
        **{name: TOLD["auth"][name] for name in ("users", "sessions", "tenants", "api_keys")},
        **{name: TOLD["agent"][name] for name in ("conversations", "messages", "tokens")},
        **{name: TOLD["rag"][name] for name in ("collections", "documents", "chunks", "bytes")},
        **{name: 2 * number for name, number in REQUESTS.items()},
    }
    assert answer["users"] == TOLD["auth"]["users"]["total"]
    assert answer["sessions"] == TOLD["auth"]["sessions"]["active"]
    assert answer["documents"] == TOLD["rag"]["documents"]["total"]
    assert answer["tokens"] == TOLD["agent"]["tokens"]["total"]
    assert all(answer[name] == answer["totals"][name] for name in ("chunks", "requests", "errors"))
    assert answer["services"] == {
        "auth": NO_REQUESTS,
        "rag": {name: 2 * number for name, number in REQUESTS.items()},
    }
    assert answer["models"]["b"] == {"prompt": 60, "completion": 20, "total": 80}
    assert answer["days"][1] == {
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
    assert datetime.fromisoformat(answer["generated_at"]).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("silent", "lost", "kept"),
    [
        ("auth", {"users", "sessions", "tenants", "api_keys"}, "documents"),
        ("agent", {"conversations", "messages", "tokens"}, "users"),
        ("rag", {"collections", "documents", "chunks", "bytes"}, "users"),
        ("gateway", {"requests", "client_errors", "limited", "errors"}, "users"),
    ],
)
@pytest.mark.parametrize("way", ["it ended", "it tells something else"])
def test_what_a_silent_service_counts_is_null_and_never_zero(
    client, admin, services, silent, lost, kept, way
):
    if way == "it ended":
        services[silent].stop()
    else:
        services[silent].documents["/stats"] = {"documents": "many"}
    answer = asked(client, admin).json

    assert answer["unavailable"] == [silent]
    assert {name for name, value in answer["totals"].items() if value is None} == lost
    assert answer["totals"][kept] is not None
    assert all(answer[name] is None for name in lost & set(answer))
    assert all(day[name] is None for day in answer["days"] for name in lost & set(day))
    assert [day["date"] for day in answer["days"]] == [FIRST, LAST]


def test_where_nobody_tells_anything_there_is_no_answer(client, admin, services):
    for service in services.values():
        service.stop()
    answer = asked(client, admin)

    assert (answer.status_code, answer.json["code"]) == (503, "stats_unavailable")
    assert answer.headers["Retry-After"]


def test_every_service_is_asked_with_the_callers_own_rights_and_for_the_same_days(
    client, admin, services
):
    asked(client, admin | {"X-Request-ID": "asked-once"})
    for service in services.values():
        (request,) = service.requests
        said = dict(request["headers"])
        assert request["target"] == f"/stats?days=2&until={LAST}"
        assert said["Authorization"] == admin["Authorization"]
        assert said["X-Request-ID"] == "asked-once"
        assert said["X-Service-Token"]


def test_it_is_about_thirty_days_up_to_today_unless_others_are_named(client, admin, services):
    services["gateway"].stop()
    before = datetime.now(UTC).date()
    answer = client.get("/stats", headers=admin).json

    assert answer["until"] in {str(before), str(datetime.now(UTC).date())}
    assert len(answer["days"]) == 30
    # A day that nobody tells of is null, too.
    assert answer["days"][0]["users"] is None


@pytest.mark.parametrize(
    "query", ["days=0", "days=91", "days=x", "until=yesterday", "until=1700000000", "month=1"]
)
def test_what_can_not_be_read_is_refused(client, admin, query):
    assert client.get(f"/stats?{query}", headers=admin).status_code == 422


def test_who_may_not_see_the_system_sees_no_numbers(client, identities):
    assert client.get("/stats").status_code == 401
    assert client.get("/stats", headers=identities.bearer()).status_code == 403
