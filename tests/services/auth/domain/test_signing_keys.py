"""Signing key rotation: all instances switch at the same time, and no request fails."""

import threading
from datetime import timedelta

import jwt
import pytest
import requests
from flask import Flask
from werkzeug.serving import make_server

from backend.chassis.database.sessions import open_database
from backend.security import authenticated
from backend.security.authentication import SecurityContext, set_security_context
from backend.security.revocation import LocalRevocations
from backend.security.tokens import RemoteKeys, TokenVerifier
from backend.services.auth.app import create_app
from backend.services.auth.domain.signing_keys import SigningKeys, rotate_signing_key
from backend.services.auth.errors import RotationPending
from tests.identities import AUDIENCE, ISSUER, NoApiKeys
from tests.servers import wait_until

LEAD_TIME, TOKEN_LIFETIME = timedelta(minutes=10), timedelta(minutes=10)


@pytest.fixture
def database(database_url):
    database = open_database(database_url, "auth").across_tenants()
    database.migrate("auth")
    yield database
    database.engine.dispose()


@pytest.fixture
def disable_epoch_cache(monkeypatch):
    """Make every instance read the epochs from the database on each access."""
    monkeypatch.setattr("backend.services.auth.domain.signing_keys._RELOAD_SECONDS", 0)


def get_published_kids(keys: SigningKeys) -> list[str]:
    return [key["kid"] for key in keys.get_published_keys()]


def test_new_key_is_published_then_signs_and_the_previous_key_retires(
    database, clock, disable_epoch_cache
):
    instances = [SigningKeys("the secret", database, clock.now) for _ in range(2)]
    first_instance, second_instance = instances
    old_kid = first_instance.current_key.kid

    rotate_signing_key(database, clock.now(), LEAD_TIME, TOKEN_LIFETIME)
    new_kid = get_published_kids(first_instance)[1]
    assert [get_published_kids(keys) for keys in instances] == [[old_kid, new_kid]] * 2
    assert first_instance.current_key.kid == old_kid

    clock.advance(minutes=9, seconds=59)
    assert second_instance.current_key.kid == old_kid
    clock.advance(seconds=1)
    assert [keys.current_key.kid for keys in instances] == [new_kid, new_kid]
    assert first_instance.find_key(old_kid) is not None, "previous tokens must stay valid"

    clock.advance(minutes=10, seconds=61)
    assert [get_published_kids(keys) for keys in instances] == [[new_kid]] * 2
    assert first_instance.find_key(old_kid) is None


def test_rotation_is_rejected_while_another_is_pending(database, clock, disable_epoch_cache):
    rotate_signing_key(database, clock.now(), LEAD_TIME, TOKEN_LIFETIME)

    with pytest.raises(RotationPending, match="2026-01-01 12:10:00"):
        rotate_signing_key(database, clock.now(), LEAD_TIME, TOKEN_LIFETIME)

    clock.advance(minutes=10)
    rotate_signing_key(database, clock.now(), LEAD_TIME, TOKEN_LIFETIME)
    keys = SigningKeys("the secret", database, clock.now)
    assert len(set(get_published_kids(keys))) == 3


def test_only_one_of_concurrent_rotations_succeeds(database, clock):
    results = []

    def rotate() -> None:
        try:
            results.append(rotate_signing_key(database, clock.now(), LEAD_TIME, TOKEN_LIFETIME))
        except RotationPending:
            results.append(None)

    threads = [threading.Thread(target=rotate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(result is None for result in results) == [False, True, True, True]


@pytest.fixture
def serve_app():
    """Return a function that serves an app on a free port and returns its URL."""
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


def test_no_request_fails_during_rotation_under_load(
    make_settings, database, clock, serve_app, disable_epoch_cache, monkeypatch
):
    for name in ("_REFRESH_SECONDS", "_UNKNOWN_KEY_SECONDS"):
        monkeypatch.setattr(f"backend.security.tokens.{name}", 0.05)
    settings = make_settings()
    signing_keys = SigningKeys(settings.signing_secret.reveal(), database, clock.now)
    auth = [serve_app(create_app(settings, clock.now)) for _ in range(2)]
    app = Flask("another service")
    keys = RemoteKeys(f"{auth[0]}/.well-known/jwks.json")
    verifier = TokenVerifier(keys, ISSUER, AUDIENCE)
    set_security_context(app, SecurityContext(verifier, NoApiKeys(), LocalRevocations(), {}))

    @app.get("/who")
    @authenticated
    def get_caller():
        return ""

    urls = [f"{url}/me" for url in auth] + [f"{serve_app(app)}/who"]
    body = {"username": "ada", "password": "seven small boats"}
    registered = requests.post(f"{auth[0]}/register", json=body, timeout=10).json()
    failures, used_kids, stop = [], [set() for _ in range(4)], threading.Event()

    def send_requests(number: int) -> None:
        token, session = registered["access_token"], requests.Session()
        while not stop.is_set():
            for url in urls:
                headers = {"Authorization": f"Bearer {token}"}
                response = session.get(url, headers=headers, timeout=10)
                if response.status_code != 200:
                    failures.append((url, response.text))
            used_kids[number].add(jwt.get_unverified_header(token)["kid"])
            response = session.post(f"{auth[number % 2]}/login", json=body, timeout=10)
            if response.status_code == 200:
                token = response.json()["access_token"]
            elif response.status_code != 503:  # too_busy
                failures.append(("/login", response.text))
        session.close()

    threads = [threading.Thread(target=send_requests, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(used_kids))
        rotate_signing_key(database, clock.now(), LEAD_TIME, TOKEN_LIFETIME)
        new_kid = get_published_kids(signing_keys)[-1]
        wait_until(lambda: keys.find_key(new_kid) is not None)
        clock.advance(minutes=10)
        # Every thread has sent requests with a token of each key.
        wait_until(lambda: all(len(kids) == 2 for kids in used_kids))
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert failures == []


def test_rotate_command_prints_when_the_new_key_signs(tmp_path, monkeypatch, capsys):
    from backend.services.auth.__main__ import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert main(["keys", "rotate", "--wait-seconds", "30"]) == 0
    assert "signs from 20" in capsys.readouterr().out
    assert main(["keys", "rotate"]) == 1
    assert "Rotate after that" in capsys.readouterr().err
