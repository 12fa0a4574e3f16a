"""Every way a token can be wrong is a 401, at every guarded door."""

import base64
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backend.security.tokens import public_jwk, signing_key
from tests.forgery import Forger
from tests.identities import Identities

BAD_TOKENS = Forger(Identities()).tokens()


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_a_bad_token_is_a_401_problem(client, token):
    headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1")}

    response = client.get("/who", headers=headers)

    assert response.status_code == 401
    assert response.content_type == "application/problem+json"
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert len(token) < 10 or token not in response.text


def test_the_table_is_long_enough():
    assert len(BAD_TOKENS) >= 50


@pytest.mark.parametrize(
    "header",
    ["Basic dXNlcjpwYXNz", "Bearer", "Token abc", "bearer", "Digest x", "Bearer  "],
)
def test_another_scheme_or_nothing_behind_it_is_a_401(client, header):
    assert client.get("/who", headers={"Authorization": header}).status_code == 401


def test_a_good_token_passes_again_and_until_it_expires(client, identities):
    headers = identities.bearer(exp=int(time.time()) + 1)
    assert client.get("/who", headers=headers).status_code == 200
    assert client.get("/who", headers=headers).status_code == 200


def test_the_scheme_is_not_case_sensitive(client, identities):
    token = identities.token()
    assert client.get("/who", headers={"Authorization": f"bEARER {token}"}).status_code == 200


def test_one_secret_gives_every_auth_instance_the_same_key():
    first, second = (signing_key("one secret").public_key() for _ in range(2))
    assert public_jwk(first) == public_jwk(second)
    assert public_jwk(first)["kid"] != public_jwk(signing_key("another").public_key())["kid"]


def test_the_thumbprint_is_that_of_rfc_8037():
    raw = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    jwk = public_jwk(Ed25519PublicKey.from_public_bytes(raw))

    assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
