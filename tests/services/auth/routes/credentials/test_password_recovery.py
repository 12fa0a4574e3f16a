"""Password change and password reset by mail."""

import re
import stat
from pathlib import Path

import pytest

from backend.services.auth.app import create_app
from tests.servers import wait_until
from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem

NEW_PASSWORD = "nine larger ships"


@pytest.fixture
def change_password(client):
    def send_change(
        user: ApiUser, current: object = PASSWORD, new: object = NEW_PASSWORD, **fields
    ):
        body = {"current_password": current, "new_password": new} | fields
        return client.post("/password/change", json=body, headers=user.auth_headers)

    return send_change


def test_change_password_ends_all_other_sessions(client, ada, change_password):
    other_session, bob = ApiUser.sign_in(client, "ada"), ApiUser.register(client, "bob")

    assert change_password(ada).status_code == 204

    assert ada.get("/me").status_code == 200
    assert ada.refresh().status_code == 200
    assert get_problem(other_session.get("/me")) == (401, "session_ended")
    assert get_problem(other_session.refresh()) == (401, "session_ended")
    assert bob.get("/me").status_code == 200
    assert ApiUser.sign_in(client, "ada", NEW_PASSWORD).username == "ada"
    old = client.post("/login", json={"username": "ada", "password": PASSWORD})
    assert get_problem(old) == (401, "invalid_credentials")


def test_change_password_rejects_wrong_current_password(client, ada, change_password):
    other_session = ApiUser.sign_in(client, "ada")

    assert get_problem(change_password(ada, "not the password")) == (401, "invalid_credentials")

    assert other_session.get("/me").status_code == 200
    assert ApiUser.sign_in(client, "ada").username == "ada"
    newest = ada.get("/me/activity").json["items"][1]
    assert (newest["action"], newest["outcome"]) == ("password.change", "invalid_credentials")


def test_change_password_limits_wrong_current_passwords(make_settings, clock):
    app = create_app(make_settings(LOGIN_ATTEMPTS="3 per 1 minute"), clock.now)
    client = app.test_client()
    ada = ApiUser.register(client, "ada")
    body = {"current_password": "guess", "new_password": NEW_PASSWORD}

    responses = [
        client.post("/password/change", json=body, headers=ada.auth_headers) for _ in range(4)
    ]

    assert [response.status_code for response in responses] == [401, 401, 401, 429]
    assert get_problem(responses[-1]) == (429, "too_many_attempts")
    assert int(responses[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize("new", ["short", "password1234", "ada@example.org", PASSWORD])
def test_change_password_rejects_weak_or_current_password(client, ada, change_password, new):
    response = change_password(ada, new=new)

    assert get_problem(response) == (422, "weak_password")
    assert response.json["errors"][0]["pointer"] == "#/new_password"
    assert ApiUser.sign_in(client, "ada").username == "ada"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"new": "x" * 129}, "#/new_password"),
        ({"new": 12345678}, "#/new_password"),
        ({"current": None}, "#/current_password"),
        ({"user_id": "another"}, "#/user_id"),
    ],
    ids=str,
)
def test_change_password_rejects_invalid_field(client, ada, change_password, fields, pointer):
    response = change_password(ada, **fields)

    assert get_problem(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer


@pytest.fixture
def read_mails(tmp_path):
    """Return a function that waits for *count* mails and returns all, oldest first."""

    def read(count: int) -> list[str]:
        folder = tmp_path / "mail"
        wait_until(lambda: len(list(folder.glob("*.eml"))) >= count)
        files = sorted(folder.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns)
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
        return [file.read_text() for file in files]

    return read


def find_token(mail: str) -> str:
    return re.search(r"prt_[\w-]+", mail.replace("=\n", ""))[0]


@pytest.mark.parametrize(
    "reset_request",
    [{"username": "ada"}, {"username": "ADA@example.org"}, {"email": "ada@example.org"}],
    ids=str,
)
def test_password_can_be_reset_with_the_token_from_the_mail(client, ada, read_mails, reset_request):
    response = client.post("/password/forgot", json=reset_request)
    (mail,) = read_mails(1)
    reset = {"token": find_token(mail), "new_password": NEW_PASSWORD}

    assert response.status_code == 202
    assert "To: ada@example.org" in mail
    link = rf"http://\S+/console/reset-password#{reset['token']}\n"
    assert re.search(link, mail.replace("=\n", ""))
    assert client.post("/password/reset", json=reset).status_code == 204
    assert get_problem(ada.get("/me")) == (401, "session_ended")
    assert get_problem(ada.refresh()) == (401, "session_ended")
    assert ApiUser.sign_in(client, "ada", NEW_PASSWORD).username == "ada"
    assert get_problem(client.post("/password/reset", json=reset)) == (400, "invalid_reset_token")


def test_reset_requests_get_identical_responses_and_only_known_addresses_a_mail(
    client, ada, read_mails, execute, tmp_path
):
    ApiUser.register(client, "bob")
    names = ["bob", "nobody", "no@example.org", "a secret typed here", "ada"]

    responses = [client.post("/password/forgot", json={"username": name}) for name in names]

    assert {(response.status_code, response.text) for response in responses} == {
        (202, responses[0].text)
    }
    assert "ada" in read_mails(1)[0]
    wait_until(lambda: execute("SELECT count(*) FROM password_reset_requests") == [(0,)])
    assert len(read_mails(1)) == 1
    assert "secret typed" not in str(execute("SELECT * FROM audit_records"))


def test_reset_token_expires_after_30_minutes_and_invalidates_the_others_when_used(
    client, ada, read_mails, clock
):
    for _ in range(2):
        client.post("/password/forgot", json={"username": "ada"})
    tokens = [find_token(mail) for mail in read_mails(2)]
    clock.advance(minutes=29)
    client.post("/password/forgot", json={"username": "ada"})
    tokens.append(find_token(read_mails(3)[2]))
    clock.advance(minutes=1)

    def reset(token: str) -> int:
        body = {"token": token, "new_password": NEW_PASSWORD}
        return client.post("/password/reset", json=body).status_code

    assert [reset(token) for token in tokens] == [400, 400, 204]
    assert reset(tokens[2]) == 400


def test_reset_mails_are_limited_per_account(client, ada, read_mails, execute):
    for _ in range(6):
        client.post("/password/forgot", json={"username": "ada"})

    wait_until(lambda: execute("SELECT count(*) FROM password_reset_requests") == [(0,)])
    assert len(read_mails(3)) == 3


def test_weak_password_does_not_consume_the_reset_token(client, ada, read_mails):
    client.post("/password/forgot", json={"username": "ada"})
    token = find_token(read_mails(1)[0])

    weak = client.post("/password/reset", json={"token": token, "new_password": "password1234"})
    strong = client.post("/password/reset", json={"token": token, "new_password": NEW_PASSWORD})

    assert get_problem(weak) == (422, "weak_password")
    assert strong.status_code == 204


def test_tables_do_not_contain_the_reset_token(client, ada, read_mails, execute):
    client.post("/password/forgot", json={"username": "ada"})
    token = find_token(read_mails(1)[0])

    rows = str(execute("SELECT * FROM password_resets"))

    assert token not in rows
    assert rows != "[]"


def test_production_without_smtp_url_sends_no_mail(make_settings, tmp_path, caplog):
    secret = "9f2LmQx7Zk4VtB8nRw3YcD6hJs5GpA1e"
    admin = {"ADMIN_PASSWORD": "seven small boats on a lake"}
    settings = make_settings(
        APP_ENV="production", SECRET_KEY=secret, JWT_SECRET_KEY=secret[::-1], **admin
    )

    app = create_app(settings)
    response = app.test_client().post("/password/forgot", json={"username": "admin"})

    assert response.status_code == 202
    assert not Path(tmp_path / "mail").exists()


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/password/forgot", {}, "#/username"),
        ("/password/forgot", {"username": 7}, "#/username"),
        ("/password/forgot", {"email": "x" * 255}, "#/email"),
        ("/password/forgot", {"username": "a\u0000"}, "#/username"),
        ("/password/forgot", {"user_id": "another"}, "#/user_id"),
        ("/password/reset", {"token": "x", "new_password": "x" * 129}, "#/new_password"),
        ("/password/reset", {"token": "x" * 129, "new_password": NEW_PASSWORD}, "#/token"),
        ("/password/reset", {"new_password": NEW_PASSWORD}, "#/token"),
    ],
    ids=str,
)
def test_password_reset_rejects_invalid_field(client, path, body, pointer):
    response = client.post(path, json=body)

    assert get_problem(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
