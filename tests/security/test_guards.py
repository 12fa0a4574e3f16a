"""The decorators on a bare Flask app: who gets in, and what the others hear."""

import pytest
from flask import Flask

from backend.security import Permission, public, require_permission
from backend.security.guards import undeclared

ADA = "user-ada"


def test_a_caller_with_the_permission_reaches_the_view(client, identities):
    response = client.post("/items/top", json={"name": "lamp"}, headers=identities.bearer())

    assert (response.status_code, response.json) == (201, {"name": "lamp", "shelf": "top"})


def test_a_stranger_learns_only_that_a_token_is_needed(client):
    response = client.post("/items/top", json={"nonsense": 1})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.content_type == "application/problem+json"
    assert response.json["code"] == "not_authenticated"


def test_without_the_permission_the_body_is_not_even_looked_at(client, identities):
    viewer = identities.bearer(permissions=["rag:read"])

    response = client.post("/items/top", data=b"no json", headers=viewer)

    assert (response.status_code, response.json["code"]) == (403, "permission_denied")


def test_authenticated_asks_for_a_good_token_and_nothing_else(client, identities):
    response = client.get("/who", headers=identities.bearer(permissions=[]))

    assert response.json == {"user": ADA, "tenant": f"tenant-of-{ADA}", "permissions": []}
    assert client.get("/who").status_code == 401


@pytest.mark.parametrize("chosen", ["tenant-lab", "lab"], ids=["by id", "by slug"])
def test_the_tenant_header_chooses_among_the_callers_tenants(client, identities, chosen):
    headers = identities.bearer(tenants=[["tenant-lab", "lab", 0, "rag:read"]])

    response = client.get("/who", headers=headers | {"X-Tenant-ID": chosen})

    assert response.json["tenant"] == "tenant-lab"
    assert response.json["permissions"] == ["rag:read"]


def test_a_tenant_one_is_no_member_of_is_refused(client, identities):
    response = client.get("/who", headers=identities.bearer() | {"X-Tenant-ID": "elsewhere"})

    assert (response.status_code, response.json["code"]) == (403, "not_a_member")


def test_someone_elses_thing_looks_like_one_that_does_not_exist(client, identities):
    mine = client.get(f"/things/{ADA}-1", headers=identities.bearer())
    foreign = client.get("/things/user-bob-1", headers=identities.bearer())
    unknown = client.get("/things/nothing", headers=identities.bearer())

    assert mine.json == {"thing": "USER-ADA-1"}
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert foreign.json["detail"] == unknown.json["detail"]


def test_a_public_view_has_no_principal(app, client):
    app.testing = True

    with pytest.raises(RuntimeError, match="require_permission"):
        client.get("/nobody")


def test_a_route_that_declares_nothing_is_found():
    app = Flask("forgetful", static_folder=None)
    app.add_url_rule("/open", "open", public(lambda: ""))
    app.add_url_rule("/guarded", "guarded", require_permission(Permission.RAG_READ)(lambda: ""))
    app.add_url_rule("/forgotten", "forgotten", lambda: "")

    assert list(undeclared(app)) == ["/forgotten"]


def test_the_request_id_of_the_caller_comes_back_if_it_is_well_formed(client):
    taken = client.get("/who", headers={"X-Request-ID": "abc.DEF-1_2"})
    replaced = client.get("/who", headers={"X-Request-ID": "no spaces allowed"})

    assert taken.json["request_id"] == taken.headers["X-Request-ID"] == "abc.DEF-1_2"
    assert replaced.json["request_id"] != "no spaces allowed"
