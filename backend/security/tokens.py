"""Access tokens (RFC 9068, EdDSA): derive the keys, publish them, verify a token.

The auth service issues; everyone verifies where the token arrives.
"""

import base64
import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
import urllib3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALGORITHM = "EdDSA"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - the media type of RFC 9068, no secret
MAX_TOKEN_BYTES = 4096
LEEWAY_SECONDS = 5

_REQUIRED = ("iss", "sub", "aud", "exp", "iat", "nbf", "jti", "sid", "tid", "gen", "scope")
_REFRESH_SECONDS = 300
_UNKNOWN_KEY_SECONDS = 10
_FETCH_TIMEOUT = urllib3.Timeout(connect=0.5, read=1.0)
_MAX_JWKS_BYTES = 65_536
_CACHE_SECONDS = 60
_CACHE_ENTRIES = 8192


class InvalidToken(Exception):
    """The token proves nothing; the message says why, without quoting it."""


class KeysUnavailable(Exception):
    """No public key could be had yet: the auth service has not answered once."""


class KeySource(Protocol):
    """Where the public keys come from that verify a signature."""

    def find(self, kid: str) -> Ed25519PublicKey | None: ...


@dataclass(frozen=True, slots=True)
class Membership:
    """What a token grants in one tenant."""

    tenant_id: str
    slug: str
    generation: int
    scope: frozenset[str]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified access token says."""

    user_id: str
    session_id: str
    token_id: str
    generation: int
    expires_at: float
    default_tenant: str
    memberships: tuple[Membership, ...]

    def membership(self, tenant: str | None) -> Membership | None:
        """The membership in *tenant* (id or slug), the default one for None."""
        wanted = tenant or self.default_tenant
        for membership in self.memberships:
            if wanted in (membership.tenant_id, membership.slug):
                return membership
        return None


def signing_key(secret: str, purpose: str = "access-token") -> Ed25519PrivateKey:
    """The Ed25519 key that *secret* stands for (HKDF, RFC 5869).

    Derived, not stored, so that several auth instances with one secret agree.
    """
    seed = HKDF(
        algorithm=hashes.SHA256(), length=32, salt=None, info=f"ai-agent-system/{purpose}".encode()
    ).derive(secret.encode())
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    """*key* as a JWK (RFC 8037), its `kid` the thumbprint of RFC 7638."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    core = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
    digest = hashlib.sha256(json.dumps(core, separators=(",", ":"), sort_keys=True).encode())
    return core | {"kid": _base64url(digest.digest()), "use": "sig", "alg": ALGORITHM}


class LocalKeys:
    """The keys of the one who signs: no request is needed to know them."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        self._keys = {public_jwk(key)["kid"]: key for key in keys}

    def find(self, kid: str) -> Ed25519PublicKey | None:
        return self._keys.get(kid)


class RemoteKeys:
    """The auth service's published keys, kept in memory.

    They are fetched again in the background; while auth is away the old ones
    go on being good. An unknown `kid` asks once, and then not again for a while,
    so that forged ones cost no requests.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._http = urllib3.PoolManager(retries=False, timeout=_FETCH_TIMEOUT)
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._next_refresh = 0.0
        self._next_lookup = 0.0
        self._fetching = threading.Lock()

    def find(self, kid: str) -> Ed25519PublicKey | None:
        now = self._clock()
        if self._keys and now >= self._next_refresh and not self._fetching.locked():
            self._next_refresh = now + _UNKNOWN_KEY_SECONDS
            threading.Thread(target=self._fetch, name="jwks", daemon=True).start()
        key = self._keys.get(kid)
        if key is None and now >= self._next_lookup:
            with self._fetching:
                if kid not in self._keys and self._clock() >= self._next_lookup:
                    self._load()
            key = self._keys.get(kid)
        if not self._keys:
            raise KeysUnavailable
        return key

    def _fetch(self) -> None:
        with self._fetching:
            self._load()

    def _load(self) -> None:
        now = self._clock()
        try:
            keys = self._download()
        # Whatever was sent is no reason to stop verifying with the keys at hand.
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
                raise ValueError(f"JWKS answered {response.status}")
            document = json.loads(response.read(_MAX_JWKS_BYTES))
        finally:
            response.close()
        return {
            entry["kid"]: Ed25519PublicKey.from_public_bytes(_base64url_decode(entry["x"]))
            for entry in document["keys"]
            if entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519"
        }


class TokenVerifier:
    """Verify access tokens; a token that was good is remembered by its hash for a while."""

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
        self._known: OrderedDict[bytes, tuple[float, Claims]] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, token: str) -> Claims:
        """What *token* says, or InvalidToken; KeysUnavailable if auth never answered."""
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            raise InvalidToken("The token is too long or not ASCII.")
        digest = hashlib.sha256(token.encode()).digest()
        now = self._clock()
        known = self._known.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        claims = _claims(self._decode(token))
        with self._lock:
            # A key that auth has withdrawn is believed no longer than this.
            until = min(claims.expires_at, now + _CACHE_SECONDS)
            self._known[digest] = (until, claims)
            self._known.move_to_end(digest)
            while len(self._known) > _CACHE_ENTRIES:
                self._known.popitem(last=False)
        return claims

    def _decode(self, token: str) -> Mapping[str, Any]:
        # Header first: nothing of it is followed (`jku`, `jwk`, `x5u`), and only
        # one algorithm is ever tried, so none can be confused with another.
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise InvalidToken("The token is malformed.") from error
        kid = header.get("kid")
        if header.get("alg") != ALGORITHM or _media_type(header.get("typ")) != TOKEN_TYPE:
            raise InvalidToken("The token is not an access token of this system.")
        if "crit" in header or not isinstance(kid, str):
            raise InvalidToken("The token's header is not one this system issues.")
        key = self._keys.find(kid)
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
        except jwt.InvalidTokenError as error:
            raise InvalidToken("The token is not valid here.") from error


def _media_type(value: object) -> str:
    return value.lower().removeprefix("application/") if isinstance(value, str) else ""


def _claims(payload: Mapping[str, Any]) -> Claims:
    """A typed view of *payload*; InvalidToken where a claim has another type."""
    try:
        default = Membership(
            tenant_id=_text(payload["tid"]),
            slug=_text(payload.get("tslug", "")),
            generation=_whole(payload.get("tgen", 0)),
            scope=frozenset(_text(payload["scope"]).split()),
        )
        others = [
            Membership(_text(tenant), _text(slug), _whole(gen), frozenset(_text(scope).split()))
            for tenant, slug, gen, scope in payload.get("tenants", [])
        ]
        return Claims(
            user_id=_text(payload["sub"]),
            session_id=_text(payload["sid"]),
            token_id=_text(payload["jti"]),
            generation=_whole(payload["gen"]),
            expires_at=float(_whole(payload["exp"])),
            default_tenant=default.tenant_id,
            memberships=(default, *others),
        )
    except (TypeError, ValueError) as error:
        raise InvalidToken("A claim of the token has the wrong type.") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value))
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(type(value))
    return value


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _base64url_decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
