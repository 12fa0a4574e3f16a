"""Identities for tests: access tokens signed as auth would sign them, without an auth service."""

import time
from collections.abc import Iterable, Sequence
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from flask import Flask

from backend.security import BUILT_IN_ROLES
from backend.security.authentication import SecurityContext, set_security_context
from backend.security.revocation import LocalRevocations
from backend.security.service_tokens import ServiceTokens
from backend.security.tokens import (
    ALGORITHM,
    TOKEN_TYPE,
    InvalidToken,
    TokenVerifier,
    public_jwk,
    signing_key,
)

ISSUER = AUDIENCE = "ai-agent-system"


class NoApiKeys:
    def exchange_key(self, key: str) -> str:
        raise InvalidToken("These tests have no API keys.")

    def invalidate_key(self, key: str) -> None:
        pass


class LocalKeys:
    """Public keys that are held in memory instead of downloaded."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = {public_jwk(key)["kid"]: key for key in keys}

    def find_key(self, kid: str) -> Ed25519PublicKey | None:
        return self._keys.get(kid)


class Identities:
    """Signs tokens with its own key. Apps passed to `trust` accept these tokens."""

    def __init__(self, secret: str = "a secret of the tests") -> None:
        self.secret = secret
        self.key: Ed25519PrivateKey = signing_key(secret)
        self.revocations = LocalRevocations()
        self.shared_secret = "secret shared by the services of the tests"

    def trust(self, app: Flask) -> Flask:
        keys = LocalKeys([self.key.public_key()])
        verifier = TokenVerifier(keys, ISSUER, AUDIENCE)
        service_tokens = ServiceTokens(self.shared_secret, app.name)
        set_security_context(
            app, SecurityContext(verifier, NoApiKeys(), self.revocations, {}, service_tokens)
        )
        return app

    def token(
        self,
        user_id: str = "user-ada",
        tenant_id: str | None = None,
        permissions: Iterable[str] = BUILT_IN_ROLES["user"],
        **claims: object,
    ) -> str:
        """Return a token of *user_id*, by default in their own tenant with the role `user`."""
        now = int(time.time())
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "tid": tenant_id or f"tenant-of-{user_id}",
            "sid": f"session-of-{user_id}",
            "jti": uuid4().hex,
            "gen": 0,
            "scope": " ".join(sorted(permissions)),
            "iat": now,
            "nbf": now,
            "exp": now + 600,
        } | claims
        kid = public_jwk(self.key.public_key())["kid"]
        headers = {"typ": TOKEN_TYPE, "kid": kid}
        return jwt.encode(payload, self.key, algorithm=ALGORITHM, headers=headers)

    def bearer(self, user_id: str = "user-ada", **claims: object) -> dict[str, str]:
        """Return the request headers that authenticate *user_id*."""
        return {"Authorization": f"Bearer {self.token(user_id, **claims)}"}
