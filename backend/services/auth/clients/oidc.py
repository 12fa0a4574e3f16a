"""An external identity provider (OpenID Connect): where to send people, whom it vouches for."""

import hmac
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import jwt
import urllib3
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from backend.services.auth.errors import InvalidIdToken, ProviderUnavailable

_ALGORITHMS = {"RS256": "RSA", "ES256": "EC"}
_SCOPE = "openid email profile"
_TIMEOUT = urllib3.Timeout(connect=2.0, read=5.0)
_MAX_ANSWER_BYTES = 256 * 1024
_MAX_TOKEN_CHARACTERS = 16_384
_MAX_NAME = 200
_LEEWAY_SECONDS = 30
_DISCOVERY_SECONDS = 3600
_KEYS_SECONDS = 300
# How soon a key that is not among those known may be looked for again.
_UNKNOWN_KEY_SECONDS = 10
_MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What the operator agreed upon with the provider."""

    name: str
    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    trust_email: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, as a provider knows them. *email* is None unless it may be believed."""

    issuer: str
    subject: str
    email: str | None
    username: str | None
    display_name: str | None


class Provider:
    """One provider. What it publishes is kept for a while; safe to share between threads."""

    def __init__(
        self, settings: ProviderSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._http = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)
        self._fetching = threading.Lock()
        self._discovered: tuple[float, Mapping[str, Any]] = (0.0, {})
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._keys_until = self._next_lookup = 0.0

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def issuer(self) -> str:
        return self._settings.issuer

    def authorization_url(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Where to send a browser that wants to sign in; or ProviderUnavailable."""
        wanted = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": _SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        return str(add_params_to_uri(self._endpoint("authorization_endpoint"), wanted.items()))

    def redeem(self, code: str, redirect_uri: str, verifier: str, nonce: str) -> Identity:
        """Whom *code* stands for. Raises InvalidIdToken or ProviderUnavailable."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": self._settings.client_id,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        secret = self._settings.client_secret
        if secret:
            del form["client_id"]
            # RFC 6749 2.3.1: both are form-encoded before they are joined.
            pair = f"{quote(self._settings.client_id, safe='')}:{quote(secret, safe='')}"
            headers |= urllib3.make_headers(basic_auth=pair)
        status, answer = self._fetch(
            "POST", self._endpoint("token_endpoint"), urlencode(form).encode(), headers
        )
        if 400 <= status < 500:
            raise InvalidIdToken("The provider does not accept the code; sign in again.")
        token = answer.get("id_token") if status == 200 else None
        if not isinstance(token, str):
            raise ProviderUnavailable(self.name)
        return self.identity(token, nonce)

    def identity(self, token: str, nonce: str | None = None) -> Identity:
        """Whom *token* vouches for. Raises InvalidIdToken or ProviderUnavailable."""
        claims = self._verified(token)
        if nonce is not None and not hmac.compare_digest(
            str(claims.get("nonce", "")).encode(), nonce.encode()
        ):
            raise InvalidIdToken("The ID token belongs to another sign-in.")
        verified = claims.get("email_verified")  # some providers write it as a text
        proven = (verified is True or verified == "true") and self._settings.trust_email
        return Identity(
            issuer=self.issuer,
            subject=str(claims["sub"]),
            email=_text(claims, "email") if proven else None,
            username=_text(claims, "preferred_username") or _text(claims, "email"),
            display_name=_text(claims, "name"),
        )

    def _verified(self, token: str) -> Mapping[str, Any]:
        if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii():
            raise InvalidIdToken("The ID token is too long or not ASCII.")
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in _ALGORITHMS or "crit" in header:
                raise InvalidIdToken("The ID token is signed in a way that is not accepted.")
            key = self._key(header.get("kid"))
            if key is None or key.key_type != _ALGORITHMS[algorithm]:
                raise InvalidIdToken("The ID token is signed with an unknown key.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["iss", "sub", "exp", "iat"], "verify_aud": False},
            )
        except jwt.PyJWTError as error:
            raise InvalidIdToken("The ID token is not valid here.") from error
        self._check_audience(claims)
        if not claims["sub"] or len(claims["sub"]) > 255:
            raise InvalidIdToken("The ID token names nobody.")
        return claims

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        """It was made for us: `aud` names us, and `azp` too where there is one or it must be."""
        us, audience, party = self._settings.client_id, claims.get("aud"), claims.get("azp")
        named = [audience] if isinstance(audience, str) else audience
        if named is None:
            good = party == us
        else:
            alone = named == [us]
            good = (
                isinstance(named, list) and us in named and (party == us or (alone and not party))
            )
        if not good:
            raise InvalidIdToken("The ID token was made for somebody else.")

    def _key(self, kid: object) -> jwt.PyJWK | None:
        if kid is not None and not isinstance(kid, str):
            return None
        with self._fetching:
            now = self._clock()
            if now >= self._keys_until or (kid not in self._keys and now >= self._next_lookup):
                self._next_lookup = now + _UNKNOWN_KEY_SECONDS
                self._keys = self._download_keys()
                self._keys_until = now + _KEYS_SECONDS
            if kid is None and len(self._keys) == 1:
                return next(iter(self._keys.values()))
            return self._keys.get(kid)

    def _download_keys(self) -> dict[str | None, jwt.PyJWK]:
        status, document = self._fetch("GET", self._endpoint("jwks_uri"))
        entries = document.get("keys") if status == 200 else None
        if not isinstance(entries, list):
            raise ProviderUnavailable(self.name)
        keys: dict[str | None, jwt.PyJWK] = {}
        for entry in entries:
            key = _public_key(entry)
            if key is not None:
                keys[key.key_id] = key
        return keys

    def _endpoint(self, name: str) -> str:
        until, document = self._discovered
        if self._clock() >= until:
            document = self._discover()
            self._discovered = (self._clock() + _DISCOVERY_SECONDS, document)
        url = document.get(name)
        # What a provider publishes over TLS must not lead away from it.
        if not isinstance(url, str) or not url.startswith(
            "https://" if self.issuer.startswith("https://") else ("http://", "https://")
        ):
            raise ProviderUnavailable(self.name)
        return url

    def _discover(self) -> Mapping[str, Any]:
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        status, document = self._fetch("GET", url)
        if status != 200 or document.get("issuer") != self.issuer:
            raise ProviderUnavailable(self.name)
        return document

    def _fetch(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, dict[str, Any]]:
        try:
            response = self._http.request(
                method,
                url,
                body=body,
                headers={"Accept": "application/json", **headers},
                redirect=False,
                preload_content=False,
            )
            with response:
                raw = response.read(_MAX_ANSWER_BYTES + 1)
            answer = json.loads(raw) if len(raw) <= _MAX_ANSWER_BYTES else None
        except (urllib3.exceptions.HTTPError, ValueError, RecursionError) as error:
            raise ProviderUnavailable(self.name) from error
        if not isinstance(answer, dict):
            raise ProviderUnavailable(self.name)
        return response.status, answer


def _public_key(entry: object) -> jwt.PyJWK | None:
    """*entry* of a JWK set, or None where it is no key that we would verify with."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    try:
        key = jwt.PyJWK.from_dict(entry)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < _MIN_RSA_BITS:
        return None
    return key


def _text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_NAME else None
