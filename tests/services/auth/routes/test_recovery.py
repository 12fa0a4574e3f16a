"""Another password: change the one that is known, or reset one that was forgotten."""

import re
import stat
from pathlib import Path

import pytest

from backend.services.auth.app import create_app
from tests.servers import wait_until
from tests.services.auth.people import PASSWORD, Person, outcome

NEW = "nine larger ships"


@pytest.fixture
def change(client):
    def change_password(person: Person, current: object = PASSWORD, new: object = NEW, **more):
        body = {"current_password": current, "new_password": new} | more
        return client.post("/password/change", json=body, headers=person.bearer)

    return change_password


def test_a_changed_password_ends_every_other_session(client, ada, change):
    elsewhere, bob = Person.sign_in(client, "ada"), Person.register(client, "bob")

    assert change(ada).status_code == 204

    assert ada.get("/me").status_code == 200
    assert ada.refresh().status_code == 200
    assert outcome(elsewhere.get("/me")) == (401, "session_ended")
    assert outcome(elsewhere.refresh()) == (401, "session_ended")
    assert bob.get("/me").status_code == 200
    assert Person.sign_in(client, "ada", NEW).username == "ada"
    old = client.post("/login", json={"username": "ada", "password": PASSWORD})
    assert outcome(old) == (401, "invalid_credentials")


def test_who_does_not_know_the_password_changes_nothing(client, ada, change):
    elsewhere = Person.sign_in(client, "ada")

    assert outcome(change(ada, "not the password")) == (401, "invalid_credentials")

    assert elsewhere.get("/me").status_code == 200
    assert Person.sign_in(client, "ada").username == "ada"
    newest = ada.get("/me/activity").json["items"][1]
    assert (newest["action"], newest["outcome"]) == ("password.change", "invalid_credentials")


def test_a_stolen_token_is_no_place_to_guess_the_password_at(make_settings, clock):
    app = create_app(make_settings(LOGIN_ATTEMPTS="3 per 1 minute"), clock.now)
    client = app.test_client()
    ada = Person.register(client, "ada")
    body = {"current_password": "guess", "new_password": NEW}

    answers = [client.post("/password/change", json=body, headers=ada.bearer) for _ in range(4)]

    assert [each.status_code for each in answers] == [401, 401, 401, 429]
    assert outcome(answers[-1]) == (429, "too_many_attempts")
    assert int(answers[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize("new", ["short", "password1234", "ada@example.org"])
def test_the_new_password_must_be_good_enough(client, ada, change, new):
    response = change(ada, new=new)

    assert outcome(response) == (422, "weak_password")
    assert response.json["errors"][0]["pointer"] == "#/new_password"
    assert Person.sign_in(client, "ada").username == "ada"


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"new": "x" * 129}, "#/new_password"),
        ({"new": 12345678}, "#/new_password"),
        ({"current": None}, "#/current_password"),
        ({"user_id": "another"}, "#/user_id"),
    ],
    ids=str,
)
def test_bad_fields_are_pointed_at(client, ada, change, more, pointer):
    response = change(ada, **more)

    assert outcome(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer


@pytest.fixture
def mails(tmp_path):
    """The messages in the folder, the oldest first."""

    def read(count: int) -> list[str]:
        folder = tmp_path / "mail"
        wait_until(lambda: len(list(folder.glob("*.eml"))) >= count)
        files = sorted(folder.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns)
        assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
        return [file.read_text() for file in files]

    return read


def token_in(mail: str) -> str:
    return re.search(r"prt_[\w-]+", mail.replace("=\n", ""))[0]


@pytest.mark.parametrize(
    "asked",
    [{"username": "ada"}, {"username": "ADA@example.org"}, {"email": "ada@example.org"}],
    ids=str,
)
def test_who_forgot_a_password_sets_another_with_the_token_of_a_mail(client, ada, mails, asked):
    answer = client.post("/password/forgot", json=asked)
    (mail,) = mails(1)
    reset = {"token": token_in(mail), "new_password": NEW}

    assert answer.status_code == 202
    assert "To: ada@example.org" in mail
    assert client.post("/password/reset", json=reset).status_code == 204
    assert outcome(ada.get("/me")) == (401, "session_ended")
    assert outcome(ada.refresh()) == (401, "session_ended")
    assert Person.sign_in(client, "ada", NEW).username == "ada"
    assert outcome(client.post("/password/reset", json=reset)) == (400, "invalid_reset_token")


def test_everybody_gets_the_same_answer_and_nobody_else_gets_a_mail(
    client, ada, mails, execute, tmp_path
):
    Person.register(client, "bob")
    asked = ["bob", "nobody", "no@example.org", "a secret typed here", "ada"]

    answers = [client.post("/password/forgot", json={"username": name}) for name in asked]

    assert {(each.status_code, each.text) for each in answers} == {(202, answers[0].text)}
    assert "ada" in mails(1)[0]
    wait_until(lambda: execute("SELECT count(*) FROM password_reset_requests") == [(0,)])
    assert len(mails(1)) == 1
    assert "secret typed" not in str(execute("SELECT * FROM audit_records"))


def test_a_token_lasts_half_an_hour_and_a_used_one_takes_the_others_along(
    client, ada, mails, clock
):
    for _ in range(2):
        client.post("/password/forgot", json={"username": "ada"})
    tokens = [token_in(mail) for mail in mails(2)]
    clock.pass_by(minutes=29)
    client.post("/password/forgot", json={"username": "ada"})
    tokens.append(token_in(mails(3)[2]))
    clock.pass_by(minutes=1)

    def reset(token: str) -> int:
        body = {"token": token, "new_password": NEW}
        return client.post("/password/reset", json=body).status_code

    assert [reset(token) for token in tokens] == [400, 400, 204]
    assert reset(tokens[2]) == 400


def test_nobodys_mailbox_is_filled(client, ada, mails, execute):
    for _ in range(6):
        client.post("/password/forgot", json={"username": "ada"})

    wait_until(lambda: execute("SELECT count(*) FROM password_reset_requests") == [(0,)])
    assert len(mails(3)) == 3


def test_a_weak_password_does_not_spend_the_token(client, ada, mails):
    client.post("/password/forgot", json={"username": "ada"})
    token = token_in(mails(1)[0])

    weak = client.post("/password/reset", json={"token": token, "new_password": "password1234"})
    good = client.post("/password/reset", json={"token": token, "new_password": NEW})

    assert outcome(weak) == (422, "weak_password")
    assert good.status_code == 204


def test_neither_token_nor_name_stands_in_the_tables(client, ada, mails, execute):
    client.post("/password/forgot", json={"username": "ada"})
    token = token_in(mails(1)[0])

    kept = str(execute("SELECT * FROM password_resets"))

    assert token not in kept
    assert kept != "[]"


def test_without_a_mail_server_production_sends_nothing(make_settings, tmp_path, caplog):
    secret = "9f2LmQx7Zk4VtB8nRw3YcD6hJs5GpA1e"
    admin = {"ADMIN_PASSWORD": "seven small boats on a lake"}
    settings = make_settings(
        APP_ENV="production", SECRET_KEY=secret, JWT_SECRET_KEY=secret[::-1], **admin
    )

    app = create_app(settings)
    answer = app.test_client().post("/password/forgot", json={"username": "admin"})

    assert answer.status_code == 202
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
        ("/password/reset", {"token": "x" * 129, "new_password": NEW}, "#/token"),
        ("/password/reset", {"new_password": NEW}, "#/token"),
    ],
    ids=str,
)
def test_bad_fields_of_a_reset_are_pointed_at(client, path, body, pointer):
    response = client.post(path, json=body)

    assert outcome(response) == (422, "validation_failed")
    assert response.json["errors"][0]["pointer"] == pointer
