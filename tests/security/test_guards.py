"""The guards on a plain Flask app: who is allowed and what others receive."""

import pytest
from flask import Flask

from backend.security import Permission, public, require_permission
from backend.security.guards import routes_without_guard

ADA = "user-ada"


def test_caller_with_permission_reaches_the_view(client, identities):
    response = client.post("/items/top", json={"name": "lamp"}, headers=identities.bearer())

    assert (response.status_code, response.json) == (201, {"name": "lamp", "shelf": "top"})


def test_unauthenticated_caller_gets_401_before_validation(client):
    response = client.post("/items/top", json={"nonsense": 1})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == "not_authenticated"


def test_missing_permission_returns_403_before_validation(client, identities):
    viewer = identities.bearer(permissions=["rag:read"])

    response = client.post("/items/top", data=b"no json", headers=viewer)

    assert (response.status_code, response.json["code"]) == (403, "permission_denied")


def test_authenticated_requires_only_a_valid_token(client, identities):
    response = client.get("/who", headers=identities.bearer(permissions=[]))

    assert response.json == {"user": ADA, "tenant": f"tenant-of-{ADA}", "permissions": []}
    assert client.get("/who").status_code == 401


@pytest.mark.parametrize("tenant", ["tenant-lab", "lab"], ids=["by id", "by slug"])
def test_tenant_header_selects_one_of_the_callers_tenants(client, identities, tenant):
    headers = identities.bearer(tenants=[["tenant-lab", "lab", 0, "rag:read"]])

    response = client.get("/who", headers=headers | {"X-Tenant-ID": tenant})

    assert response.json["tenant"] == "tenant-lab"
    assert response.json["permissions"] == ["rag:read"]


def test_foreign_tenant_returns_403(client, identities):
    response = client.get("/who", headers=identities.bearer() | {"X-Tenant-ID": "elsewhere"})

    assert (response.status_code, response.json["code"]) == (403, "not_a_member")


def test_foreign_resource_returns_the_same_404_as_a_missing_one(client, identities):
    mine = client.get(f"/things/{ADA}-1", headers=identities.bearer())
    foreign = client.get("/things/user-bob-1", headers=identities.bearer())
    unknown = client.get("/things/nothing", headers=identities.bearer())

    assert mine.json == {"thing": "USER-ADA-1"}
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert foreign.json["detail"] == unknown.json["detail"]


def test_public_view_has_no_principal(app, client):
    app.testing = True

    with pytest.raises(RuntimeError, match="require_permission"):
        client.get("/anonymous")


def test_route_without_guard_is_reported():
    app = Flask("plain", static_folder=None)
    app.add_url_rule("/open", "open", public(lambda: ""))
    app.add_url_rule("/guarded", "guarded", require_permission(Permission.RAG_READ)(lambda: ""))
    app.add_url_rule("/unguarded", "unguarded", lambda: "")

    assert list(routes_without_guard(app)) == ["/unguarded"]


def test_request_id_is_returned_if_well_formed(client):
    accepted = client.get("/who", headers={"X-Request-ID": "abc.DEF-1_2"})
    replaced = client.get("/who", headers={"X-Request-ID": "no spaces allowed"})

    assert accepted.json["request_id"] == accepted.headers["X-Request-ID"] == "abc.DEF-1_2"
    assert replaced.json["request_id"] != "no spaces allowed"
