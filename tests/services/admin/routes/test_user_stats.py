"""Statistics of one user: merged by day, and null for unavailable services."""

import pytest

FIRST, LAST = "2026-01-31", "2026-02-01"
TOKENS = {"prompt": 30, "completion": 10, "total": 40}
NO_TOKENS = dict.fromkeys(TOKENS, 0)
PARTS = {
    "auth": {
        "last_activity_at": "2026-02-01T12:00:00Z",
        "days": [{"date": FIRST, "sign_ins": 2}, {"date": LAST, "sign_ins": 1}],
    },
    "agent": {
        "last_activity_at": "2026-02-01T13:00:00Z",
        "days": [
            {"date": FIRST, "conversations": 1, "questions": 3, "tokens": TOKENS, "cost": 0.25},
            {"date": LAST, "conversations": 0, "questions": 0, "tokens": NO_TOKENS, "cost": 0},
        ],
    },
    "rag": {
        "last_activity_at": None,
        "days": [
            {"date": FIRST, "documents": 0, "bytes": 0},
            {"date": LAST, "documents": 4, "bytes": 5_000_000_000},
        ],
    },
    "chat": {
        "last_activity_at": "2026-01-31T09:00:00Z",
        "days": [
            {"date": FIRST, "conversations": 1, "messages": 7},
            {"date": LAST, "conversations": 0, "messages": 0},
        ],
    },
}
FIELDS = {
    "auth": {"sign_ins"},
    "agent": {"conversations", "questions", "tokens", "cost"},
    "rag": {"documents", "bytes"},
    "chat": {"chat_conversations", "chat_messages"},
}


@pytest.fixture
def owners(services, chat_service):
    owners = {name: services[name] for name in ("auth", "agent", "rag")} | {"chat": chat_service}
    for name, service in owners.items():
        service.documents["/users/user-ada/stats"] = PARTS[name]
        service.documents["/me/stats"] = PARTS[name]
    return owners


@pytest.fixture
def reader(identities):
    return identities.bearer("user-mia", permissions=["users:read"])


def get_stats(client, headers, path="/users/user-ada/stats"):
    return client.get(f"{path}?days=2&until={LAST}", headers=headers)


@pytest.mark.parametrize("path", ["/users/user-ada/stats", "/me/stats"])
def test_figures_of_all_services_are_merged_by_day(client, owners, reader, path):
    stats = get_stats(client, reader, path).json

    assert (stats["since"], stats["until"], stats["unavailable"]) == (FIRST, LAST, [])
    assert stats["last_activity_at"] == "2026-02-01T13:00:00Z"
    assert stats["totals"] == {
        "sign_ins": 3,
        "conversations": 1,
        "questions": 3,
        "tokens": TOKENS,
        "cost": 0.25,
        "documents": 4,
        "bytes": 5_000_000_000,
        "chat_conversations": 1,
        "chat_messages": 7,
    }
    assert stats["days"][0] == {
        "date": FIRST,
        "sign_ins": 2,
        "conversations": 1,
        "questions": 3,
        "tokens": TOKENS,
        "cost": 0.25,
        "documents": 0,
        "bytes": 0,
        "chat_conversations": 1,
        "chat_messages": 7,
    }
    for service in owners.values():
        (request,) = service.requests
        headers = dict(request["headers"])
        assert request["target"] == f"{path}?days=2&until={LAST}"
        assert headers["Authorization"] == reader["Authorization"]
        assert headers["X-Service-Token"]


@pytest.mark.parametrize("unavailable", FIELDS)
@pytest.mark.parametrize("failure", ["stopped", "invalid response"])
def test_figures_of_an_unavailable_service_are_null_and_it_is_named(
    client, owners, reader, unavailable, failure
):
    if failure == "stopped":
        owners[unavailable].stop()
    else:
        owners[unavailable].documents["/users/user-ada/stats"] = {"days": "many"}

    stats = get_stats(client, reader).json

    assert stats["unavailable"] == [unavailable]
    for figures in (stats["totals"], *stats["days"]):
        nulls = {name for name, value in figures.items() if value is None}
        assert nulls == FIELDS[unavailable]


def test_cost_is_null_if_a_model_has_no_price(client, owners, reader):
    days = [day | {"cost": None} for day in PARTS["agent"]["days"][:1]]
    rest = PARTS["agent"]["days"][1:]
    part = PARTS["agent"] | {"days": days + rest}
    owners["agent"].documents["/users/user-ada/stats"] = part

    stats = get_stats(client, reader).json

    assert (stats["totals"]["cost"], stats["totals"]["questions"]) == (None, 3)
    assert stats["unavailable"] == []


def test_no_service_responds(client, owners, reader):
    for service in owners.values():
        service.stop()

    response = get_stats(client, reader)

    assert (response.status_code, response.json["code"]) == (503, "stats_unavailable")


def test_statistics_of_others_require_users_read(client, owners, identities):
    ada = identities.bearer("user-ada", permissions=[])

    assert client.get("/users/user-bob/stats").status_code == 401
    assert client.get("/users/user-bob/stats", headers=ada).status_code == 403
    assert client.get("/me/stats").status_code == 401
    assert get_stats(client, ada, "/me/stats").status_code == 200


@pytest.mark.parametrize("query", ["days=0", "days=91", "until=yesterday", "month=1"])
def test_invalid_query_returns_422(client, reader, query):
    assert client.get(f"/users/user-ada/stats?{query}", headers=reader).status_code == 422
