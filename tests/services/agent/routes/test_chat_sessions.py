"""Deletion of the sessions of chat by the chat service."""

import pytest

from backend.security.authentication import get_security_context
from backend.security.service_tokens import HEADER, ServiceTokens

MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def service_headers(app):
    """Return a function from the name of a service to the headers of its calls."""
    secret = get_security_context(app).service_tokens._secret

    def create(name):
        return {HEADER: ServiceTokens(secret, name).get_token(app.name)}

    return create


def test_chat_deletes_its_own_sessions_only(client, ada, service_headers):
    of_chat = client.post(
        "/sessions", json={"origin": "chat", "messages": MESSAGES}, headers=ada
    ).json["id"]
    personal = client.post("/sessions", json={"messages": MESSAGES}, headers=ada).json["id"]

    response = client.post(
        "/internal/sessions/delete",
        json={"ids": [of_chat, personal, "unknown"]},
        headers=service_headers("chat-service"),
    )

    assert response.status_code == 204
    assert client.get(f"/sessions/{of_chat}", headers=ada).status_code == 404
    assert client.get(f"/sessions/{personal}", headers=ada).status_code == 200


def test_users_and_other_services_are_refused(client, ada, service_headers):
    body = {"ids": ["unknown"]}
    path = "/internal/sessions/delete"

    assert client.post(path, json=body, headers=ada).status_code == 403
    other = client.post(path, json=body, headers=service_headers("rag-service"))
    assert other.status_code == 403
