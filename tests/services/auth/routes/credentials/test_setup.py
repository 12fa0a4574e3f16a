"""The one-time link with which the first administrator sets a password."""

import pytest

from backend.chassis.one_time_secrets import pop_one_time_secrets
from backend.services.auth.app import create_app
from tests.services.auth.api_user import ApiUser, get_problem

PASSWORD = "analytical engine 1843"


@pytest.fixture
def client(make_settings, clock):
    return create_app(make_settings(ADMIN_PASSWORD=""), clock.now).test_client()


@pytest.fixture
def secret_text(client, tmp_path):
    (text,) = pop_one_time_secrets(tmp_path)
    return text


@pytest.fixture
def token(secret_text):
    return secret_text.rpartition("/console/setup#")[2].strip()


def test_setup_link_sets_the_password_and_signs_in(client, token):
    response = client.post("/setup", json={"token": token, "password": PASSWORD})

    assert response.status_code == 200
    assert response.json["user"]["roles"] == ["admin"]
    assert response.headers["Cache-Control"] == "no-store"
    assert ApiUser.sign_in(client, "admin", PASSWORD).username == "admin"


def test_setup_can_open_a_cookie_session(client, token):
    body = {"token": token, "password": PASSWORD, "session": "cookie"}
    own = {"Sec-Fetch-Site": "same-origin", "X-Requested-With": "console"}

    assert get_problem(client.post("/setup", json=body)) == (403, "cross_site_request")
    response = client.post("/setup", json=body, headers=own)

    assert response.json.keys() == {"user", "expires_in"}


def test_setup_link_works_once_and_ends_the_printed_password(client, token, secret_text):
    printed = secret_text.partition("password ")[2].split()[0]
    client.post("/setup", json={"token": token, "password": PASSWORD})

    again = client.post("/setup", json={"token": token, "password": PASSWORD})
    old = client.post("/login", json={"username": "admin", "password": printed})

    assert get_problem(again) == (400, "invalid_setup_token")
    assert get_problem(old) == (401, "invalid_credentials")


def test_setup_link_expires_after_a_day(client, token, clock):
    clock.advance(hours=24, seconds=1)

    response = client.post("/setup", json={"token": token, "password": PASSWORD})

    assert get_problem(response) == (400, "invalid_setup_token")


def test_setup_link_stays_valid_after_a_weak_password(client, token):
    weak = client.post("/setup", json={"token": token, "password": "password1234"})

    assert get_problem(weak) == (422, "weak_password")
    assert weak.json["errors"][0]["pointer"] == "#/password"
    assert client.post("/setup", json={"token": token, "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize("token", ["setup_made-up", "prt_made-up", "x"])
def test_unknown_setup_token_is_rejected(client, token):
    response = client.post("/setup", json={"token": token, "password": PASSWORD})

    assert get_problem(response) == (400, "invalid_setup_token")


def test_setup_is_recorded_in_the_audit_log(client, token):
    client.post("/setup", json={"token": token, "password": PASSWORD})
    admin = ApiUser.sign_in(client, "admin", PASSWORD)

    actions = [item["action"] for item in admin.get("/me/activity").json["items"]]

    assert "account.setup" in actions
