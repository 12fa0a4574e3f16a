"""Tokens for services that work for a user after the request."""

import base64
import json

from backend.security.authentication import get_security_context
from backend.security.service_tokens import ServiceTokens
from tests.services.auth.api_user import get_problem


def claims_of(token: str) -> dict:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def delegate(app, client, body, service="chat-service"):
    secret = get_security_context(app).service_tokens._secret
    headers = {"X-Service-Token": ServiceTokens(secret, service).get_token(app.name)}
    return client.post("/internal/delegations", json=body, headers=headers)


def session_of(user) -> dict:
    claims = claims_of(user.auth_headers["Authorization"].removeprefix("Bearer "))
    return {"session_id": claims["sid"], "tenant_id": claims["tid"]}


def test_service_gets_a_token_with_the_requested_permissions_that_the_user_has(app, client, ada):
    body = session_of(ada) | {"permissions": ["agent:query", "rag:write", "users:write"]}

    response = delegate(app, client, body)

    assert response.status_code == 200
    assert 0 < response.json["expires_in"] <= 300
    claims = claims_of(response.json["access_token"])
    # chat may use agent:query for users, but not rag:write; ada does not have users:write.
    assert claims["scope"] == "agent:query"
    assert claims["act"] == {"sub": "chat-service"}
    assert (claims["sub"], claims["sid"]) == (ada.user["id"], body["session_id"])
    assert response.headers["Cache-Control"] == "no-store"


def test_delegation_is_refused_once_the_session_has_ended(app, client, ada):
    body = session_of(ada) | {"permissions": ["agent:query"]}
    client.post("/logout", headers=ada.auth_headers)

    assert get_problem(delegate(app, client, body)) == (401, "session_ended")


def test_delegation_is_refused_in_a_tenant_of_others(app, client, ada):
    body = session_of(ada) | {"tenant_id": "another", "permissions": ["agent:query"]}

    assert get_problem(delegate(app, client, body)) == (401, "session_ended")


def test_users_cannot_request_delegations(client, ada):
    body = session_of(ada) | {"permissions": ["agent:query"]}

    response = client.post("/internal/delegations", json=body, headers=ada.auth_headers)

    assert get_problem(response) == (403, "internal_only")


def test_delegation_for_an_api_key_ends_with_the_key(app, client, ada):
    new_key = {"name": "bot", "permissions": ["agent:query"]}
    key = client.post("/api-keys", json=new_key, headers=ada.auth_headers).json
    body = session_of(ada) | {"session_id": f"key:{key['id']}", "permissions": ["agent:query"]}
    assert delegate(app, client, body).status_code == 200

    client.delete(f"/api-keys/{key['id']}", headers=ada.auth_headers)

    assert get_problem(delegate(app, client, body)) == (401, "session_ended")
