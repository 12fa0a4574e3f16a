"""Published keys are cached, kept while auth is down, and refreshed when they change."""

import threading

import pytest
from flask import Flask

from backend.security import authenticated
from backend.security.authentication import SecurityContext, set_security_context
from backend.security.revocation import LocalRevocations
from backend.security.tokens import (
    KeysUnavailable,
    RemoteKeys,
    TokenVerifier,
    public_jwk,
    signing_key,
)
from tests.identities import AUDIENCE, ISSUER, LocalKeys, NoApiKeys
from tests.security.stand_ins import auth_service
from tests.servers import free_port, wait_until

OLD, NEW = (public_jwk(signing_key(word).public_key()) for word in ("old", "new"))
JWKS = "/.well-known/jwks.json"


class _Lookup(threading.Thread):
    def __init__(self, keys: RemoteKeys, kid: str) -> None:
        super().__init__()
        self._keys, self._kid = keys, kid

    def run(self) -> None:
        self.found = self._keys.find_key(self._kid)


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


def test_keys_are_fetched_once(auth, keys):
    for _ in range(3):
        assert keys.find_key(OLD["kid"]) is not None

    assert auth.count_requests(JWKS) == 1


def test_unknown_key_ids_cause_one_request_per_ten_seconds(auth, keys, clock):
    keys.find_key(OLD["kid"])
    for number in range(20):
        assert keys.find_key(f"made-up-{number}") is None
    assert auth.count_requests(JWKS) == 1

    clock.now += 10
    for number in range(20):
        assert keys.find_key(f"made-up-{number}") is None
    assert auth.count_requests(JWKS) == 2


def test_new_key_is_fetched_when_a_token_uses_it(auth, keys, clock):
    keys.find_key(OLD["kid"])
    auth.publish(OLD, NEW)
    clock.now += 10

    assert keys.find_key(NEW["kid"]) is not None
    assert keys.find_key(OLD["kid"]) is not None


def test_keys_are_refreshed_in_the_background(auth, keys, clock):
    keys.find_key(OLD["kid"])
    auth.publish(NEW)
    clock.now += 300
    auth.may_respond.clear()

    assert keys.find_key(OLD["kid"]) is not None, "the refresh does not block"
    auth.may_respond.set()
    wait_until(lambda: keys.find_key(OLD["kid"]) is None)
    assert keys.find_key(NEW["kid"]) is not None


@pytest.mark.parametrize(
    "response",
    [
        pytest.param((500, {}), id="a failure"),
        pytest.param((200, b"no json"), id="not JSON"),
        pytest.param((200, {"keys": [{"kty": "OKP", "crv": "Ed25519"}]}), id="a key without id"),
        pytest.param((200, []), id="a list"),
        pytest.param((200, b"[" * 50_000), id="deeply nested"),
        pytest.param((200, b'{"keys": [' + b" " * 70_000 + b"]}"), id="too large"),
    ],
)
def test_cached_keys_stay_valid_while_auth_returns_invalid_documents(auth, keys, clock, response):
    keys.find_key(OLD["kid"])
    auth.responses[JWKS] = response
    clock.now += 10

    assert keys.find_key("another") is None
    assert keys.find_key(OLD["kid"]) is not None


def test_keys_of_other_types_are_ignored(auth, keys):
    auth.publish({"kty": "RSA", "kid": "rsa", "n": "AQ", "e": "AQAB"}, OLD)

    assert keys.find_key(OLD["kid"]) is not None
    assert keys.find_key("rsa") is None


def test_request_returns_503_before_any_key_was_fetched(clock, identities):
    unreachable = RemoteKeys(f"http://127.0.0.1:{free_port()}{JWKS}", clock)
    with pytest.raises(KeysUnavailable):
        unreachable.find_key(OLD["kid"])
    app = Flask("bare")
    verifier = TokenVerifier(unreachable, ISSUER, AUDIENCE)
    set_security_context(app, SecurityContext(verifier, NoApiKeys(), LocalRevocations(), {}))

    @app.get("/who")
    @authenticated
    def who():
        return ""

    response = app.test_client().get("/who", headers=identities.bearer())

    assert (response.status_code, response.json["code"]) == (503, "auth_unavailable")
    assert response.headers["Retry-After"]


def test_concurrent_lookups_cause_one_request(auth, keys, clock):
    keys.find_key(OLD["kid"])
    clock.now += 10
    with keys._fetching:  # hold the lock while both lookups start
        lookups = [_Lookup(keys, NEW["kid"]) for _ in range(2)]
        for lookup in lookups:
            lookup.start()
        auth.publish(OLD, NEW)
    for lookup in lookups:
        lookup.join()

    assert [lookup.found is not None for lookup in lookups] == [True, True]
    assert auth.count_requests(JWKS) == 2


def test_token_cache_is_bounded(monkeypatch, identities):
    monkeypatch.setattr("backend.security.tokens._CACHE_ENTRIES", 2)
    verifier = TokenVerifier(LocalKeys([identities.key.public_key()]), ISSUER, AUDIENCE)
    tokens = [identities.token(f"user-{number}") for number in range(4)]

    assert [verifier.verify(token).user_id for token in tokens] == [f"user-{n}" for n in range(4)]
    assert len(verifier._cache) == 2
