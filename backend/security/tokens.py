"""Access tokens (RFC 9068, signed with EdDSA): derive and publish keys, verify tokens.

The auth service issues tokens; every service verifies the tokens that it receives.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
import urllib3
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backend.security.base64url import decode_base64url, encode_base64url, is_compact_token
from backend.security.expiring_cache import ExpiringCache
from backend.security.key_derivation import derive_key

ALGORITHM = "EdDSA"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - the media type of RFC 9068, no secret
MAX_TOKEN_BYTES = 4096
LEEWAY_SECONDS = 5

_REQUIRED = ("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "sid", "tid", "gen", "scope")
_REFRESH_SECONDS = 300
_UNKNOWN_KEY_SECONDS = 10
_FETCH_TIMEOUT = urllib3.Timeout(connect=0.5, read=1.0)
_MAX_JWKS_BYTES = 65_536
# Largest integer that every JSON implementation represents exactly (RFC 8259, section 6).
_MAX_INTEGER = 2**53 - 1
_CACHE_SECONDS = 60
_CACHE_ENTRIES = 8192


class InvalidToken(Exception):
    """The token is not valid. The message gives the reason without quoting the token."""


class KeysUnavailable(Exception):
    """The auth service does not respond, so that a token or API key cannot be verified."""


class KeySource(Protocol):
    """Source of the public keys that verify signatures."""

    def find_key(self, kid: str) -> Ed25519PublicKey | None: ...


@dataclass(frozen=True, slots=True)
class Membership:
    """The permissions that a token grants in one tenant."""

    tenant_id: str
    slug: str
    generation: int
    scope: frozenset[str]


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified access token."""

    user_id: str
    session_id: str
    token_id: str
    generation: int
    expires_at: float
    default_tenant: str
    memberships: tuple[Membership, ...]
    actor: str | None = None
    """Service that acts for the user with a delegated token (`act` of RFC 8693, section 4.1)."""

    def get_membership(self, tenant: str | None) -> Membership | None:
        """Return the membership in *tenant* (id or slug), or in the default tenant for None."""
        requested = tenant or self.default_tenant
        for membership in self.memberships:
            if requested in (membership.tenant_id, membership.slug):
                return membership
        return None


def signing_key(secret: str, purpose: str = "access-token") -> Ed25519PrivateKey:
    """Derive an Ed25519 key from *secret* with HKDF (RFC 5869).

    Derived instead of stored, so that several auth instances with one secret use the same key.
    """
    return Ed25519PrivateKey.from_private_bytes(derive_key(secret, purpose))


def public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    """Return *key* as a JWK (RFC 8037) whose `kid` is its thumbprint (RFC 7638)."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    core = {"crv": "Ed25519", "kty": "OKP", "x": encode_base64url(raw)}
    digest = hashlib.sha256(json.dumps(core, separators=(",", ":"), sort_keys=True).encode())
    return core | {"kid": encode_base64url(digest.digest()), "use": "sig", "alg": ALGORITHM}


class RemoteKeys:
    """Public keys published by the auth service, cached in memory.

    They are refreshed in the background; while auth does not respond the cached keys stay valid.
    With keys in the cache, an unknown `kid` causes at most one request in 10 seconds, so that
    forged tokens do not cause one each.

    Args:
        url: URL of the JWKS document.
        clock: returns monotonic seconds.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._http = urllib3.PoolManager(retries=False, timeout=_FETCH_TIMEOUT)
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._next_refresh = 0.0
        self._next_lookup = 0.0
        self._fetching = threading.Lock()

    def find_key(self, kid: str) -> Ed25519PublicKey | None:
        now = self._clock()
        if self._keys and now >= self._next_refresh and not self._fetching.locked():
            self._next_refresh = now + _UNKNOWN_KEY_SECONDS
            threading.Thread(target=self._refresh, name="jwks", daemon=True).start()
        key = self._keys.get(kid)
        if key is None and now >= self._next_lookup:
            with self._fetching:
                if kid not in self._keys and self._clock() >= self._next_lookup:
                    self._load()
            key = self._keys.get(kid)
        if not self._keys:
            raise KeysUnavailable
        return key

    def _refresh(self) -> None:
        with self._fetching:
            self._load()

    def _load(self) -> None:
        now = self._clock()
        try:
            keys = self._download()
        # An invalid response must not stop verification with the cached keys.
        except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError, RecursionError):
            self._next_lookup = now + (_UNKNOWN_KEY_SECONDS if self._keys else 0.2)
            return
        self._keys = keys
        self._next_refresh = now + _REFRESH_SECONDS
        self._next_lookup = now + _UNKNOWN_KEY_SECONDS

    def _download(self) -> dict[str, Ed25519PublicKey]:
        response = self._http.request("GET", self._url, preload_content=False)
        try:
            if response.status != 200:
                raise ValueError(f"the JWKS URL returned status {response.status}")
            document = json.loads(response.read(_MAX_JWKS_BYTES))
        finally:
            response.close()
        return {
            entry["kid"]: Ed25519PublicKey.from_public_bytes(decode_base64url(entry["x"]))
            for entry in document["keys"]
            if entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519"
        }


class TokenVerifier:
    """Verify access tokens. Valid tokens are cached by their hash for up to a minute.

    Args:
        clock: returns the seconds since the epoch.
    """

    def __init__(
        self,
        keys: KeySource,
        issuer: str,
        audience: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._cache: ExpiringCache[bytes, Claims] = ExpiringCache(_CACHE_ENTRIES, clock)

    def verify(self, token: str) -> Claims:
        """Return the claims of *token*.

        Raises:
            InvalidToken: the token is malformed, expired or not signed by auth.
            KeysUnavailable: the auth service has not responded yet.
        """
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            raise InvalidToken("The token is too long or not ASCII.")
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._cache.get(digest)
        if claims is None:
            now = self._clock()
            claims = _claims(self._decode(token))
            # Limits how long a token is accepted after auth has withdrawn its key.
            self._cache.set(digest, claims, min(claims.expires_at, now + _CACHE_SECONDS))
        return claims

    def _decode(self, token: str) -> Mapping[str, Any]:
        # Check the header first: key references in it (`jku`, `jwk`, `x5u`) are ignored and only
        # one algorithm is accepted, which prevents algorithm confusion (RFC 8725).
        if not is_compact_token(token):
            raise InvalidToken("The token is malformed. Log in to get an access token.")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise InvalidToken("The token is malformed. Log in to get an access token.") from error
        kid = header.get("kid")
        if header.get("alg") != ALGORITHM or _media_type(header.get("typ")) != TOKEN_TYPE:
            raise InvalidToken("The token is not an access token of this system.")
        if "crit" in header or not isinstance(kid, str):
            raise InvalidToken("The header of the token was not issued by this system.")
        key = self._keys.find_key(kid)
        if key is None:
            raise InvalidToken("The token is signed with an unknown key.")
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": list(_REQUIRED), "strict_aud": True},
            )
        except jwt.ExpiredSignatureError as error:
            raise InvalidToken("The token has expired; refresh it or sign in again.") from error
        # OverflowError: a time claim has hundreds of digits.
        except (jwt.InvalidTokenError, OverflowError) as error:
            raise InvalidToken("The token is not valid here.") from error


def _media_type(value: object) -> str:
    return value.lower().removeprefix("application/") if isinstance(value, str) else ""


def _claims(payload: Mapping[str, Any]) -> Claims:
    """Convert *payload* to `Claims`.

    Raises:
        InvalidToken: a claim has the wrong type or is out of range.
    """
    try:
        default = Membership(
            tenant_id=_text(payload["tid"]),
            slug=_text(payload.get("tslug", "")),
            generation=_integer(payload.get("tgen", 0)),
            scope=frozenset(_text(payload["scope"]).split()),
        )
        others = [
            Membership(_text(tenant), _text(slug), _integer(gen), frozenset(_text(scope).split()))
            for tenant, slug, gen, scope in payload.get("tenants", [])
        ]
        return Claims(
            user_id=_text(payload["sub"]),
            session_id=_text(payload["sid"]),
            token_id=_text(payload["jti"]),
            generation=_integer(payload["gen"]),
            expires_at=float(_integer(payload["exp"])),
            default_tenant=default.tenant_id,
            memberships=(default, *others),
            actor=_text(payload["act"]["sub"]) if "act" in payload else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidToken("A claim of the token has the wrong type.") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value))
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(type(value))
    if abs(value) > _MAX_INTEGER:
        raise ValueError("out of range")
    return value
