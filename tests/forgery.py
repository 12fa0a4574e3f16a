"""Invalid access tokens: forged, malformed, expired, or issued for another purpose."""

import base64
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.security.tokens import MAX_TOKEN_BYTES, public_jwk, signing_key
from tests.identities import AUDIENCE, ISSUER, Identities

CLAIMS = ("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "sid", "tid", "gen", "scope")
# Order of the base point of Ed25519 (RFC 8032, section 5.1).
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def build_token(header: object, claims: object, signature: bytes = b"x" * 64) -> str:
    return f"{b64(header)}.{b64(claims)}.{b64(signature)}"


class Forger:
    """Creates invalid tokens, most of them signed with the issuer's own key."""

    def __init__(self, identities: Identities) -> None:
        self.identities = identities
        self.kid = public_jwk(identities.key.public_key())["kid"]
        self.valid_header = {"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid}

    def payload(self, **claims: object) -> dict[str, object]:
        decoded = jwt.decode(self.identities.token(), options={"verify_signature": False})
        return {name: value for name, value in (decoded | claims).items() if value is not ...}

    def signed(
        self,
        claims: dict[str, object] | None = None,
        key: Any = None,
        algorithm: str = "EdDSA",
        **header: object,
    ) -> str:
        headers = {"typ": "at+jwt", "kid": self.kid} | header
        headers = {name: value for name, value in headers.items() if value is not ...}
        raw = json.dumps(claims or self.payload()).encode()
        # Use the JWS layer: jwt.encode would reject some of these claims.
        return jwt.PyJWS().encode(
            raw, key or self.identities.key, algorithm=algorithm, headers=headers
        )

    def signed_text(self, header: object, payload: object, key: Any = None) -> str:
        """Return a token of *header* and *payload* as they are: objects or their JSON as bytes."""
        text = f"{b64(header)}.{b64(payload)}"
        return f"{text}.{b64((key or self.identities.key).sign(text.encode()))}"

    def signed_claim(self, name: str, json_value: str) -> str:
        """Return a token that the issuer signed, with the text *json_value* as a claim."""
        payload = json.dumps(self.payload(**{name: "HERE"})).replace('"HERE"', json_value)
        return self.signed_text(self.valid_header, payload.encode())

    def with_hmac(self, key: bytes) -> str:
        """Return a token signed with HS256. PyJWT refuses to sign with public keys."""
        text = f"{b64(self.valid_header | {'alg': 'HS256'})}.{b64(self.payload())}"
        return f"{text}.{b64(hmac.digest(key, text.encode(), 'sha256'))}"

    def with_larger_signature(self) -> str:
        """Return a valid token with S + L instead of S, which naive verifiers accept too."""
        header, payload, signature = self.identities.token().split(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        larger = int.from_bytes(raw[32:], "little") + ED25519_ORDER
        return f"{header}.{payload}.{b64(raw[:32] + larger.to_bytes(32, 'little'))}"

    def tampered(self, position: int) -> str:
        parts = self.identities.token().split(".")
        part = parts[position]
        middle = len(part) // 2
        parts[position] = part[:middle] + ("A" if part[middle] != "A" else "B") + part[middle + 1 :]
        return ".".join(parts)

    def with_payload(self, other: str) -> str:
        header, _, signature = self.identities.token().split(".")
        return f"{header}.{other}.{signature}"

    def with_unused_bits(self) -> str:
        """Return a valid token whose last character has another spelling of the same signature."""
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        token = self.identities.token()
        return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]

    def tokens(self) -> dict[str, str]:
        """Return invalid tokens, keyed by what is wrong with each."""
        public = self.identities.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        other_key = Ed25519PrivateKey.generate()
        other = public_jwk(other_key.public_key())
        other_purpose = signing_key(self.identities.secret, "refresh")
        now = int(time.time())
        valid = self.identities.token()
        header = json.dumps(self.valid_header)
        return {
            "empty": "",
            "one word": "token",
            "one dot": "a.b",
            "two dots only": "..",
            "four parts": self.identities.token() + ".x",
            "five parts (JWE)": "a.b.c.d.e",
            "not base64": "!!!.###.$$$",
            "header not JSON": f"{b64(b'no json')}.{b64(self.payload())}.{b64(b'x')}",
            "header is a list": build_token([], self.payload()),
            "header is a string": build_token("EdDSA", self.payload()),
            "payload is a list": self.with_payload(b64([])),
            "payload not JSON": f"{b64(self.valid_header)}.{b64(b'no json')}.{b64(b'x' * 64)}",
            "signature missing": ".".join(self.identities.token().split(".")[:2]) + ".",
            "signature of zeros": build_token(self.valid_header, self.payload(), b"\0" * 64),
            "signature cut": self.identities.token()[:-10],
            "header changed": self.tampered(0),
            "payload changed": self.tampered(1),
            "signature changed": self.tampered(2),
            "payload of another token": self.with_payload(
                self.identities.token(permissions=["system:write"]).split(".")[1]
            ),
            "alg none": build_token(self.valid_header | {"alg": "none"}, self.payload(), b""),
            "alg None": build_token(self.valid_header | {"alg": "None"}, self.payload(), b""),
            "alg missing": build_token({"typ": "at+jwt", "kid": self.kid}, self.payload()),
            "alg is a number": build_token(self.valid_header | {"alg": 7}, self.payload()),
            "HS256 with the public key's bytes": self.signed(key=public, algorithm="HS256"),
            "HS256 with its thumbprint": self.signed(key=self.kid, algorithm="HS256"),
            "HS512 with a guess": self.signed(key="secret" * 12, algorithm="HS512"),
            "RS256": self.signed(key=rsa.generate_private_key(65537, 2048), algorithm="RS256"),
            "ES256": self.signed(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
            "another Ed25519 key with the issuer's kid": self.signed(key=other_key),
            "an unknown kid": self.signed(key=other_key, kid=other["kid"]),
            "without kid": self.signed(kid=...),
            "kid is a path": self.signed(kid="../../etc/passwd"),
            "kid is a number": build_token(self.valid_header | {"kid": 5}, self.payload()),
            **{
                f"kid is {kid!r}": self.signed_text(
                    self.valid_header | {"kid": kid}, self.payload()
                )
                for kid in (
                    "",
                    None,
                    [self.kid],
                    {"kid": self.kid},
                    f"{self.kid}\x00",
                    f" {self.kid}",
                    self.kid.swapcase(),
                    "' OR '1'='1",
                    "http://127.0.0.1:9/key",
                    "/dev/null",
                    "__class__",
                )
            },
            "kid twice, ours last": self.signed_text(
                f'{{"kid": "{other["kid"]}", {header[1:]}'.encode(), self.payload(), other_key
            ),
            "alg twice, none first": build_token(
                f'{{"alg": "none", {header[1:]}'.encode(), self.payload(), b""
            ),
            **{
                f"alg is {alg!r}": self.signed_text(
                    self.valid_header | {"alg": alg}, self.payload()
                )
                for alg in ("eddsa", "EDDSA", " EdDSA", "Ed25519", "ES256", "nOnE", "", ["EdDSA"])
            },
            "x5u of another host": self.signed(key=other_key, x5u="http://127.0.0.1:9/chain.pem"),
            "x5c with another certificate": self.signed(key=other_key, x5c=["MIIB"]),
            "unencoded payload (b64 false)": self.signed_text(
                self.valid_header | {"b64": False}, self.payload()
            ),
            "header in UTF-16": self.signed_text(
                header.encode("utf-16"), self.payload(), other_key
            ),
            "header of 2,900 open brackets": f"{b64(b'[' * 2900)}.{b64({})}.{b64(b'x')}",
            "header of 500 nested objects": self.signed_text(
                b'{"a":' * 500 + b"1" + b"}" * 500, self.payload()
            ),
            "HS256 with the public key as JWK": self.with_hmac(
                json.dumps(public_jwk(self.identities.key.public_key())).encode()
            ),
            "HS256 with the public key as PEM": self.with_hmac(
                self.identities.key.public_key().public_bytes(
                    Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
                )
            ),
            "HS256 with an empty key": self.with_hmac(b""),
            "signature plus the order of the group": self.with_larger_signature(),
            "signature of the neutral point": build_token(
                self.valid_header, self.payload(), b"\x01" + b"\0" * 63
            ),
            "signature twice": valid + valid.rpartition(".")[2],
            "JSON serialization": json.dumps(
                dict(zip(("protected", "payload", "signature"), valid.split("."), strict=True))
            ),
            "two tokens": f"{valid} {valid}",
            "two tokens with a comma": f"{valid},{valid}",
            "quoted": f'"{valid}"',
            "kid very long": self.signed(kid="k" * 2000),
            "embedded jwk": self.signed(key=other_key, jwk=other, kid="embedded"),
            "jku of another host": self.signed(key=other_key, jku="http://127.0.0.1:9/jwks.json"),
            "crit": self.signed(crit=["exp"]),
            "typ JWT": self.signed(typ="JWT"),
            "typ missing": self.signed(typ=None),
            "typ of a service token": self.signed(typ="service+jwt"),
            "expired": self.signed(self.payload(exp=now - 60)),
            "not yet valid": self.signed(self.payload(nbf=now + 600)),
            "issued in the future": self.signed(self.payload(iat=now + 600)),
            "exp is a word": self.signed(self.payload(exp="tomorrow")),
            "exp of 2,000 digits": self.signed(self.payload(exp=10**1999)),
            "exp of 400 digits": self.signed(self.payload(exp=10**399)),
            "gen of 400 digits": self.signed(self.payload(gen=10**399)),
            "padded twice": self.identities.token() + "==",
            "unused bits set": self.with_unused_bits(),
            **{
                f"{claim} is {value}": self.signed_claim(claim, value)
                for claim, values in {
                    "exp": ("Infinity", "NaN", "1e300", "true", "null", "[9999999999]", "-1"),
                    "nbf": ("Infinity", "NaN", "null", '"never"', "1e300"),
                    "iat": ("Infinity", "NaN", "null", '"never"', "1e300"),
                    "sub": ("null", "7", '["user-ada"]', "{}", "true"),
                    "aud": ("null", "{}", f'["{AUDIENCE}"]', f'"{AUDIENCE} "', "true"),
                    "iss": ("null", "{}", f'"{ISSUER}/"', f'"{ISSUER.upper()}"'),
                    "sid": ("null", "7"),
                    "gen": ("1.5", "Infinity", "-1e400"),
                }.items()
                for value in values
            },
            "exp is a text of digits": self.signed_claim("exp", f'"{now + 600}"'),
            "payload is null": self.signed_text(self.valid_header, b"null"),
            "payload not UTF-8": self.signed_text(self.valid_header, b'{"sub": "\xff"}'),
            "another issuer": self.signed(self.payload(iss="elsewhere")),
            "another audience": self.signed(self.payload(aud="elsewhere")),
            "audience is a list": self.signed(self.payload(aud=[AUDIENCE, "elsewhere"])),
            "issuer is a list": self.signed(self.payload(iss=[ISSUER])),
            "signed for another purpose": self.signed(key=other_purpose),
            **{
                f"without {claim}": self.signed(self.payload(**{claim: ...}))
                for claim in (
                    "iss",
                    "sub",
                    "aud",
                    "exp",
                    "iat",
                    "nbf",
                    "jti",
                    "sid",
                    "tid",
                    "gen",
                    "scope",
                )
            },
            "scope is a list": self.signed(self.payload(scope=["system:write"])),
            "gen is a word": self.signed(self.payload(gen="0")),
            "gen is true": self.signed(self.payload(gen=True)),
            "tid is a number": self.signed(self.payload(tid=7)),
            "tenants is a word": self.signed(self.payload(tenants="all")),
            "tenants of the wrong shape": self.signed(self.payload(tenants=[["t", "slug"]])),
            "longer than allowed": self.signed(self.payload(scope="x" * MAX_TOKEN_BYTES)),
            "not ASCII": self.identities.token()[:-1] + "é",
            "padded": self.identities.token() + "=",
            "with a newline inside": self.identities.token()[:40]
            + " "
            + self.identities.token()[40:],
        }
