"""An API key opens every door that a token opens, and auth is asked only now and then."""

import pytest

from backend.security.authentication import RemoteApiKeys, Security, use_security
from backend.security.tokens import InvalidToken, KeysUnavailable, LocalKeys, TokenVerifier
from tests.identities import AUDIENCE, ISSUER
from tests.security.stand_ins import auth_service
from tests.servers import free_port

KEY = "aas_" + "k" * 40
EXCHANGE = "/api-keys/exchange"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def auth(identities):
    with auth_service() as auth:
        token = identities.token(permissions=["rag:read"], sid="key:1")
        auth.exchange(200, {"access_token": token})
        yield auth


@pytest.fixture
def app(app, auth, identities, clock):
    verifier = TokenVerifier(LocalKeys([identities.key.public_key()]), ISSUER, AUDIENCE)
    keys = RemoteApiKeys(auth.url, clock)
    use_security(app, Security(verifier, keys, identities.revocations, {}))
    return app


@pytest.mark.parametrize(
    "headers",
    [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}],
    ids=["its own header", "as a token"],
)
def test_a_key_says_who_asks_and_may_what_it_may(client, auth, headers):
    assert client.get("/who", headers=headers).json["permissions"] == ["rag:read"]
    assert client.post("/items/top", json={"name": "a"}, headers=headers).status_code == 403
    assert auth.asked == [(EXCHANGE, {"key": KEY})]


def test_a_key_is_exchanged_again_after_half_a_minute(client, auth, clock):
    for seconds in (0, 29, 30):
        clock.now = seconds
        assert client.get("/who", headers={"X-API-Key": KEY}).status_code == 200

    assert auth.times(EXCHANGE) == 2


@pytest.mark.parametrize("status", [400, 401, 422])
def test_a_key_that_auth_refuses_is_a_401_for_two_seconds(client, auth, clock, status):
    auth.exchange(status, {})

    for _ in range(3):
        response = client.get("/who", headers={"X-API-Key": KEY})
        assert (response.status_code, response.json["code"]) == (401, "invalid_api_key")
    assert auth.times(EXCHANGE) == 1

    clock.now += 2
    client.get("/who", headers={"X-API-Key": KEY})
    assert auth.times(EXCHANGE) == 2


@pytest.mark.parametrize(
    "answer",
    [(500, {}), (200, {"no": "token"}), (200, b"no json")],
    ids=["a failure", "no token", "no JSON"],
)
def test_when_auth_can_not_say_it_is_a_503(client, auth, answer):
    auth.exchange(*answer)

    response = client.get("/who", headers={"X-API-Key": KEY})

    assert (response.status_code, response.json["code"]) == (503, "auth_unavailable")


def test_when_nobody_is_there_the_key_is_neither_good_nor_bad():
    with pytest.raises(KeysUnavailable):
        RemoteApiKeys(f"http://127.0.0.1:{free_port()}").access_token(KEY)


@pytest.mark.parametrize("key", ["aas_" + "k" * 200, "aas_\u00e9"], ids=["too long", "not ASCII"])
def test_a_malformed_key_never_reaches_auth(client, auth, key):
    response = client.get("/who", headers={"X-API-Key": key})

    assert (response.status_code, response.json["code"]) == (401, "invalid_api_key")
    assert auth.asked == []


def test_known_keys_are_forgotten_when_there_are_too_many(auth, monkeypatch):
    monkeypatch.setattr("backend.security.authentication._KEY_CACHE_ENTRIES", 2)
    keys = RemoteApiKeys(auth.url)

    for number in range(5):
        keys.access_token(f"{KEY}{number}")

    assert len(keys._known) <= 2


def test_a_principal_knows_that_a_key_spoke(client, app, identities):
    from backend.security import current_principal

    with app.test_request_context(headers={"X-API-Key": KEY}):
        app.view_functions["who"]()
        assert current_principal().by_api_key
    with app.test_request_context(headers=identities.bearer()):
        app.view_functions["who"]()
        assert not current_principal().by_api_key


def test_a_stranger_key_is_no_token(auth):
    auth.exchange(401, {})
    with pytest.raises(InvalidToken, match="unknown, expired or was deleted"):
        RemoteApiKeys(auth.url).access_token(KEY)


def test_a_key_goes_on_when_only_its_owners_rights_have_changed(client, auth, identities):
    assert client.get("/who", headers={"X-API-Key": KEY}).status_code == 200
    identities.revocations.raise_user("user-ada", 1)
    renewed = identities.token(permissions=["rag:read"], sid="key:1", gen=1)
    auth.exchange(200, {"access_token": renewed})

    assert client.get("/who", headers={"X-API-Key": KEY}).status_code == 200


def test_a_deleted_key_is_refused_at_once(client, auth, identities):
    assert client.get("/who", headers={"X-API-Key": KEY}).status_code == 200
    identities.revocations.end_session("key:1", 60)
    auth.exchange(401, {})

    response = client.get("/who", headers={"X-API-Key": KEY})

    assert (response.status_code, response.json["code"]) == (401, "invalid_api_key")


def test_a_key_behind_another_scheme_is_no_key(client, auth):
    assert client.get("/who", headers={"Authorization": f"Basic {KEY}"}).status_code == 401
    assert auth.asked == []
