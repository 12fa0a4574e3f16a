"""Route of the public keys that verify access tokens (JWKS)."""

from flask import Blueprint, Response
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import responds_with
from backend.security import public
from backend.services.auth.domain.signing_keys import SigningKeys

keys = Blueprint("keys", __name__)
_CACHE_SECONDS = 300


class Jwk(BaseModel):
    """A public key as a JWK (RFC 8037)."""

    kty: str
    crv: str
    x: str
    kid: str
    use: str
    alg: str


class JwkSet(BaseModel):
    """A JWK set (RFC 7517)."""

    keys: list[Jwk]


@keys.get("/.well-known/jwks.json")
@public
@responds_with(JwkSet)
def get_jwks() -> JwkSet:
    """Get the public keys with which services verify access tokens."""
    return JwkSet(keys=[Jwk(**key) for key in use(SigningKeys).get_published_keys()])


@keys.after_request
def set_cache_lifetime(response: Response) -> Response:
    response.headers["Cache-Control"] = f"public, max-age={_CACHE_SECONDS}"
    return response
