"""Tokens of the Bot Framework."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from backend.security.outbound import AllowedHost
from backend.services.chat.clients.teams_keys import SigningKey
from backend.services.chat.domain.webhooks.teams_tokens import TeamsTokens
from tests.services.chat.domain.channels.normalising import teams
from tests.services.chat.webhook_senders import START

URL = "https://smba.trafficmanager.net/emea/"
SETTINGS = {"app_id": "app-1"}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class StubKeys:
    """Has one key with the id `k1`."""

    def __init__(self, endorsements: frozenset[str] = frozenset({"msteams"})) -> None:
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        self._key = SigningKey(jwk, endorsements)

    def find_key(self, key_id: str, settings: Mapping[str, Any]) -> SigningKey | None:
        return self._key if key_id == "k1" else None


def build_token(
    key: rsa.RSAPrivateKey = KEY, key_id: str = "k1", at: datetime = START, **changes: Any
) -> str:
    claims = {
        "iss": "https://api.botframework.com",
        "aud": "app-1",
        "nbf": int(at.timestamp()),
        "exp": int((at + timedelta(hours=1)).timestamp()),
        "serviceurl": URL,
        **changes,
    }
    return jwt.encode(claims, key, "RS256", {"kid": key_id})


def build_body(**changes: Any) -> bytes:
    return json.dumps({**teams(text="hi", channelId="msteams"), **changes}).encode()


def is_valid(
    authorization: str | None, body: bytes = b"", keys: StubKeys | None = None, **settings: Any
) -> bool:
    tokens = TeamsTokens(keys or StubKeys(), now=lambda: START)
    return tokens.is_valid(authorization, body or build_body(), {**SETTINGS, **settings})


def test_token_of_the_bot_framework_is_valid() -> None:
    assert is_valid(f"Bearer {build_token()}")


@pytest.mark.parametrize(
    "token",
    [
        build_token(OTHER_KEY),
        build_token(key_id="k2"),
        build_token(iss="https://evil.example"),
        build_token(aud="app-2"),
        build_token(serviceurl="https://smba.trafficmanager.net/amer/"),
        build_token(at=START - timedelta(hours=2)),
        build_token(at=START + timedelta(hours=1)),
        build_token(exp="tomorrow"),
        jwt.encode({"iss": "https://api.botframework.com", "aud": "app-1"}, "x" * 32, "HS256"),
        build_token().rpartition(".")[0] + ".",
        "abc",
        "é",
        "a" * 10_000,
    ],
    ids=[
        "other key",
        "unknown key",
        "issuer",
        "audience",
        "service url",
        "expired",
        "not yet valid",
        "malformed expiry",
        "other algorithm",
        "no signature",
        "no token",
        "not ascii",
        "too long",
    ],
)
def test_other_token_is_invalid(token: str) -> None:
    assert not is_valid(f"Bearer {token}")


def test_header_without_token_is_invalid() -> None:
    for header in (None, "", "Bearer ", "Basic abc"):
        assert not is_valid(header)


def test_key_must_endorse_the_channel() -> None:
    token = f"Bearer {build_token()}"

    assert not is_valid(token, keys=StubKeys(frozenset({"webchat"})))
    assert not is_valid(token, build_body(channelId="webchat"))


def test_account_without_app_id_accepts_nothing() -> None:
    assert not is_valid(f"Bearer {build_token()}", app_id="")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "http://smba.trafficmanager.net/emea/",
        "https://smba.trafficmanager.net.evil.example/",
    ],
)
def test_service_url_must_be_a_host_of_the_bot_framework(url: str) -> None:
    token = build_token(serviceurl=url)

    assert not is_valid(f"Bearer {token}", build_body(serviceUrl=url))


def test_service_url_in_the_own_network_must_be_allowed() -> None:
    url = "http://127.0.0.1:9000/"
    token = f"Bearer {build_token(serviceurl=url)}"
    tokens = TeamsTokens(StubKeys(), [AllowedHost.parse("127.0.0.1:9000")], lambda: START)

    assert tokens.is_valid(token, build_body(serviceUrl=url), SETTINGS)
    assert not is_valid(token, build_body(serviceUrl=url))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000])
def test_unreadable_body_is_invalid(body: bytes) -> None:
    tokens = TeamsTokens(StubKeys(), now=lambda: START)

    assert not tokens.is_valid(f"Bearer {build_token()}", body, SETTINGS)
