"""Which service calls: a token of its own, beside that of the user it calls for.

Each service signs with an Ed25519 key that follows from SECRET_KEY and its name, for
one callee and for a minute (docs/adr/0005). Requests from outside carry none: the
gateway drops the header.
"""

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.security.permissions import ON_BEHALF
from backend.security.tokens import ALGORITHM, LEEWAY_SECONDS, InvalidToken, signing_key

HEADER = "X-Service-Token"
LIFETIME_SECONDS = 60
_TYPE = "service+jwt"
_MAX_CHARACTERS = 1024
_REQUIRED = ("iss", "aud", "exp", "iat", "nbf", "jti")


class ServiceTokens:
    """Signs as the service *name*, and tells who signed what came for it."""

    def __init__(self, secret: str, name: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._name = name
        self._clock = clock
        self._signed: dict[str, tuple[float, str]] = {}
        self._signing = threading.Lock()

    def sign(self, callee: str) -> str:
        """A token for *callee*; the same one for half of its life."""
        now = self._clock()
        with self._signing:
            until, token = self._signed.get(callee, (0.0, ""))
            if now >= until:
                token = self._sign(callee, int(now))
                self._signed[callee] = (now + LIFETIME_SECONDS / 2, token)
            return token

    def caller(self, token: str) -> str:
        """The service that signed *token* for this one; InvalidToken if none did."""
        if len(token) > _MAX_CHARACTERS or not token.isascii():
            raise InvalidToken("The service token is too long or not ASCII.")
        try:
            header = jwt.get_unverified_header(token)
            caller = jwt.decode(token, options={"verify_signature": False}).get("iss")
            if header.get("alg") != ALGORITHM or header.get("typ") != _TYPE or "crit" in header:
                raise InvalidToken("This is no service token.")
            # Only names on the list have keys: no key is made for a made-up one.
            if caller not in ON_BEHALF:
                raise InvalidToken("No service of that name calls others.")
            claims = jwt.decode(
                token,
                _key(self._secret, caller).public_key(),
                algorithms=[ALGORITHM],
                audience=self._name,
                issuer=caller,
                leeway=LEEWAY_SECONDS,
                options={"require": list(_REQUIRED), "strict_aud": True},
            )
        except (jwt.InvalidTokenError, TypeError) as error:
            raise InvalidToken("The service token is not valid here.") from error
        if claims["exp"] - claims["iat"] > LIFETIME_SECONDS:
            raise InvalidToken("The service token is meant to last too long.")
        return str(caller)

    def _sign(self, callee: str, now: int) -> str:
        claims = {"iss": self._name, "aud": callee, "iat": now, "nbf": now, "jti": uuid4().hex}
        return jwt.encode(
            claims | {"exp": now + LIFETIME_SECONDS},
            _key(self._secret, self._name),
            algorithm=ALGORITHM,
            headers={"typ": _TYPE},
        )


@lru_cache(maxsize=64)
def _key(secret: str, name: str) -> Ed25519PrivateKey:
    return signing_key(secret, f"service/{name}")
