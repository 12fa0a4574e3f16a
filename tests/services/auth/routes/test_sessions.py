"""Sign in, go on, sign out."""

import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest
from sqlalchemy import inspect

from backend.services.auth.app import create_app
from backend.services.auth.domain.sessions import Sessions
from tests.services.auth.conftest import ADMIN_PASSWORD
from tests.services.auth.people import PASSWORD, Person, outcome


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


@pytest.mark.parametrize("name", ["ada", "Ada", "ada@example.org", "ADA@EXAMPLE.ORG"])
def test_one_signs_in_with_the_name_or_the_email(client, ada, name):
    assert Person.sign_in(client, name).get("/me").json["id"] == ada.user["id"]


def test_every_failed_sign_in_looks_the_same(client, ada):
    wrong = client.post("/login", json={"username": "ada", "password": "not the password"})
    nobody = client.post("/login", json={"username": "nobody", "password": PASSWORD})
    unfit = client.post("/login", json={"username": "no body\u202e", "password": PASSWORD})

    for response in (wrong, nobody, unfit):
        assert outcome(response) == (401, "invalid_credentials")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert response.json | {"request_id": ""} == wrong.json | {"request_id": ""}


def test_a_password_is_the_same_however_its_accents_are_put_together(client):
    composed, apart = "sept bateaux \u00e9gar\u00e9s", "sept bateaux e\u0301gare\u0301s"
    client.post("/register", json={"username": "rene", "password": composed})

    assert Person.sign_in(client, "rene", apart).username == "rene"


def test_a_disabled_account_is_told_so_only_with_its_password(client, ada, execute):
    execute("UPDATE users SET disabled_at = '2026-01-01 00:00:00'")

    wrong = client.post("/login", json={"username": "ada", "password": "not the password"})
    right = client.post("/login", json={"username": "ada", "password": PASSWORD})

    assert outcome(wrong) == (401, "invalid_credentials")
    assert outcome(right) == (403, "account_disabled")
    assert outcome(ada.refresh()) == (401, "session_ended")


def test_an_older_hash_is_good_and_is_replaced_at_the_next_sign_in(client, ada, execute):
    older = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    execute("UPDATE users SET password_hash = :older WHERE username = 'ada'", older=older)

    Person.sign_in(client, "ada")

    (row,) = execute("SELECT password_hash FROM users WHERE username = 'ada'")
    assert row[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert Person.sign_in(client, "ada").username == "ada"


def test_neither_a_password_nor_a_refresh_token_stands_in_the_tables(app, ada, execute):
    ada.refresh()
    database = app.extensions["backend.parts"][Sessions]._database
    tables = inspect(database.engine).get_table_names()

    kept = "".join(
        str(execute(f"SELECT * FROM {name}"))  # noqa: S608
        for name in tables
        if not name.startswith("alembic")
    )

    assert "ada@example.org" in kept
    assert PASSWORD not in kept
    assert ada.refresh_token not in kept


def test_failures_are_counted_for_each_name_and_sender_and_success_is_free(make_settings, clock):
    app = create_app(make_settings(LOGIN_ATTEMPTS="3 per 1 minute"), clock.now)
    client = app.test_client()
    Person.register(client, "ada")

    def guess(name: str = "ada", sender: str = "192.0.2.1"):
        body = {"username": name, "password": "not the password"}
        return client.post("/login", json=body, headers={"X-Forwarded-For": sender})

    for _ in range(5):
        Person.sign_in(client, "ada")
    assert [guess().status_code for _ in range(3)] == [401] * 3
    refused = guess()

    assert outcome(refused) == (429, "too_many_attempts")
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert outcome(guess(name="ADA")) == (429, "too_many_attempts")
    assert guess(sender="192.0.2.2").status_code == 401
    assert guess(name="bob").status_code == 401
    assert Person.sign_in(client, "ada").username == "ada", "from another address"


def test_failures_are_counted_nearby_while_the_shared_server_is_frozen(make_settings, valkey):
    app = create_app(make_settings(LOGIN_ATTEMPTS="2 per 1 minute", REDIS_URL=valkey.url))
    client = app.test_client()
    guess = {"username": "admin", "password": "not the password"}
    assert client.post("/login", json=guess).status_code == 401

    valkey.freeze()
    started = time.monotonic()
    statuses = [client.post("/login", json=guess).status_code for _ in range(3)]
    took = time.monotonic() - started
    valkey.thaw()

    assert statuses == [401, 401, 429]
    assert took < 1


def test_the_log_does_not_tell_what_was_typed_as_a_name(make_settings, clock, caplog):
    client = create_app(make_settings(LOGIN_ATTEMPTS="1 per 1 minute"), clock.now).test_client()
    body = {"username": "a-secret-typed-here", "password": "x"}

    with caplog.at_level("DEBUG"):
        statuses = [client.post("/login", json=body).status_code for _ in range(2)]

    assert statuses == [401, 429]
    assert "a-secret-typed-here" not in caplog.text


def test_who_finds_all_places_taken_is_sent_away_at_once(make_settings, clock):
    app = create_app(make_settings(LOGINS_AT_ONCE="1"), clock.now)
    desk = app.extensions["backend.parts"][Sessions]._desk
    body = {"username": "admin", "password": ADMIN_PASSWORD}

    with desk.place():
        refused = app.test_client().post("/login", json=body)

    assert outcome(refused) == (503, "too_busy")
    assert refused.headers["Retry-After"] == "1"
    assert app.test_client().post("/login", json=body).status_code == 200


def test_a_refresh_token_is_spent_for_a_new_pair(client, ada):
    pair = ada.refresh()

    assert pair.status_code == 200
    assert set(pair.json) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert pair.json["refresh_token"] != ada.refresh_token
    bearer = {"Authorization": f"Bearer {pair.json['access_token']}"}
    assert client.get("/me", headers=bearer).json["id"] == ada.user["id"]


def test_a_refresh_token_may_come_as_bearer(client, ada):
    bearer = {"Authorization": f"Bearer {ada.refresh_token}"}

    assert client.post("/refresh", headers=bearer).status_code == 200
    assert outcome(client.post("/refresh")) == (422, "validation_failed")


def test_requests_that_refresh_at_once_get_the_same_token(app, ada):
    def refresh(_: int):
        body = {"refresh_token": ada.refresh_token}
        return app.test_client().post("/refresh", json=body)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(refresh, range(8)))

    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json["refresh_token"] for answer in answers}) == 1
    assert ada.refresh(answers[0].json["refresh_token"]).status_code == 200


def test_a_lost_answer_can_be_asked_for_again_within_ten_seconds(ada, clock):
    first = ada.refresh().json["refresh_token"]
    clock.pass_by(seconds=9)

    assert ada.refresh().json["refresh_token"] == first


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param(lambda ada, clock: clock.pass_by(seconds=10), id="after the grace"),
        pytest.param(
            lambda ada, clock: ada.refresh(ada.refresh().json["refresh_token"]),
            id="its successor was used",
        ),
    ],
)
def test_a_spent_token_used_again_ends_the_whole_session(client, ada, clock, meanwhile):
    newest = ada.refresh().json["refresh_token"]
    meanwhile(ada, clock)

    assert outcome(ada.refresh()) == (401, "refresh_reused")

    assert outcome(ada.get("/me")) == (401, "session_ended")
    assert ada.refresh(newest).status_code == 401
    assert outcome(ada.refresh()) == (401, "refresh_reused")
    assert Person.sign_in(client, "ada").get("/me").status_code == 200


def test_one_stolen_session_leaves_the_others_alone(client, ada, clock):
    elsewhere = Person.sign_in(client, "ada")
    ada.refresh()
    clock.pass_by(minutes=1)

    assert outcome(ada.refresh()) == (401, "refresh_reused")

    assert elsewhere.get("/me").status_code == 200
    assert elsewhere.refresh().status_code == 200


@pytest.mark.parametrize("token", ["rt_made-up", "x", "a" * 128])
def test_a_made_up_refresh_token_is_refused(client, ada, token):
    assert outcome(ada.refresh(token)) == (401, "invalid_refresh_token")


def test_tokens_of_one_kind_are_not_taken_for_the_other(client, ada):
    as_refresh = client.post("/refresh", headers=ada.bearer)
    as_access = client.get("/me", headers={"Authorization": f"Bearer {ada.refresh_token}"})

    assert outcome(as_refresh) == (401, "invalid_refresh_token")
    assert outcome(as_access) == (401, "invalid_token")


def test_a_session_ends_after_its_time_however_often_it_was_refreshed(ada, clock):
    clock.pass_by(days=29)
    ada.refresh_token = ada.refresh().json["refresh_token"]
    clock.pass_by(days=1)

    assert outcome(ada.refresh()) == (401, "session_ended")


def test_logout_ends_this_session_at_once_and_no_other(client, ada):
    elsewhere = Person.sign_in(client, "ada")

    assert client.post("/logout", headers=ada.bearer).status_code == 204

    assert outcome(ada.get("/me")) == (401, "session_ended")
    assert outcome(ada.refresh()) == (401, "session_ended")
    assert elsewhere.get("/me").status_code == 200


def test_logout_everywhere_ends_all_sessions_of_the_user_and_nobody_elses(client, ada):
    elsewhere, bob = Person.sign_in(client, "ada"), Person.register(client, "bob")

    assert client.post("/logout/all", headers=ada.bearer).status_code == 204

    for session in (ada, elsewhere):
        assert outcome(session.get("/me")) == (401, "session_ended")
        assert outcome(session.refresh()) == (401, "session_ended")
    assert bob.get("/me").status_code == 200
    assert Person.sign_in(client, "ada").get("/me").status_code == 200


def test_the_audit_trail_tells_what_happened_and_not_what_was_typed(client, ada, execute):
    client.post("/login", json={"username": "a secret typed here", "password": "guess"})
    client.post("/login", json={"username": "ada", "password": "not the password"})
    client.post("/logout", headers=ada.bearer)

    rows = execute("SELECT action, outcome, actor_id, address FROM audit_records ORDER BY id")

    told = [row[:2] for row in rows]
    assert told == [
        ("account.first_admin", "success"),
        ("account.register", "success"),
        ("session.login", "success"),
        ("session.login", "invalid_credentials"),
        ("session.login", "invalid_credentials"),
        ("session.logout", "success"),
    ]
    assert rows[-1][2:] == (ada.user["id"], "127.0.0.1")
    assert "secret" not in str(execute("SELECT * FROM audit_records"))


def test_one_sees_where_one_is_signed_in_and_ends_it_there(client, ada, clock):
    clock.pass_by(seconds=1)
    elsewhere, bob = Person.sign_in(client, "ada"), Person.register(client, "bob")

    first = ada.get("/me/sessions?limit=1").json
    rest = ada.get(f"/me/sessions?cursor={first['next_cursor']}").json
    (there,), (here,) = first["items"], rest["items"]
    assert (there["current"], here["current"]) == (False, True)
    assert (there["method"], here["method"]) == ("password", "registration")
    assert here["user_agent"].startswith("Werkzeug")

    assert client.delete(f"/me/sessions/{there['id']}", headers=bob.bearer).status_code == 404
    assert client.delete(f"/me/sessions/{there['id']}", headers=ada.bearer).status_code == 204

    assert outcome(elsewhere.get("/me")) == (401, "session_ended")
    assert outcome(elsewhere.refresh()) == (401, "session_ended")
    assert ada.get("/me/sessions").json["items"] == [here]
    gone = client.delete(f"/me/sessions/{there['id']}", headers=ada.bearer)
    assert outcome(gone) == (404, "not_found")
