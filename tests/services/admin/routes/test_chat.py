"""History and statistics of chat: requests are passed on with the caller's credentials."""

import pytest


@pytest.fixture
def manager(identities):
    return identities.bearer("user-mia", permissions=["chat:read", "chat:manage"])


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", "/chat/stats?days=7&channel=web", "/stats?days=7&channel=web"),
        ("GET", "/chat/history?q=a+b&limit=10", "/history?q=a+b&limit=10"),
        ("GET", "/chat/history/export?format=csv", "/history/export?format=csv"),
        ("GET", "/chat/history/conv_1", "/conversations/conv_1"),
        ("DELETE", "/chat/history/conv_1", "/history/conv_1"),
        ("DELETE", "/chat/history/people/user:ada", "/history/people/user%3Aada"),
        ("GET", "/chat/retention", "/retention"),
    ],
)
def test_request_reaches_chat_with_the_callers_credentials(
    client, chat_service, manager, method, path, target
):
    response = client.open(path, method=method, headers=manager | {"X-Request-ID": "r-1"})

    assert response.status_code == 200, response.text
    assert response.text
    (request,) = chat_service.requests
    headers = dict(request["headers"])
    assert (request["method"], request["target"]) == (method, target)
    assert headers["Authorization"] == manager["Authorization"]
    assert headers["X-Request-ID"] == "r-1"
    assert headers["X-Service-Token"]


def test_period_of_retention_is_passed_on_as_json(client, chat_service, manager):
    assert client.put("/chat/retention", json={"days": None}, headers=manager).status_code == 200

    (request,) = chat_service.requests
    assert request["target"] == "/retention"
    assert client.put("/chat/retention", json={"days": 0}, headers=manager).status_code == 422
    assert len(chat_service.requests) == 1


def test_unavailable_chat_is_reported(client, chat_service, manager):
    chat_service.stop()

    response = client.get("/chat/history", headers=manager)

    assert (response.status_code, response.json["code"]) == (503, "chat_unavailable")
    assert response.headers["Retry-After"]


def test_path_cannot_leave_the_history(client, chat_service, manager):
    client.delete("/chat/history/..", headers=manager)
    client.delete("/chat/history/%3Fx", headers=manager)

    targets = [request["target"] for request in chat_service.requests]
    assert all(target.startswith("/history/%") for target in targets)


@pytest.mark.parametrize("path", ["/chat/history", "/chat/history/export", "/chat/retention"])
def test_history_requires_chat_manage(client, identities, path):
    reader = identities.bearer("user-cleo", permissions=["chat:read", "users:read"])

    assert client.get(path).status_code == 401
    assert client.get(path, headers=reader).status_code == 403
