"""Published keys are fetched once, kept while auth is away, and found when they change."""

import threading

import pytest
from flask import Flask

from backend.security import authenticated
from backend.security.authentication import Security, use_security
from backend.security.revocation import LocalRevocations
from backend.security.tokens import (
    KeysUnavailable,
    LocalKeys,
    RemoteKeys,
    TokenVerifier,
    public_jwk,
    signing_key,
)
from tests.identities import AUDIENCE, ISSUER, NoApiKeys
from tests.security.stand_ins import auth_service
from tests.servers import free_port, wait_until

OLD, NEW = (public_jwk(signing_key(word).public_key()) for word in ("old", "new"))
JWKS = "/.well-known/jwks.json"


class _Asking(threading.Thread):
    def __init__(self, keys: RemoteKeys, kid: str) -> None:
        super().__init__()
        self._keys, self._kid = keys, kid

    def run(self) -> None:
        self.found = self._keys.find(self._kid)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def auth():
    with auth_service() as auth:
        auth.publish(OLD)
        yield auth


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keys(auth, clock):
    return RemoteKeys(auth.url + JWKS, clock)


def test_the_keys_are_fetched_once(auth, keys):
    for _ in range(3):
        assert keys.find(OLD["kid"]) is not None

    assert auth.times(JWKS) == 1


def test_unknown_keys_cost_one_request_and_then_none_for_a_while(auth, keys, clock):
    keys.find(OLD["kid"])
    for number in range(20):
        assert keys.find(f"made-up-{number}") is None
    assert auth.times(JWKS) == 1

    clock.now += 10
    for number in range(20):
        assert keys.find(f"made-up-{number}") is None
    assert auth.times(JWKS) == 2


def test_a_new_key_is_found_when_it_is_asked_for(auth, keys, clock):
    keys.find(OLD["kid"])
    auth.publish(OLD, NEW)
    clock.now += 10

    assert keys.find(NEW["kid"]) is not None
    assert keys.find(OLD["kid"]) is not None


def test_the_keys_are_fetched_again_behind_the_scenes(auth, keys, clock):
    keys.find(OLD["kid"])
    auth.publish(NEW)
    clock.now += 300

    assert keys.find(OLD["kid"]) is not None, "nobody waits for it"
    wait_until(lambda: keys.find(OLD["kid"]) is None)
    assert keys.find(NEW["kid"]) is not None


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((500, {}), id="a failure"),
        pytest.param((200, b"no json"), id="no JSON"),
        pytest.param((200, {"keys": [{"kty": "OKP", "crv": "Ed25519"}]}), id="a key without id"),
        pytest.param((200, []), id="a list"),
        pytest.param((200, b"[" * 50_000), id="very deep"),
        pytest.param((200, b'{"keys": [' + b" " * 70_000 + b"]}"), id="more than is read"),
    ],
)
def test_what_was_known_stays_good_while_auth_answers_nonsense(auth, keys, clock, answer):
    keys.find(OLD["kid"])
    auth.answers[JWKS] = answer
    clock.now += 10

    assert keys.find("another") is None
    assert keys.find(OLD["kid"]) is not None


def test_keys_of_other_kinds_are_passed_over(auth, keys):
    auth.publish({"kty": "RSA", "kid": "rsa", "n": "AQ", "e": "AQAB"}, OLD)

    assert keys.find(OLD["kid"]) is not None
    assert keys.find("rsa") is None


def test_before_auth_has_answered_once_nobody_can_tell(clock, identities):
    nowhere = RemoteKeys(f"http://127.0.0.1:{free_port()}{JWKS}", clock)
    with pytest.raises(KeysUnavailable):
        nowhere.find(OLD["kid"])
    app = Flask("bare")
    verifier = TokenVerifier(nowhere, ISSUER, AUDIENCE)
    use_security(app, Security(verifier, NoApiKeys(), LocalRevocations(), {}))

    @app.get("/who")
    @authenticated
    def who():
        return ""

    response = app.test_client().get("/who", headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (503, "auth_unavailable")
    assert response.headers["Retry-After"]


def test_of_two_who_ask_at_once_one_asks_auth(auth, keys, clock):
    keys.find(OLD["kid"])
    clock.now += 10
    with keys._fetching:  # somebody is at it
        waiting = [_Asking(keys, NEW["kid"]) for _ in range(2)]
        for each in waiting:
            each.start()
        auth.publish(OLD, NEW)
    for each in waiting:
        each.join()

    assert [each.found is not None for each in waiting] == [True, True]
    assert auth.times(JWKS) == 2


def test_verified_tokens_are_forgotten_when_there_are_too_many(monkeypatch, identities):
    monkeypatch.setattr("backend.security.tokens._CACHE_ENTRIES", 2)
    verifier = TokenVerifier(LocalKeys([identities.key.public_key()]), ISSUER, AUDIENCE)
    tokens = [identities.token(f"user-{number}") for number in range(4)]

    assert [verifier.verify(each).user_id for each in tokens] == [f"user-{n}" for n in range(4)]
    assert len(verifier._known) == 2
