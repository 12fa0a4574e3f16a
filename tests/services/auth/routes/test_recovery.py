"""Another password: change the one that is known."""

import pytest

from backend.services.auth.app import create_app
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
