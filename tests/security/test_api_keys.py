"""API keys authenticate like access tokens; exchanges at auth are cached."""

import pytest

from backend.security.api_keys import RemoteApiKeyExchange
from backend.security.authentication import SecurityContext, set_security_context
from backend.security.tokens import InvalidToken, KeysUnavailable, TokenVerifier
from tests.identities import AUDIENCE, ISSUER, LocalKeys
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
        auth.respond_to_exchange(200, {"access_token": token})
        yield auth


@pytest.fixture
def app(app, auth, identities, clock):
    verifier = TokenVerifier(LocalKeys([identities.key.public_key()]), ISSUER, AUDIENCE)
    keys = RemoteApiKeyExchange(auth.url, clock)
    set_security_context(app, SecurityContext(verifier, keys, identities.revocations, {}))
    return app


@pytest.mark.parametrize(
    "headers",
    [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}],
    ids=["its own header", "as a token"],
)
def test_api_key_authenticates_with_its_own_permissions(client, auth, headers):
    assert client.get("/who", headers=headers).json["permissions"] == ["rag:read"]
    assert client.post("/items/top", json={"name": "a"}, headers=headers).status_code == 403
    assert auth.requests == [(EXCHANGE, {"key": KEY})]


def test_api_key_is_exchanged_again_after_30_seconds(client, auth, clock):
    for seconds in (0, 29, 30):
        clock.now = seconds
        assert client.get("/who", headers={"X-API-Key": KEY}).status_code == 200

    assert auth.count_requests(EXCHANGE) == 2


@pytest.mark.parametrize("status", [400, 401, 422])
def test_rejected_api_key_returns_401_without_another_exchange_for_two_seconds(
    client, auth, clock, status
):
    auth.respond_to_exchange(status, {})

    for _ in range(3):
        response = client.get("/who", headers={"X-API-Key": KEY})
        assert (response.status_code, response.json["code"]) == (401, "invalid_api_key")
    assert auth.count_requests(EXCHANGE) == 1

    clock.now += 2
    client.get("/who", headers={"X-API-Key": KEY})
    assert auth.count_requests(EXCHANGE) == 2


@pytest.mark.parametrize(
    "exchange",
    [(500, {}), (200, {"no": "token"}), (200, b"no json")],
    ids=["a failure", "no token", "no JSON"],
)
def test_api_key_returns_503_when_the_exchange_fails(client, auth, exchange):
    auth.respond_to_exchange(*exchange)

    response = client.get("/who", headers={"X-API-Key": KEY})

    assert (response.status_code, response.json["code"]) == (503, "auth_unavailable")


def test_exchange_raises_keys_unavailable_when_auth_is_down():
    with pytest.raises(KeysUnavailable):
        RemoteApiKeyExchange(f"http://127.0.0.1:{free_port()}").exchange_key(KEY)


@pytest.mark.parametrize("key", ["aas_" + "k" * 200, "aas_\u00e9"], ids=["too long", "not ASCII"])
def test_malformed_api_key_is_rejected_without_an_exchange(client, auth, key):
    response = client.get("/who", headers={"X-API-Key": key})

    assert (response.status_code, response.json["code"]) == (401, "invalid_api_key")
    assert auth.requests == []


def test_api_key_caches_are_bounded(auth, monkeypatch):
    monkeypatch.setattr("backend.security.api_keys._MAX_TOKENS", 2)
    monkeypatch.setattr("backend.security.api_keys._MAX_REJECTIONS", 3)
    keys = RemoteApiKeyExchange(auth.url)

    for number in range(5):
        keys.exchange_key(f"{KEY}{number}")
    auth.respond_to_exchange(401, {})
    for number in range(5, 10):
        with pytest.raises(InvalidToken):
            keys.exchange_key(f"{KEY}{number}")

    assert (len(keys._tokens), len(keys._rejections)) == (2, 3)


def test_rejected_api_keys_do_not_evict_valid_ones(auth, monkeypatch):
    monkeypatch.setattr("backend.security.api_keys._MAX_TOKENS", 2)
    monkeypatch.setattr("backend.security.api_keys._MAX_REJECTIONS", 2)
    keys = RemoteApiKeyExchange(auth.url)
    token = keys.exchange_key(KEY)
    auth.respond_to_exchange(401, {})

    for number in range(5):
        with pytest.raises(InvalidToken):
            keys.exchange_key(f"{KEY}{number}")

    assert keys.exchange_key(KEY) == token


def test_principal_reports_that_an_api_key_was_used(client, app, identities):
    from backend.security import current_principal

    with app.test_request_context(headers={"X-API-Key": KEY}):
        app.view_functions["who"]()
        assert current_principal().uses_api_key
    with app.test_request_context(headers=identities.bearer()):
        app.view_functions["who"]()
        assert not current_principal().uses_api_key


def test_unknown_api_key_raises_invalid_token(auth):
    auth.respond_to_exchange(401, {})
    with pytest.raises(InvalidToken, match="unknown, expired or was deleted"):
        RemoteApiKeyExchange(auth.url).exchange_key(KEY)


def test_api_key_is_exchanged_again_after_its_owners_generation_changed(client, auth, identities):
    assert client.get("/who", headers={"X-API-Key": KEY}).status_code == 200
    identities.revocations.raise_user_generation("user-ada", 1)
    renewed = identities.token(permissions=["rag:read"], sid="key:1", gen=1)
    auth.respond_to_exchange(200, {"access_token": renewed})

    assert client.get("/who", headers={"X-API-Key": KEY}).status_code == 200


def test_deleted_api_key_is_rejected_at_once(client, auth, identities):
    assert client.get("/who", headers={"X-API-Key": KEY}).status_code == 200
    identities.revocations.revoke_session("key:1", 60)
    auth.respond_to_exchange(401, {})

    response = client.get("/who", headers={"X-API-Key": KEY})

    assert (response.status_code, response.json["code"]) == (401, "invalid_api_key")


def test_api_key_in_another_scheme_is_ignored(client, auth):
    assert client.get("/who", headers={"Authorization": f"Basic {KEY}"}).status_code == 401
    assert auth.requests == []
