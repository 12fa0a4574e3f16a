"""Users, as administrators see and change them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.services.auth.app import create_app
from tests.services.auth.conftest import ADMIN_PASSWORD
from tests.services.auth.people import PASSWORD, Person, outcome


def test_an_admin_sees_everybody_page_by_page(client, admin, ada):
    for name in ("bob", "cy"):
        Person.register(client, name)

    first = admin.get("/users?limit=3").json
    rest = admin.get(f"/users?limit=3&cursor={first['next_cursor']}").json

    names = [user["username"] for user in first["items"] + rest["items"]]
    assert names == ["ada", "admin", "bob", "cy"]
    assert rest["next_cursor"] is None
    (found,) = (user for user in first["items"] if user["username"] == "ada")
    assert found == admin.get(f"/users/{ada.user['id']}").json
    assert (found["roles"], found["disabled"]) == (["user"], False)
    assert "preferences" not in found


@pytest.mark.parametrize("text", ["ADA", "аdа", "ada@EXAMPLE", "love"])  # noqa: RUF001
def test_users_are_found_by_parts_of_their_names(client, admin, text):
    Person.register(client, "ada", email="ada@example.org", display_name="Augusta Lovelace")
    Person.register(client, "bob")

    found = client.get("/users", query_string={"q": text}, headers=admin.bearer).json["items"]

    assert [user["username"] for user in found] == ["ada"]


@pytest.mark.parametrize("text", ["%", "_", "a%a", "\\"])
def test_a_search_for_a_sign_of_the_database_finds_that_sign(client, admin, ada, text):
    assert client.get("/users", query_string={"q": text}, headers=admin.bearer).json["items"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users"),
        ("POST", "/users"),
        ("GET", "/users/{id}"),
        ("PATCH", "/users/{id}"),
        ("DELETE", "/users/{id}"),
        ("POST", "/users/{id}/unlock"),
        ("GET", "/roles"),
        ("PUT", "/roles/mine"),
        ("DELETE", "/roles/mine"),
        ("GET", "/tenants"),
        ("POST", "/tenants"),
        ("PATCH", "/tenants/{tenant_id}"),
        ("GET", "/tenants/{tenant_id}/members"),
        ("PUT", "/tenants/{tenant_id}/members/{id}"),
        ("DELETE", "/tenants/{tenant_id}/members/{id}"),
        ("GET", "/audit"),
    ],
)
def test_a_user_is_turned_away_at_every_door_of_administration_and_it_is_noted(
    client, ada, method, path
):
    path = path.format(**ada.user)

    assert outcome(client.open(path, method=method, headers=ada.bearer)) == (
        403,
        "permission_denied",
    )
    assert client.open(path, method=method).status_code == 401
    newest = ada.get("/me/activity").json["items"][0]
    assert (newest["action"], newest["outcome"]) == ("access.denied", "permission_denied")


def test_an_admin_opens_an_account_with_roles(client, admin):
    wanted = {"username": "cy", "password": PASSWORD, "roles": ["viewer"], "email": "c@example.org"}
    headers = admin.bearer | {"Idempotency-Key": "once"}

    made, again = (client.post("/users", json=wanted, headers=headers) for _ in "12")

    assert made.status_code == 201
    assert again.json == made.json
    assert Person.sign_in(client, "cy").user["permissions"] == ["agent:query", "rag:read"]


def test_other_roles_hold_at_once(client, admin, ada):
    path = f"/users/{ada.user['id']}"

    changed = client.patch(path, json={"roles": ["viewer"]}, headers=admin.bearer)

    assert (changed.status_code, changed.json["roles"]) == (200, ["viewer"])
    assert outcome(ada.get("/me")) == (401, "session_ended")
    ada.access_token = ada.refresh().json["access_token"]
    assert ada.get("/me").json["permissions"] == ["agent:query", "rag:read"]


def test_a_disabled_account_ends_at_once_and_returns_when_enabled(client, admin, ada):
    key = client.post("/api-keys", json={"name": "x"}, headers=ada.bearer).json["key"]
    path = f"/users/{ada.user['id']}"

    client.patch(path, json={"disabled": True}, headers=admin.bearer)

    assert outcome(ada.get("/me")) == (401, "session_ended")
    assert outcome(ada.refresh()) == (401, "session_ended")
    assert client.get("/me", headers={"X-API-Key": key}).status_code == 401
    login = {"username": "ada", "password": PASSWORD}
    assert outcome(client.post("/login", json=login)) == (403, "account_disabled")
    client.patch(path, json={"disabled": False}, headers=admin.bearer)
    assert Person.sign_in(client, "ada").get("/me").status_code == 200
    assert ada.refresh().status_code == 401, "an old session must not rise again"


def test_a_deleted_account_is_gone_and_its_name_is_free(client, admin, ada, execute):
    key = client.post("/api-keys", json={"name": "x"}, headers=ada.bearer).json["key"]
    path = f"/users/{ada.user['id']}"

    assert client.delete(path, headers=admin.bearer).status_code == 204

    assert outcome(ada.get("/me")) == (401, "session_ended")
    assert ada.refresh().status_code == 401
    assert client.get("/me", headers={"X-API-Key": key}).status_code == 401
    for answer in (admin.get(path), client.delete(path, headers=admin.bearer)):
        assert outcome(answer) == (404, "not_found")
    assert "example.org" not in str(execute("SELECT * FROM users"))
    again = Person.register(client, "ada", email="ada@example.org")
    assert again.user["id"] != ada.user["id"]


def test_unlocking_forgives_failed_sign_ins(make_settings, clock):
    client = create_app(make_settings(LOGIN_ATTEMPTS="2 per 1 minute"), clock.now).test_client()
    admin = Person.sign_in(client, "admin", ADMIN_PASSWORD)
    ada = Person.register(client, "ada", email="ada@example.org")
    guess = {"username": "ada", "password": "guess"}
    statuses = [client.post("/login", json=guess).status_code for _ in range(3)]
    by_email = client.post("/login", json=guess | {"username": "ada@example.org"})
    assert (statuses, by_email.status_code) == ([401, 401, 429], 429)

    done = client.post(f"/users/{ada.user['id']}/unlock", headers=admin.bearer)

    assert done.status_code == 204
    assert Person.sign_in(client, "ada").username == "ada"


@pytest.mark.parametrize(
    ("method", "body"),
    [("PATCH", {"disabled": True}), ("PATCH", {"roles": ["user"]}), ("DELETE", None)],
)
def test_the_last_admin_stays(client, admin, method, body):
    path = f"/users/{admin.user['id']}"

    refused = client.open(path, method=method, json=body, headers=admin.bearer)

    assert outcome(refused) == (409, "last_admin")
    assert admin.get("/me").json["roles"] == ["admin"]


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_of_two_admins_who_remove_each_other_at_once_one_stays(app, client, admin, method):
    body = {"username": "other", "password": PASSWORD, "roles": ["admin"]}
    assert client.post("/users", json=body, headers=admin.bearer).status_code == 201
    other = Person.sign_in(client, "other")

    def remove(pair: tuple[Person, Person]) -> int:
        by, whom = pair
        path, body = f"/users/{whom.user['id']}", {"disabled": True}
        body = body if method == "PATCH" else None
        return app.test_client().open(path, method=method, json=body, headers=by.bearer).status_code

    with ThreadPoolExecutor(2) as threads:
        statuses = sorted(threads.map(remove, [(admin, other), (other, admin)]))

    assert statuses[0] in (200, 204)
    assert statuses[1] in (401, 409)


def test_the_head_of_a_tenant_sees_its_members_and_nobody_else(client, ada, team):
    by_head = team.by_head()

    seen = client.get("/users", headers=by_head).json["items"]

    assert [user["username"] for user in seen] == ["admin", "head", "member"]
    assert {user["tenant_id"] for user in seen} == {team.id}
    assert all(len(user["tenants"]) == 1 for user in seen)
    path = f"/users/{ada.user['id']}"
    assert outcome(client.get(path, headers=by_head)) == (404, "not_found")
    for method, body in (("PATCH", {"roles": ["viewer"]}), ("DELETE", None)):
        answer = client.open(path, method=method, json=body, headers=by_head)
        assert outcome(answer) == (404, "not_found")
    assert client.post(f"{path}/unlock", headers=by_head).status_code == 404
    assert ada.get("/me").json == ada.user


def test_the_head_of_a_tenant_gives_and_takes_no_more_than_it_has(client, admin, team):
    by_head = team.by_head()
    member, boss = f"/users/{team.member.user['id']}", f"/users/{admin.user['id']}"

    up = client.patch(member, json={"roles": ["admin"]}, headers=by_head)
    new = {"username": "cy", "password": PASSWORD, "roles": ["admin"]}
    assert outcome(up) == (403, "permission_denied")
    assert client.post("/users", json=new, headers=by_head).status_code == 403
    place = f"/tenants/{team.id}/members/{admin.user['id']}"
    client.put(place, json={"roles": ["admin"]}, headers=admin.bearer)
    for answer in (
        client.patch(boss, json={"roles": ["viewer"]}, headers=by_head),
        client.delete(place, headers=by_head),
    ):
        assert outcome(answer) == (403, "permission_denied")
    down = client.patch(member, json={"roles": ["viewer"]}, headers=by_head)
    assert down.json["roles"] == ["viewer"]


def test_who_was_invited_cannot_be_shut_out_of_their_own_account(client, team):
    path = f"/users/{team.member.user['id']}"

    for method, body in (
        ("PATCH", {"disabled": True}),
        ("PATCH", {"email": "head@example.org"}),
        ("DELETE", None),
    ):
        answer = client.open(path, method=method, json=body, headers=team.by_head())
        assert outcome(answer) == (403, "foreign_account")
    assert team.member.get("/me").json == team.member.user


def test_an_account_that_a_tenant_opened_is_its_own(client, team):
    wanted = {"username": "cy", "password": PASSWORD}

    made = client.post("/users", json=wanted, headers=team.by_head())
    cy = Person.sign_in(client, "cy")
    disabled = client.patch(
        f"/users/{made.json['id']}", json={"disabled": True}, headers=team.by_head()
    )

    assert (made.status_code, cy.user["tenant_id"]) == (201, team.id)
    assert disabled.json["disabled"] is True
    assert client.delete(f"/users/{made.json['id']}", headers=team.by_head()).status_code == 204
    assert outcome(cy.get("/me")) == (401, "session_ended")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"roles": []}, "#/roles"),
        ({"roles": ["nobody"]}, "#/roles/0"),
        ({"roles": ["user", "No!"]}, "#/roles/1"),
        ({"roles": "admin"}, "#/roles"),
        ({"disabled": "yes"}, "#/disabled"),
        ({"email": "nobody"}, "#/email"),
        ({"display_name": "a\u0000b"}, "#/display_name"),
        ({"display_name": "x" * 201}, "#/display_name"),
        ({"username": "eve"}, "#/username"),
        ({"tenant_id": "another"}, "#/tenant_id"),
        ({"permissions": ["system:write"]}, "#/permissions"),
        ({"email_verified": True}, "#/email_verified"),
        ({"password": "something else"}, "#/password"),
    ],
    ids=str,
)
def test_bad_fields_are_pointed_at_and_nothing_is_changed(client, admin, ada, body, pointer):
    path = f"/users/{ada.user['id']}"
    before = admin.get(path).json

    response = client.patch(path, json=body, headers=admin.bearer)

    assert outcome(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
    assert admin.get(path).json == before


@pytest.mark.parametrize("user_id", ["x", "%00", "%ff", "ü" * 40, "..%2f", "a" * 5000])
def test_a_made_up_id_is_not_there(client, admin, user_id):
    for method in ("GET", "DELETE"):
        response = client.open(f"/users/{user_id}", method=method, headers=admin.bearer)
        assert outcome(response) == (404, "not_found")
