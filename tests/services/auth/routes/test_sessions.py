"""Sign-in, refresh token rotation and sign-out."""

from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest
from sqlalchemy import inspect

from backend.chassis.web.app_factory import get_component
from backend.services.auth.app import create_app
from backend.services.auth.domain.sessions import SessionService
from tests.services.auth.api_user import PASSWORD, ApiUser, get_problem
from tests.services.auth.conftest import ADMIN_PASSWORD


@pytest.mark.parametrize("name", ["ada", "Ada", "ada@example.org", "ADA@EXAMPLE.ORG"])
def test_login_accepts_username_or_email_in_any_case(client, ada, name):
    assert ApiUser.sign_in(client, name).get("/me").json["id"] == ada.user["id"]


def test_failed_logins_return_identical_responses(client, ada):
    wrong = client.post("/login", json={"username": "ada", "password": "not the password"})
    unknown = client.post("/login", json={"username": "nobody", "password": PASSWORD})
    invalid = client.post("/login", json={"username": "no body\u202e", "password": PASSWORD})

    for response in (wrong, unknown, invalid):
        assert get_problem(response) == (401, "invalid_credentials")
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert response.json | {"request_id": ""} == wrong.json | {"request_id": ""}


def test_password_matches_in_composed_and_decomposed_form(client):
    composed, decomposed = "sept bateaux \u00e9gar\u00e9s", "sept bateaux e\u0301gare\u0301s"
    client.post("/register", json={"username": "rene", "password": composed})

    assert ApiUser.sign_in(client, "rene", decomposed).username == "rene"


def test_login_reports_disabled_account_only_with_correct_password(client, ada, execute):
    execute("UPDATE users SET disabled_at = '2026-01-01 00:00:00'")

    wrong = client.post("/login", json={"username": "ada", "password": "not the password"})
    correct = client.post("/login", json={"username": "ada", "password": PASSWORD})

    assert get_problem(wrong) == (401, "invalid_credentials")
    assert get_problem(correct) == (403, "account_disabled")
    assert get_problem(ada.refresh()) == (401, "session_ended")


def test_login_accepts_and_replaces_bcrypt_hash(client, ada, execute):
    bcrypt_hash = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    execute("UPDATE users SET password_hash = :hash WHERE username = 'ada'", hash=bcrypt_hash)

    ApiUser.sign_in(client, "ada")

    (row,) = execute("SELECT password_hash FROM users WHERE username = 'ada'")
    assert row[0].startswith("$argon2id$v=19$")
    assert ApiUser.sign_in(client, "ada").username == "ada"


def test_tables_contain_neither_passwords_nor_refresh_tokens(app, ada, execute):
    ada.refresh()
    database = get_component(app, SessionService)._database
    tables = inspect(database.engine).get_table_names()

    stored = "".join(
        str(execute(f"SELECT * FROM {name}"))  # noqa: S608
        for name in tables
        if not name.startswith("alembic")
    )

    assert "ada@example.org" in stored
    assert PASSWORD not in stored
    assert ada.refresh_token not in stored


def test_log_does_not_contain_the_submitted_login_name(make_settings, clock, caplog):
    client = create_app(make_settings(LOGIN_ATTEMPTS="1 per 1 minute"), clock.now).test_client()
    body = {"username": "a-secret-typed-here", "password": "x"}

    with caplog.at_level("DEBUG"):
        statuses = [client.post("/login", json=body).status_code for _ in range(2)]

    assert statuses == [401, 429]
    assert "a-secret-typed-here" not in caplog.text


def test_login_returns_503_when_all_hashing_slots_are_in_use(make_settings, clock):
    app = create_app(make_settings(LOGINS_AT_ONCE="1"), clock.now)
    hasher = get_component(app, SessionService)._hasher
    body = {"username": "admin", "password": ADMIN_PASSWORD}

    with hasher.reserve_slot():
        response = app.test_client().post("/login", json=body)

    assert get_problem(response) == (503, "too_busy")
    assert response.headers["Retry-After"] == "1"
    assert app.test_client().post("/login", json=body).status_code == 200


def test_refresh_returns_new_access_and_refresh_tokens(client, ada):
    tokens = ada.refresh()

    assert tokens.status_code == 200
    assert set(tokens.json) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert tokens.json["refresh_token"] != ada.refresh_token
    headers = {"Authorization": f"Bearer {tokens.json['access_token']}"}
    assert client.get("/me", headers=headers).json["id"] == ada.user["id"]


def test_refresh_accepts_token_as_bearer(client, ada):
    headers = {"Authorization": f"Bearer {ada.refresh_token}"}

    assert client.post("/refresh", headers=headers).status_code == 200
    assert get_problem(client.post("/refresh")) == (422, "validation_failed")


def test_concurrent_refreshes_return_the_same_token(app, ada):
    def refresh(_: int):
        body = {"refresh_token": ada.refresh_token}
        return app.test_client().post("/refresh", json=body)

    with ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(refresh, range(8)))

    assert [response.status_code for response in responses] == [200] * 8
    assert len({response.json["refresh_token"] for response in responses}) == 1
    assert ada.refresh(responses[0].json["refresh_token"]).status_code == 200


def test_refresh_can_be_repeated_within_ten_seconds(ada, clock):
    first = ada.refresh().json["refresh_token"]
    clock.advance(seconds=9)

    assert ada.refresh().json["refresh_token"] == first


@pytest.mark.parametrize(
    "make_reuse_suspicious",
    [
        pytest.param(lambda ada, clock: clock.advance(seconds=10), id="after the grace period"),
        pytest.param(
            lambda ada, clock: ada.refresh(ada.refresh().json["refresh_token"]),
            id="its successor was used",
        ),
    ],
)
def test_reused_refresh_token_ends_the_session(client, ada, clock, make_reuse_suspicious):
    newest = ada.refresh().json["refresh_token"]
    make_reuse_suspicious(ada, clock)

    assert get_problem(ada.refresh()) == (401, "refresh_reused")

    assert get_problem(ada.get("/me")) == (401, "session_ended")
    assert ada.refresh(newest).status_code == 401
    assert get_problem(ada.refresh()) == (401, "refresh_reused")
    assert ApiUser.sign_in(client, "ada").get("/me").status_code == 200


def test_reused_refresh_token_does_not_end_other_sessions(client, ada, clock):
    other_session = ApiUser.sign_in(client, "ada")
    ada.refresh()
    clock.advance(minutes=1)

    assert get_problem(ada.refresh()) == (401, "refresh_reused")

    assert other_session.get("/me").status_code == 200
    assert other_session.refresh().status_code == 200


@pytest.mark.parametrize("token", ["rt_made-up", "x", "a" * 128])
def test_refresh_rejects_unknown_token(client, ada, token):
    assert get_problem(ada.refresh(token)) == (401, "invalid_refresh_token")


def test_access_and_refresh_tokens_are_not_interchangeable(client, ada):
    as_refresh = client.post("/refresh", headers=ada.auth_headers)
    as_access = client.get("/me", headers={"Authorization": f"Bearer {ada.refresh_token}"})

    assert get_problem(as_refresh) == (401, "invalid_refresh_token")
    assert get_problem(as_access) == (401, "invalid_token")


def test_session_expires_after_its_lifetime_despite_refreshes(ada, clock):
    clock.advance(days=29)
    ada.refresh_token = ada.refresh().json["refresh_token"]
    clock.advance(days=1)

    assert get_problem(ada.refresh()) == (401, "session_ended")


def test_logout_ends_only_this_session_immediately(client, ada):
    other_session = ApiUser.sign_in(client, "ada")

    assert client.post("/logout", headers=ada.auth_headers).status_code == 204

    assert get_problem(ada.get("/me")) == (401, "session_ended")
    assert get_problem(ada.refresh()) == (401, "session_ended")
    assert other_session.get("/me").status_code == 200


def test_logout_all_ends_all_sessions_of_the_user_only(client, ada):
    other_session, bob = ApiUser.sign_in(client, "ada"), ApiUser.register(client, "bob")

    assert client.post("/logout/all", headers=ada.auth_headers).status_code == 204

    for session in (ada, other_session):
        assert get_problem(session.get("/me")) == (401, "session_ended")
        assert get_problem(session.refresh()) == (401, "session_ended")
    assert bob.get("/me").status_code == 200
    assert ApiUser.sign_in(client, "ada").get("/me").status_code == 200


def test_audit_log_records_sign_ins_without_the_submitted_name(client, ada, execute):
    client.post("/login", json={"username": "a secret typed here", "password": "guess"})
    client.post("/login", json={"username": "ada", "password": "not the password"})
    client.post("/logout", headers=ada.auth_headers)

    rows = execute("SELECT action, outcome, actor_id, address FROM audit_records ORDER BY id")

    assert [row[:2] for row in rows] == [
        ("account.first_admin", "success"),
        ("account.register", "success"),
        ("session.login", "success"),
        ("session.login", "invalid_credentials"),
        ("session.login", "invalid_credentials"),
        ("session.logout", "success"),
    ]
    assert rows[-1][2:] == (ada.user["id"], "127.0.0.1")
    assert "secret" not in str(execute("SELECT * FROM audit_records"))


def test_user_lists_and_ends_own_sessions(client, ada, clock):
    clock.advance(seconds=1)
    other_session, bob = ApiUser.sign_in(client, "ada"), ApiUser.register(client, "bob")

    first = ada.get("/me/sessions?limit=1").json
    rest = ada.get(f"/me/sessions?cursor={first['next_cursor']}").json
    (other,), (own,) = first["items"], rest["items"]
    assert (other["current"], own["current"]) == (False, True)
    assert (other["method"], own["method"]) == ("password", "registration")
    assert own["user_agent"].startswith("Werkzeug")

    assert client.delete(f"/me/sessions/{other['id']}", headers=bob.auth_headers).status_code == 404
    assert client.delete(f"/me/sessions/{other['id']}", headers=ada.auth_headers).status_code == 204

    assert get_problem(other_session.get("/me")) == (401, "session_ended")
    assert get_problem(other_session.refresh()) == (401, "session_ended")
    assert ada.get("/me/sessions").json["items"] == [own]
    repeated = client.delete(f"/me/sessions/{other['id']}", headers=ada.auth_headers)
    assert get_problem(repeated) == (404, "not_found")
