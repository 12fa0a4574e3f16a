"""Invalid tokens of every kind return 401."""

import base64
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backend.security.tokens import public_jwk, signing_key
from tests.forgery import Forger
from tests.identities import Identities

INVALID_TOKENS = Forger(Identities()).tokens()


@pytest.mark.parametrize("token", INVALID_TOKENS.values(), ids=INVALID_TOKENS.keys())
def test_invalid_token_returns_401_problem(client, token):
    headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")}

    response = client.get("/who", headers=headers)

    assert response.status_code == 401
    assert response.content_type == "application/problem+json"
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert len(token) < 10 or token not in response.text


def test_at_least_50_invalid_tokens_are_tried():
    assert len(INVALID_TOKENS) >= 50


@pytest.mark.parametrize(
    "header",
    ["Basic dXNlcjpwYXNz", "Bearer", "Token abc", "bearer", "Digest x", "Bearer  "],
)
def test_other_scheme_or_empty_credential_returns_401(client, header):
    assert client.get("/who", headers={"Authorization": header}).status_code == 401


def test_valid_token_is_accepted_repeatedly(client, identities):
    headers = identities.bearer(exp=int(time.time()) + 1)
    assert client.get("/who", headers=headers).status_code == 200
    assert client.get("/who", headers=headers).status_code == 200


def test_scheme_is_case_insensitive(client, identities):
    token = identities.token()
    assert client.get("/who", headers={"Authorization": f"bEARER {token}"}).status_code == 200


def test_signing_key_is_derived_from_the_secret():
    first, second = (signing_key("one secret").public_key() for _ in range(2))
    assert public_jwk(first) == public_jwk(second)
    assert public_jwk(first)["kid"] != public_jwk(signing_key("another").public_key())["kid"]


def test_kid_matches_the_thumbprint_of_rfc_8037():
    raw = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    jwk = public_jwk(Ed25519PublicKey.from_public_bytes(raw))

    assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
