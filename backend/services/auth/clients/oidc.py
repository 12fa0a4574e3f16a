"""OpenID Connect client: authorization URLs, code exchange and ID token verification."""

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
_MAX_RESPONSE_BYTES = 256 * 1024
_MAX_TOKEN_CHARACTERS = 16_384
_MAX_CLAIM_CHARACTERS = 200
_LEEWAY_SECONDS = 30
_DISCOVERY_SECONDS = 3600
_KEYS_SECONDS = 300
# Minimum interval between downloads of the key set for unknown key ids.
_UNKNOWN_KEY_SECONDS = 10
_MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class OidcProviderSettings:
    """Registration of this installation at an OpenID provider.

    Attributes:
        client_secret: None for a public client.
        trust_email: use e-mail addresses that the provider reports as verified.
    """

    name: str
    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    trust_email: bool


@dataclass(frozen=True, slots=True)
class VerifiedIdentity:
    """Identity from a verified ID token. *email* is None unless verified and trusted."""

    issuer: str
    subject: str
    email: str | None
    username: str | None
    display_name: str | None


class OidcProvider:
    """Client of one OpenID provider.

    The discovery document is cached for one hour and the keys for five minutes. Instances are
    thread-safe.
    """

    def __init__(
        self, settings: OidcProviderSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._http = urllib3.PoolManager(retries=False, timeout=_TIMEOUT)
        self._key_lock = threading.Lock()
        self._discovery: tuple[float, Mapping[str, Any]] = (0.0, {})
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._keys_expire_at = self._next_key_download_at = 0.0

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def issuer(self) -> str:
        return self._settings.issuer

    def build_authorization_url(
        self, redirect_uri: str, state: str, nonce: str, verifier: str
    ) -> str:
        """Return the URL of an authorization request with PKCE (RFC 7636).

        Args:
            verifier: PKCE code verifier.

        Raises:
            ProviderUnavailable: the discovery document cannot be loaded.
        """
        params = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": _SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        return str(add_params_to_uri(self._get_endpoint("authorization_endpoint"), params.items()))

    def redeem_code(
        self, code: str, redirect_uri: str, verifier: str, nonce: str
    ) -> VerifiedIdentity:
        """Exchange an authorization code and return the verified identity.

        Raises:
            InvalidIdToken: the provider rejects the code, or the ID token is not valid.
            ProviderUnavailable: the provider does not respond as specified.
        """
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
            # RFC 6749, section 2.3.1: id and secret are form-encoded before they are joined.
            basic_credentials = (
                f"{quote(self._settings.client_id, safe='')}:{quote(secret, safe='')}"
            )
            headers |= urllib3.make_headers(basic_auth=basic_credentials)
        status, document = self._fetch_json(
            "POST", self._get_endpoint("token_endpoint"), urlencode(form).encode(), headers
        )
        if 400 <= status < 500:
            raise InvalidIdToken(
                "The identity provider rejected the authorization code. Sign in again."
            )
        token = document.get("id_token") if status == 200 else None
        if not isinstance(token, str):
            raise ProviderUnavailable(self.name)
        return self.verify_id_token(token, nonce)

    def verify_id_token(self, token: str, nonce: str | None = None) -> VerifiedIdentity:
        """Verify an ID token (OpenID Connect Core 1.0, section 3.1.3.7) and return its identity.

        Args:
            nonce: value that the token must contain; None skips the check.

        Raises:
            InvalidIdToken: the token is not valid.
            ProviderUnavailable: the provider's keys cannot be loaded.
        """
        claims = self._verify_claims(token)
        if nonce is not None and not hmac.compare_digest(
            str(claims.get("nonce", "")).encode(), nonce.encode()
        ):
            raise InvalidIdToken("The nonce of the ID token does not match this sign-in.")
        verified = claims.get("email_verified")  # Some providers send it as a string.
        is_trusted = (verified is True or verified == "true") and self._settings.trust_email
        return VerifiedIdentity(
            issuer=self.issuer,
            subject=str(claims["sub"]),
            email=_get_text(claims, "email") if is_trusted else None,
            username=_get_text(claims, "preferred_username") or _get_text(claims, "email"),
            display_name=_get_text(claims, "name"),
        )

    def _verify_claims(self, token: str) -> Mapping[str, Any]:
        if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii():
            raise InvalidIdToken(
                f"The ID token is not ASCII or longer than {_MAX_TOKEN_CHARACTERS} characters."
            )
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in _ALGORITHMS or "crit" in header:
                raise InvalidIdToken(
                    "The signature algorithm of the ID token is not accepted. Use RS256 or ES256."
                )
            key = self._find_key(header.get("kid"))
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
            raise InvalidIdToken(
                "The ID token is malformed, expired, from another issuer or wrongly signed."
            ) from error
        self._check_audience(claims)
        if not claims["sub"] or len(claims["sub"]) > 255:
            raise InvalidIdToken(
                "The `sub` claim of the ID token is empty or longer than 255 characters."
            )
        return claims

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        """Raise InvalidIdToken unless the token was issued for this client.

        `aud` must contain the client id. `azp` must equal the client id if it is present, if
        there are several audiences, or if `aud` is missing.
        """
        client_id, audience = self._settings.client_id, claims.get("aud")
        authorized_party = claims.get("azp")
        audiences = [audience] if isinstance(audience, str) else audience
        if audiences is None:
            is_valid = authorized_party == client_id
        else:
            is_only_audience = audiences == [client_id]
            is_valid = (
                isinstance(audiences, list)
                and client_id in audiences
                and (authorized_party == client_id or (is_only_audience and not authorized_party))
            )
        if not is_valid:
            raise InvalidIdToken("The ID token was issued for another client.")

    def _find_key(self, kid: object) -> jwt.PyJWK | None:
        if kid is not None and not isinstance(kid, str):
            return None
        with self._key_lock:
            now = self._clock()
            if now >= self._keys_expire_at or (
                kid not in self._keys and now >= self._next_key_download_at
            ):
                self._next_key_download_at = now + _UNKNOWN_KEY_SECONDS
                self._keys = self._download_keys()
                self._keys_expire_at = now + _KEYS_SECONDS
            if kid is None and len(self._keys) == 1:
                return next(iter(self._keys.values()))
            return self._keys.get(kid)

    def _download_keys(self) -> dict[str | None, jwt.PyJWK]:
        status, document = self._fetch_json("GET", self._get_endpoint("jwks_uri"))
        entries = document.get("keys") if status == 200 else None
        if not isinstance(entries, list):
            raise ProviderUnavailable(self.name)
        keys: dict[str | None, jwt.PyJWK] = {}
        for entry in entries:
            key = _parse_jwk(entry)
            if key is not None:
                keys[key.key_id] = key
        return keys

    def _get_endpoint(self, name: str) -> str:
        expires_at, document = self._discovery
        if self._clock() >= expires_at:
            document = self._fetch_discovery()
            self._discovery = (self._clock() + _DISCOVERY_SECONDS, document)
        url = document.get(name)
        # Endpoints of a provider that is reached over TLS must use TLS as well.
        if not isinstance(url, str) or not url.startswith(
            "https://" if self.issuer.startswith("https://") else ("http://", "https://")
        ):
            raise ProviderUnavailable(self.name)
        return url

    def _fetch_discovery(self) -> Mapping[str, Any]:
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        status, document = self._fetch_json("GET", url)
        if status != 200 or document.get("issuer") != self.issuer:
            raise ProviderUnavailable(self.name)
        return document

    def _fetch_json(
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
                raw = response.read(_MAX_RESPONSE_BYTES + 1)
            document = json.loads(raw) if len(raw) <= _MAX_RESPONSE_BYTES else None
        except (urllib3.exceptions.HTTPError, ValueError, RecursionError) as error:
            raise ProviderUnavailable(self.name) from error
        if not isinstance(document, dict):
            raise ProviderUnavailable(self.name)
        return response.status, document


def _parse_jwk(entry: object) -> jwt.PyJWK | None:
    """Parse an entry of a JWK set; return None if the key is not acceptable for verification."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    try:
        key = jwt.PyJWK.from_dict(entry)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < _MIN_RSA_BITS:
        return None
    return key


def _get_text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_CLAIM_CHARACTERS else None
