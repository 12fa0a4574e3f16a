"""Every way a token can be wrong is a 401, at every guarded door."""

import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.security.tokens import MAX_TOKEN_BYTES, public_jwk, signing_key
from tests.identities import AUDIENCE, ISSUER, Identities

people = Identities()
KID = public_jwk(people.key.public_key())["kid"]
PUBLIC_BYTES = people.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def payload(**claims: object) -> dict[str, object]:
    decoded = jwt.decode(people.token(), options={"verify_signature": False})
    changed = decoded | claims
    return {name: value for name, value in changed.items() if value is not ...}


def signed(
    claims: dict[str, object] | None = None,
    key: object = people.key,
    algorithm: str = "EdDSA",
    **header: object,
) -> str:
    headers = {"typ": "at+jwt", "kid": KID} | header
    headers = {name: value for name, value in headers.items() if value is not ...}
    raw = json.dumps(claims or payload()).encode()
    # One layer below jwt.encode, which would refuse to sign some of these claims.
    return jwt.PyJWS().encode(raw, key, algorithm=algorithm, headers=headers)


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hand_made(header: object, claims: object, signature: bytes = b"x" * 64) -> str:
    return f"{b64(header)}.{b64(claims)}.{b64(signature)}"


def tampered(position: int) -> str:
    parts = people.token().split(".")
    part = parts[position]
    middle = len(part) // 2
    parts[position] = part[:middle] + ("A" if part[middle] != "A" else "B") + part[middle + 1 :]
    return ".".join(parts)


def with_payload(other: str) -> str:
    header, _, signature = people.token().split(".")
    return f"{header}.{other}.{signature}"


OTHER_KEY = Ed25519PrivateKey.generate()
GOOD_HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": KID}
NOW = int(time.time())

BAD_TOKENS = {
    "empty": "",
    "a word": "token",
    "one dot": "a.b",
    "two dots only": "..",
    "four parts": people.token() + ".x",
    "five parts, as encrypted": "a.b.c.d.e",
    "not base64": "!!!.###.$$$",
    "header no JSON": f"{b64(b'no json')}.{b64(payload())}.{b64(b'x')}",
    "header a list": hand_made([], payload()),
    "header a string": hand_made("EdDSA", payload()),
    "payload a list": with_payload(b64([])),
    "payload no JSON": f"{b64(GOOD_HEADER)}.{b64(b'no json')}.{b64(b'x' * 64)}",
    "signature missing": ".".join(people.token().split(".")[:2]) + ".",
    "signature of zeros": hand_made(GOOD_HEADER, payload(), b"\0" * 64),
    "signature cut": people.token()[:-10],
    "header changed": tampered(0),
    "payload changed": tampered(1),
    "signature changed": tampered(2),
    "payload of another token": with_payload(
        people.token(permissions=["system:write"]).split(".")[1]
    ),
    "alg none": hand_made(GOOD_HEADER | {"alg": "none"}, payload(), b""),
    "alg None": hand_made(GOOD_HEADER | {"alg": "None"}, payload(), b""),
    "alg missing": hand_made({"typ": "at+jwt", "kid": KID}, payload()),
    "alg a number": hand_made(GOOD_HEADER | {"alg": 7}, payload()),
    "HS256 with the public key's bytes": signed(key=PUBLIC_BYTES, algorithm="HS256"),
    "HS256 with its thumbprint": signed(key=KID, algorithm="HS256"),
    "HS512 with a guess": signed(key="secret" * 12, algorithm="HS512"),
    "RS256": signed(key=rsa.generate_private_key(65537, 2048), algorithm="RS256"),
    "ES256": signed(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
    "another Ed25519 key under our kid": signed(key=OTHER_KEY),
    "an unknown kid": signed(key=OTHER_KEY, kid=public_jwk(OTHER_KEY.public_key())["kid"]),
    "no kid": signed(kid=...),
    "kid a path": signed(kid="../../etc/passwd"),
    "kid a number": hand_made(GOOD_HEADER | {"kid": 5}, payload()),
    "kid very long": signed(kid="k" * 2000),
    "its own key inside": signed(
        key=OTHER_KEY, jwk=public_jwk(OTHER_KEY.public_key()), kid="brought along"
    ),
    "key to fetch from elsewhere": signed(key=OTHER_KEY, jku="http://127.0.0.1:9/jwks.json"),
    "crit": signed(crit=["exp"]),
    "typ JWT": signed(typ="JWT"),
    "typ missing": signed(typ=None),
    "typ of a service token": signed(typ="service+jwt"),
    "expired": signed(payload(exp=NOW - 60)),
    "not yet valid": signed(payload(nbf=NOW + 600)),
    "issued in the future": signed(payload(iat=NOW + 600)),
    "exp a word": signed(payload(exp="tomorrow")),
    "exp infinite": hand_made(GOOD_HEADER, payload()).replace("x", "y"),
    "another issuer": signed(payload(iss="elsewhere")),
    "another audience": signed(payload(aud="elsewhere")),
    "audience a list": signed(payload(aud=[AUDIENCE, "elsewhere"])),
    "issuer a list": signed(payload(iss=[ISSUER])),
    "signed for another purpose": signed(key=signing_key("a secret of the tests", "refresh")),
    **{
        f"without {claim}": signed(payload(**{claim: ...}))
        for claim in ("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "sid", "tid", "gen", "scope")
    },
    "scope a list": signed(payload(scope=["system:write"])),
    "gen a word": signed(payload(gen="0")),
    "gen true": signed(payload(gen=True)),
    "tid a number": signed(payload(tid=7)),
    "tenants a word": signed(payload(tenants="all")),
    "tenants of the wrong shape": signed(payload(tenants=[["t", "slug"]])),
    "longer than allowed": signed(payload(scope="x" * MAX_TOKEN_BYTES)),
    "not ASCII": people.token()[:-1] + "é",
    "padded": people.token() + "=",
    "with a newline inside": people.token()[:40] + " " + people.token()[40:],
}


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
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    jwk = public_jwk(Ed25519PublicKey.from_public_bytes(raw))

    assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
