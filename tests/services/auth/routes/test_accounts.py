"""Registration and the caller's own account."""

# ruff: noqa: RUF001 - some names contain confusable characters on purpose

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem


def test_register_accepts_the_documented_example(client):
    response = client.post("/register", json={"username": "testuser", "password": "testpass123"})

    assert response.status_code == 201
    assert response.json["token_type"] == "Bearer"
    assert response.json["expires_in"] == 600
    assert response.json["user"]["username"] == "testuser"
    assert response.headers["Cache-Control"] == "no-store"


def test_new_account_has_the_role_user_in_its_own_tenant(ada):
    assert ada.user["roles"] == ["user"]
    assert ada.user["permissions"] == [
        "agent:query",
        "chat:use",
        "packages:read",
        "packages:write",
        "rag:read",
        "rag:write",
    ]
    assert [tenant["id"] for tenant in ada.user["tenants"]] == [ada.user["tenant_id"]]


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param("ada", id="same name"),
        pytest.param("ADA", id="different case"),
        pytest.param("аdа", id="with Cyrillic letters"),
        pytest.param("Ａda", id="full-width letter"),
        pytest.param("𝐚𝐝𝐚", id="mathematical letters"),
    ],
)
def test_look_alike_names_belong_to_the_same_account(client, ada, spelling):
    response = client.post("/register", json={"username": spelling, "password": PASSWORD})

    assert get_problem(response) == (409, "username_taken")
    assert ApiUser.sign_in(client, spelling).user["id"] == ada.user["id"]


def test_register_returns_409_when_email_differs_only_in_case(client, ada):
    taken = {"username": "bob", "password": PASSWORD, "email": "ADA@example.org"}

    assert get_problem(client.post("/register", json=taken)) == (409, "email_taken")
    assert client.post("/register", json=taken | {"email": "b@example.org"}).status_code == 201


def test_only_one_of_concurrent_registrations_of_look_alike_names_succeeds(app):
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
        pytest.param("aaaaaaaaaaaaaaaa", id="repeated letter"),
        pytest.param("grace.hopper", id="own username"),
    ],
)
def test_register_rejects_weak_password(client, password):
    response = client.post("/register", json={"username": "grace.hopper", "password": password})

    assert get_problem(response) == (422, "weak_password")
    assert response.json["errors"][0]["pointer"] == "#/password"
    assert password not in response.text
    repeated = client.post("/register", json={"username": "grace.hopper", "password": PASSWORD})
    assert repeated.status_code == 201, "the rejected request must not leave an account"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("username", "a", id="one letter"),
        pytest.param("username", "a" * 65, id="long name"),
        pytest.param("username", "ada lovelace", id="space in the name"),
        pytest.param("username", "ada@example.org", id="e-mail address as name"),
        pytest.param("username", "ada\u200b", id="zero-width character"),
        pytest.param("username", "ada\u202e", id="direction override"),
        pytest.param("username", 7, id="number"),
        pytest.param("password", "x" * 129, id="long password"),
        pytest.param("email", "nobody", id="invalid address"),
        pytest.param("email", "a@b@example.org", id="two at signs"),
        pytest.param("email", f"{'a' * 250}@example.org", id="long address"),
        pytest.param("display_name", "Ada\nroot", id="line break in the display name"),
        pytest.param("display_name", "x" * 201, id="long display name"),
        pytest.param("role", "admin", id="role"),
        pytest.param("tenant_id", "another", id="tenant"),
        pytest.param("email_verified", True, id="email_verified"),
    ],
)
def test_register_rejects_invalid_field_and_creates_no_account(client, field, value):
    body = {"username": "grace", "password": PASSWORD}

    response = client.post("/register", json=body | {field: value})

    assert get_problem(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == f"#/{field}"
    assert client.post("/register", json=body).status_code == 201


def test_register_with_the_same_idempotency_key_creates_one_account_and_repeats_no_token(client):
    body = {"username": "grace", "password": PASSWORD}
    key = {"Idempotency-Key": "7b1f"}

    first = client.post("/register", json=body, headers=key)
    repeated = client.post("/register", json=body, headers=key)
    other = client.post("/register", json=body | {"username": "other"}, headers=key)

    assert first.status_code == 201
    assert get_problem(repeated) == (409, "response_not_repeatable")
    assert first.json["refresh_token"] not in repeated.text
    assert get_problem(other) == (409, "idempotency_conflict")


def test_me_returns_the_caller(client, ada):
    me = ada.get("/me").json

    assert (me["username"], me["email"]) == ("ada", "ada@example.org")
    assert me["created_at"].endswith("Z")
    assert me["last_login_at"] == me["created_at"]
    assert me["preferences"] == {}
    assert get_problem(client.get("/me")) == (401, "not_authenticated")


def test_me_accepts_own_tenant_by_id_or_slug_and_rejects_others(client, ada):
    bob = ApiUser.register(client, "bob")
    (tenant,) = ada.user["tenants"]

    for own in (tenant["id"], tenant["slug"]):
        me = client.get("/me", headers=ada.auth_headers | {"X-Tenant-ID": own})
        assert me.json["tenant_id"] == tenant["id"]
    foreign = client.get("/me", headers=ada.auth_headers | {"X-Tenant-ID": bob.user["tenant_id"]})
    assert get_problem(foreign) == (403, "not_a_member")


def test_update_me_changes_only_the_given_fields(client, ada):
    changes = {"display_name": "Ada L.", "preferences": {"theme": "dark", "tags": [1, None]}}

    changed = client.patch("/me", json=changes, headers=ada.auth_headers)

    assert changed.status_code == 200
    assert changed.json == ada.user | changes
    assert ada.get("/me").json == changed.json


def test_removed_email_can_be_used_by_another_account(client, ada):
    bob = ApiUser.register(client, "bob")
    changes = {"email": "ada@example.org"}

    assert get_problem(client.patch("/me", json=changes, headers=bob.auth_headers)) == (
        409,
        "email_taken",
    )
    assert client.patch("/me", json={"email": None}, headers=ada.auth_headers).json["email"] is None
    assert ApiUser.register(client, "cyd", email="ADA@example.org").username == "cyd"
    assert ApiUser.sign_in(client, "Ada@Example.org").username == "cyd"


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
def test_update_me_rejects_other_fields_and_invalid_preferences(client, ada, change):
    response = client.patch("/me", json=change, headers=ada.auth_headers)

    assert get_problem(response) == (422, "validation_failed")
    assert ada.get("/me").json == ada.user


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999"])
def test_update_me_rejects_non_finite_numbers_in_preferences(client, ada, number):
    body = b'{"preferences": {"x": ' + number + b"}}"

    response = client.patch(
        "/me", data=body, headers=ada.auth_headers, content_type="application/json"
    )

    assert response.status_code in (400, 422)
    assert ada.get("/me").json["preferences"] == {}
