"""One key takes over from another at the same moment everywhere, and no request fails."""

import threading
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
import requests
from flask import Flask
from werkzeug.serving import make_server

from backend.chassis.database.sessions import open_database
from backend.security import authenticated
from backend.security.authentication import Security, use_security
from backend.security.revocation import LocalRevocations
from backend.security.tokens import RemoteKeys, TokenVerifier
from backend.services.auth.app import create_app
from backend.services.auth.domain.keys import SigningKeys, rotate
from backend.services.auth.errors import RotationUnderWay
from tests.identities import AUDIENCE, ISSUER, NoApiKeys

WAIT, LIFETIME = timedelta(minutes=10), timedelta(minutes=10)


@pytest.fixture
def database_url(each_database_url):
    return each_database_url


@pytest.fixture
def database(database_url):
    database = open_database(database_url, "auth").across_tenants()
    database.migrate("auth")
    yield database
    database.engine.dispose()


@pytest.fixture
def reread(monkeypatch):
    """No instance remembers what it read."""
    monkeypatch.setattr("backend.services.auth.domain.keys._REREAD_SECONDS", 0)


def kids(keys: SigningKeys) -> list[str]:
    return [key["kid"] for key in keys.published()]


def test_a_key_is_published_then_signs_and_the_one_before_it_retires(database, clock, reread):
    instances = [SigningKeys("the secret", database, clock.now) for _ in range(2)]
    one, other = instances
    first = one.current.kid

    rotate(database, clock.now(), WAIT, LIFETIME)
    second = kids(one)[1]
    assert [kids(each) for each in instances] == [[first, second]] * 2
    assert one.current.kid == first

    clock.pass_by(minutes=9, seconds=59)
    assert other.current.kid == first
    clock.pass_by(seconds=1)
    assert [each.current.kid for each in instances] == [second, second]
    assert one.find(first) is not None, "its tokens live on"

    clock.pass_by(minutes=10, seconds=61)
    assert [kids(each) for each in instances] == [[second]] * 2
    assert one.find(first) is None


def test_a_rotation_waits_for_the_one_before_it(database, clock, reread):
    rotate(database, clock.now(), WAIT, LIFETIME)

    with pytest.raises(RotationUnderWay, match="2026-01-01 12:10:00"):
        rotate(database, clock.now(), WAIT, LIFETIME)

    clock.pass_by(minutes=10)
    rotate(database, clock.now(), WAIT, LIFETIME)
    keys = SigningKeys("the secret", database, clock.now)
    assert len(set(kids(keys))) == 3


def test_of_rotations_at_once_one_is_done(database, clock):
    outcomes = []

    def turn() -> None:
        try:
            outcomes.append(rotate(database, clock.now(), WAIT, LIFETIME))
        except RotationUnderWay:
            outcomes.append(None)

    threads = [threading.Thread(target=turn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(each is None for each in outcomes) == [False, True, True, True]


@pytest.fixture
def served():
    """Serve an app on a port of its own; its URL."""
    servers = []

    def serve(app: Flask) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_under_load_no_request_fails_while_a_key_takes_over(
    make_settings, database, served, reread, monkeypatch
):
    for name, seconds in (("_REFRESH_SECONDS", 1), ("_UNKNOWN_KEY_SECONDS", 1)):
        monkeypatch.setattr(f"backend.security.tokens.{name}", seconds)
    auth = [served(create_app(make_settings())) for _ in range(2)]
    app = Flask("another service")
    keys = RemoteKeys(f"{auth[0]}/.well-known/jwks.json")
    verifier = TokenVerifier(keys, ISSUER, AUDIENCE)
    use_security(app, Security(verifier, NoApiKeys(), LocalRevocations(), {}))

    @app.get("/who")
    @authenticated
    def who():
        return ""

    doors = [f"{url}/me" for url in auth] + [f"{served(app)}/who"]
    body = {"username": "ada", "password": "seven small boats"}
    registered = requests.post(f"{auth[0]}/register", json=body, timeout=10).json()
    failures, seen, over = [], set(), threading.Event()

    def work(number: int) -> None:
        token, session = registered["access_token"], requests.Session()
        while not over.is_set():
            seen.add(jwt.get_unverified_header(token)["kid"])
            for door in doors:
                answer = session.get(door, headers={"Authorization": f"Bearer {token}"}, timeout=10)
                if answer.status_code != 200:
                    failures.append((door, answer.text))
            answer = session.post(f"{auth[number % 2]}/login", json=body, timeout=10)
            if answer.status_code == 200:
                token = answer.json()["access_token"]
            elif answer.status_code != 503:  # too many sign in at once
                failures.append(("/login", answer.text))
        session.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    rotate(database, datetime.now(UTC), timedelta(seconds=3), timedelta(minutes=10))
    time.sleep(6)
    over.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(seen) == 2


def test_the_command_says_when_the_new_key_signs(tmp_path, monkeypatch, capsys):
    from backend.services.auth.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert main(["keys", "rotate", "--wait-seconds", "30"]) == 0
    assert "signs from 20" in capsys.readouterr().out
    assert main(["keys", "rotate"]) == 1
    assert "Rotate after that" in capsys.readouterr().err
