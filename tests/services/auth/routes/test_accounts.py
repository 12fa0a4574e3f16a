"""Register, and see and change one's own account."""

# ruff: noqa: RUF001 - some names are look-alikes on purpose

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.services.auth.people import PASSWORD, Person, outcome


def test_the_documented_example_registers(client):
    response = client.post("/register", json={"username": "testuser", "password": "testpass123"})

    assert response.status_code == 201
    assert response.json["token_type"] == "Bearer"
    assert response.json["expires_in"] == 600
    assert response.json["user"]["username"] == "testuser"
    assert response.headers["Cache-Control"] == "no-store"


def test_a_newcomer_is_a_user_in_a_tenant_of_their_own(ada):
    assert ada.user["roles"] == ["user"]
    assert ada.user["permissions"] == ["agent:query", "rag:read", "rag:write"]
    assert [tenant["id"] for tenant in ada.user["tenants"]] == [ada.user["tenant_id"]]


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param("ada", id="the same"),
        pytest.param("ADA", id="another case"),
        pytest.param("аdа", id="Cyrillic letters in it"),
        pytest.param("Ａda", id="a wide letter"),
        pytest.param("𝐚𝐝𝐚", id="mathematical letters"),
    ],
)
def test_names_that_look_the_same_are_one_account(client, ada, spelling):
    response = client.post("/register", json={"username": spelling, "password": PASSWORD})

    assert outcome(response) == (409, "username_taken")
    assert Person.sign_in(client, spelling).user["id"] == ada.user["id"]


def test_an_email_belongs_to_one_account_whatever_its_case(client, ada):
    taken = {"username": "bob", "password": PASSWORD, "email": "ADA@example.org"}

    assert outcome(client.post("/register", json=taken)) == (409, "email_taken")
    assert client.post("/register", json=taken | {"email": "b@example.org"}).status_code == 201


def test_of_many_who_want_one_name_at_once_one_gets_it_however_they_spell_it(app):
    spellings = ("wanted", "WANTED", "wаntеd", "ｗanted")

    def register(number: int) -> int:
        body = {"username": spellings[number % 4], "password": PASSWORD}
        return app.test_client().post("/register", json=body).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = sorted(threads.map(register, range(8)))

    assert statuses == [201, *[409] * 7]


@pytest.mark.parametrize(
    "password",
    [
        pytest.param("short1!", id="short"),
        pytest.param("password1234", id="common"),
        pytest.param("aaaaaaaaaaaaaaaa", id="one letter"),
        pytest.param("grace.hopper", id="their own name"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(client, password):
    response = client.post("/register", json={"username": "grace.hopper", "password": password})

    assert outcome(response) == (422, "weak_password")
    assert response.json["errors"][0]["pointer"] == "#/password"
    assert password not in response.text
    again = client.post("/register", json={"username": "grace.hopper", "password": PASSWORD})
    assert again.status_code == 201, "the refused one left something behind"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("username", "a", id="one letter"),
        pytest.param("username", "a" * 65, id="long name"),
        pytest.param("username", "ada lovelace", id="space in the name"),
        pytest.param("username", "ada@example.org", id="an address for a name"),
        pytest.param("username", "ada\u200b", id="a character without width"),
        pytest.param("username", "ada\u202e", id="a turn of direction"),
        pytest.param("username", 7, id="a number"),
        pytest.param("password", "x" * 129, id="long password"),
        pytest.param("email", "nobody", id="no address"),
        pytest.param("email", "a@b@example.org", id="two at signs"),
        pytest.param("email", f"{'a' * 250}@example.org", id="long address"),
        pytest.param("display_name", "Ada\nroot", id="a line break in the name"),
        pytest.param("display_name", "x" * 201, id="long display name"),
        pytest.param("role", "admin", id="role"),
        pytest.param("tenant_id", "another", id="tenant"),
        pytest.param("email_verified", True, id="a verified address"),
    ],
)
def test_bad_fields_are_pointed_at_and_nobody_is_registered(client, field, value):
    body = {"username": "grace", "password": PASSWORD}

    response = client.post("/register", json=body | {field: value})

    assert outcome(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == f"#/{field}"
    assert client.post("/register", json=body).status_code == 201


def test_registering_again_with_the_same_idempotency_key_gives_the_first_answer(client):
    body = {"username": "grace", "password": PASSWORD}
    key = {"Idempotency-Key": "7b1f"}

    first = client.post("/register", json=body, headers=key)
    again = client.post("/register", json=body, headers=key)
    other = client.post("/register", json=body | {"username": "other"}, headers=key)

    assert again.status_code == 201
    assert again.json == first.json
    assert outcome(other) == (409, "idempotency_conflict")


def test_me_is_the_caller(client, ada):
    me = ada.get("/me").json

    assert (me["username"], me["email"]) == ("ada", "ada@example.org")
    assert me["created_at"].endswith("Z")
    assert me["last_login_at"] == me["created_at"]
    assert me["preferences"] == {}
    assert outcome(client.get("/me")) == (401, "not_authenticated")


def test_me_can_be_asked_for_in_a_tenant_by_id_or_slug_and_in_no_foreign_one(client, ada):
    bob = Person.register(client, "bob")
    (tenant,) = ada.user["tenants"]

    for own in (tenant["id"], tenant["slug"]):
        me = client.get("/me", headers=ada.bearer | {"X-Tenant-ID": own})
        assert me.json["tenant_id"] == tenant["id"]
    foreign = client.get("/me", headers=ada.bearer | {"X-Tenant-ID": bob.user["tenant_id"]})
    assert outcome(foreign) == (403, "not_a_member")


def test_the_owner_changes_what_is_theirs_and_the_rest_stays(client, ada):
    changes = {"display_name": "Ada L.", "preferences": {"theme": "dark", "tags": [1, None]}}

    changed = client.patch("/me", json=changes, headers=ada.bearer)

    assert changed.status_code == 200
    assert changed.json == ada.user | changes
    assert ada.get("/me").json == changed.json


def test_an_email_can_be_taken_away_and_given_to_somebody_else(client, ada):
    bob = Person.register(client, "bob")
    mine = {"email": "ada@example.org"}

    assert outcome(client.patch("/me", json=mine, headers=bob.bearer)) == (409, "email_taken")
    assert client.patch("/me", json={"email": None}, headers=ada.bearer).json["email"] is None
    assert client.patch("/me", json=mine, headers=bob.bearer).status_code == 200
    assert Person.sign_in(client, "Ada@Example.org").username == "bob"


@pytest.mark.parametrize(
    "change",
    [
        {"username": "eve"},
        {"roles": ["admin"]},
        {"permissions": ["system:write"]},
        {"tenant_id": "another"},
        {"email_verified": True},
        {"password": "something else entirely"},
        {"preferences": [1]},
        {"preferences": {"": 1}},
        {"preferences": {"x": "y" * 9000}},
        {"preferences": {str(number): 0 for number in range(101)}},
        {"preferences": {"x": "a\u0000b"}},
    ],
    ids=lambda change: str(change)[:40],
)
def test_nothing_else_can_be_changed(client, ada, change):
    response = client.patch("/me", json=change, headers=ada.bearer)

    assert outcome(response) == (422, "validation_failed")
    assert ada.get("/me").json == ada.user


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_preferences_hold_no_number_that_is_none(client, ada, number):
    body = b'{"preferences": {"x": ' + number + b"}}"

    response = client.patch("/me", data=body, headers=ada.bearer, content_type="application/json")

    assert response.status_code in (400, 422)
    assert ada.get("/me").json["preferences"] == {}
