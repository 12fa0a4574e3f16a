"""Service tokens: authenticate the calling service, in addition to the user it acts for.

Each service signs with an Ed25519 key derived from SECRET_KEY and its name; a token is valid for
one callee and for one minute (docs/adr/0005). Requests from outside have no service token: the
gateway removes the header.
"""

import threading
import time
from collections.abc import Callable, Container
from functools import lru_cache
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.security.base64url import is_compact_token
from backend.security.permissions import DELEGATED_PERMISSIONS
from backend.security.tokens import ALGORITHM, LEEWAY_SECONDS, InvalidToken, signing_key

HEADER = "X-Service-Token"
# Proves that the gateway wrote X-Forwarded-For. The request is still the client's, so this is not
# a service token: it must not give access to internal routes.
GATEWAY_HEADER = "X-Internal-Gateway"
_GATEWAY = "gateway"
LIFETIME_SECONDS = 60
_TYPE = "service+jwt"
_MAX_CHARACTERS = 1024
_TOKEN_CACHE_SECONDS = 1.0
_REQUIRED = ("iss", "aud", "exp", "iat", "nbf", "jti")


class ServiceTokens:
    """Sign tokens as the service *name* and verify tokens that were sent to it.

    Args:
        secret: SECRET_KEY of the suite.
        name: full name of this service, for example `agent-service`.
        clock: returns the seconds since the epoch.
    """

    def __init__(self, secret: str, name: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._name = name
        self._clock = clock
        self._signed: dict[str, tuple[float, str]] = {}
        self._signing = threading.Lock()
        self._gateway_token: tuple[str, float] = ("", 0.0)
        self._caller_token: tuple[str, str, float] = ("", "", 0.0)

    def get_token(self, callee: str) -> str:
        """Return a token for *callee*. A token is reused for half of its lifetime."""
        now = self._clock()
        with self._signing:
            until, token = self._signed.get(callee, (0.0, ""))
            if now >= until:
                token = self._sign(callee, int(now))
                self._signed[callee] = (now + LIFETIME_SECONDS / 2, token)
            return token

    def verify_caller(self, token: str) -> str:
        """Return the name of the service that signed *token* for this service.

        Raises:
            InvalidToken: the token is malformed, expired or not signed by a known service.
        """
        # A request needs the caller twice, and services send the same token with many requests.
        accepted_token, caller, until = self._caller_token
        now = self._clock()
        if token and token == accepted_token and now < until:
            return caller
        caller = self._verify(token, DELEGATED_PERMISSIONS)
        self._caller_token = (token, caller, now + _TOKEN_CACHE_SECONDS)
        return caller

    def is_from_gateway(self, token: str) -> bool:
        """Return True if the gateway signed *token* for this service."""
        # The gateway sends the same token with many requests: verify it once a second.
        accepted_token, until = self._gateway_token
        now = self._clock()
        if token and token == accepted_token and now < until:
            return True
        try:
            self._verify(token, (_GATEWAY,))
        except InvalidToken:
            return False
        self._gateway_token = (token, now + _TOKEN_CACHE_SECONDS)
        return True

    def _verify(self, token: str, allowed_callers: Container[str]) -> str:
        if len(token) > _MAX_CHARACTERS or not is_compact_token(token):
            raise InvalidToken("The service token is too long or malformed.")
        try:
            header = jwt.get_unverified_header(token)
            caller = jwt.decode(token, options={"verify_signature": False}).get("iss")
            if header.get("alg") != ALGORITHM or header.get("typ") != _TYPE or "crit" in header:
                raise InvalidToken("The token is not a service token.")
            # Check the name before deriving its key: made-up names must not cost a derivation.
            if caller not in allowed_callers:
                raise InvalidToken("The issuer is not a service that may call others.")
            claims = jwt.decode(
                token,
                _key(self._secret, caller).public_key(),
                algorithms=[ALGORITHM],
                audience=self._name,
                issuer=caller,
                leeway=LEEWAY_SECONDS,
                options={"require": list(_REQUIRED), "strict_aud": True},
            )
            if claims["exp"] - claims["iat"] > LIFETIME_SECONDS:
                raise InvalidToken("The lifetime of the service token is too long.")
        # TypeError: a claim has another type. PyJWT also accepts times that are texts of digits.
        except (jwt.InvalidTokenError, TypeError, OverflowError) as error:
            raise InvalidToken("The service token is not valid here.") from error
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
