"""The public keys that verify access tokens."""

from flask import Blueprint, Response
from pydantic import BaseModel

from backend.chassis.web.app_factory import use
from backend.chassis.web.openapi import answers
from backend.security import public
from backend.services.auth.domain.keys import SigningKeys

keys = Blueprint("keys", __name__)
_CACHE_SECONDS = 300


class Key(BaseModel):
    """A public key as a JWK (RFC 8037)."""

    kty: str
    crv: str
    x: str
    kid: str
    use: str
    alg: str


class KeySet(BaseModel):
    """A JWK set (RFC 7517)."""

    keys: list[Key]


@keys.get("/.well-known/jwks.json")
@public
@answers(KeySet)
def jwks() -> KeySet:
    """The public keys by which every service verifies access tokens by itself."""
    return KeySet(keys=[Key(**key) for key in use(SigningKeys).published()])


@keys.after_request
def keep_a_while(response: Response) -> Response:
    response.headers["Cache-Control"] = f"public, max-age={_CACHE_SECONDS}"
    return response
