"""Who is asking: from the headers of a request to a Principal."""

import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import urllib3
from flask import Flask, current_app, g, request

from backend.security.http_errors import (
    Refusal,
    forbidden,
    request_id,
    unauthenticated,
    unavailable,
)
from backend.security.permissions import ON_BEHALF
from backend.security.redis import connect
from backend.security.revocation import (
    LocalRevocations,
    Revocations,
    SharedRevocations,
    Standing,
    Verdict,
)
from backend.security.service_tokens import HEADER, ServiceTokens
from backend.security.settings import SecuritySettings
from backend.security.tokens import (
    Claims,
    InvalidToken,
    KeysUnavailable,
    Membership,
    RemoteKeys,
    TokenVerifier,
)

API_KEY_PREFIX = "aas_"
_MAX_API_KEY_CHARACTERS = 128
_KEY_TOKEN_SECONDS = 30.0
_BAD_KEY_SECONDS = 2.0
_KEY_CACHE_ENTRIES = 4096
# While the revocation server is away, a session seen good this recently may read.
_GRACE_SECONDS = 30.0
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_EXTENSION = "backend.security"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, in which tenant, and what they may do there."""

    user_id: str
    tenant_id: str
    session_id: str
    permissions: frozenset[str]
    standing: Standing
    expires_at: float = math.inf
    """When what proved it expires, in seconds since the epoch."""

    @property
    def by_api_key(self) -> bool:
        return self.session_id.startswith("key:")


class ApiKeys(Protocol):
    """Turns an API key into an access token that says what the key may do."""

    def access_token(self, key: str) -> str:
        """The token, or InvalidToken; KeysUnavailable if nobody can say."""

    def forget(self, key: str) -> None:
        """Do not give the token that was given for *key* a second time."""


class RemoteApiKeys:
    """API keys are exchanged at the auth service; the token is kept for half a minute."""

    def __init__(self, auth_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = f"{auth_url}/api-keys/exchange"
        self._clock = clock
        self._http = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=0.5, read=2.0)
        )
        self._known: dict[bytes, tuple[float, str | None]] = {}

    def access_token(self, key: str) -> str:
        digest = hashlib.sha256(key.encode()).digest()
        known = self._known.get(digest)
        if known is None or self._clock() >= known[0]:
            token = self._exchange(key)
            until = self._clock() + (_KEY_TOKEN_SECONDS if token else _BAD_KEY_SECONDS)
            if len(self._known) >= _KEY_CACHE_ENTRIES:
                self._known.clear()
            self._known[digest] = known = (until, token)
        if known[1] is None:
            raise InvalidToken("The API key is unknown, expired or was deleted.")
        return known[1]

    def forget(self, key: str) -> None:
        self._known.pop(hashlib.sha256(key.encode()).digest(), None)

    def _exchange(self, key: str) -> str | None:
        try:
            answer = self._http.request(
                "POST", self._url, json={"key": key}, headers={"X-Request-ID": request_id()}
            )
            if answer.status == 200:
                return str(answer.json()["access_token"])
        except (urllib3.exceptions.HTTPError, ValueError, KeyError) as error:
            raise KeysUnavailable from error
        if answer.status in (400, 401, 422):
            return None
        raise KeysUnavailable


@dataclass(frozen=True, slots=True)
class Security:
    """What an app decides with; made from the environment unless the app brings its own."""

    tokens: TokenVerifier
    api_keys: ApiKeys
    revocations: Revocations
    seen: dict[str, float]
    services: ServiceTokens | None = None

    @classmethod
    def from_settings(cls, settings: SecuritySettings, service: str) -> "Security":
        keys = RemoteKeys(f"{settings.auth_url}/.well-known/jwks.json")
        return cls(
            tokens=TokenVerifier(keys, settings.issuer, settings.audience),
            api_keys=RemoteApiKeys(settings.auth_url),
            revocations=open_revocations(settings.redis_url),
            seen={},
            services=open_services(settings, service),
        )


def open_revocations(redis_url: str | None) -> Revocations:
    """Shared through *redis_url*, or within this process where there is none."""
    return SharedRevocations(connect(redis_url)) if redis_url else LocalRevocations()


def open_services(settings: SecuritySettings, service: str) -> ServiceTokens | None:
    """How *service* knows the others; None where nothing is shared with them."""
    secret = settings.service_secret
    return ServiceTokens(secret, service) if secret else None


def use_security(app: Flask, security: Security) -> None:
    """Let *app* decide with *security* instead of what the environment names."""
    app.extensions[_EXTENSION] = security


_creating = threading.Lock()


def security_of(app: Flask) -> Security:
    """What *app* decides with."""
    extensions = app.extensions
    if _EXTENSION not in extensions:
        with _creating:
            if _EXTENSION not in extensions:
                extensions[_EXTENSION] = Security.from_settings(
                    SecuritySettings.from_env(), app.name
                )
    security: Security = extensions[_EXTENSION]
    return security


def follows_revocations(app: Flask) -> bool | None:
    """Whether *app* hears what is revoked; None where it has not been asked to, or need not."""
    security = app.extensions.get(_EXTENSION)
    return getattr(security and security.revocations, "follows", None)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request carries to say who makes it, and for which tenant."""

    authorization: str = ""
    api_key: str = ""
    tenant: str | None = None


def authenticate() -> Principal:
    """Who makes the request in hand; a Refusal (401, 403 or 503) if that can't be said."""
    if "principal" not in g:
        security = security_of(current_app)
        carried = Credentials(
            request.headers.get("Authorization", ""),
            request.headers.get("X-API-Key", ""),
            request.headers.get("X-Tenant-ID"),
        )
        principal = identify(security, carried)
        if service := calling_service():
            allowed = principal.permissions & ON_BEHALF[service]
            principal = replace(principal, permissions=allowed)
        _check_standing(security, principal.standing, reading=request.method in _READING)
        g.principal = principal
    known: Principal = g.principal
    return known


def calling_service() -> str | None:
    """The service that makes the request in hand, None for a caller from outside; or 401."""
    token = request.headers.get(HEADER)
    if token is None:
        return None
    services = security_of(current_app).services
    if services is None:
        raise unauthenticated("invalid_service_token", "This service knows no others.")
    try:
        return services.caller(token)
    except InvalidToken as error:
        raise unauthenticated("invalid_service_token", str(error)) from error


def identify(security: Security, carried: Credentials) -> Principal:
    """Whom *carried* proves, or a Refusal. Whether the session still stands is not asked."""
    key = _api_key(carried)
    if key is None:
        return _principal(security, _access_token(carried), carried.tenant)
    principal = _principal(security, _exchanged(security, key), carried.tenant)
    if security.revocations.verdict(principal.standing) is Verdict.REVOKED:
        # Perhaps only its owner's rights have changed since it was exchanged.
        security.api_keys.forget(key)
        principal = _principal(security, _exchanged(security, key), carried.tenant)
    return principal


def _principal(security: Security, token: str, tenant: str | None) -> Principal:
    claims = _verified(security, token)
    membership = claims.membership(tenant)
    if membership is None:
        raise forbidden("not_a_member", "You are not a member of the tenant in X-Tenant-ID.")
    return Principal(
        user_id=claims.user_id,
        tenant_id=membership.tenant_id,
        session_id=claims.session_id,
        permissions=membership.scope,
        standing=_standing(claims, membership),
        expires_at=claims.expires_at,
    )


def current_principal() -> Principal:
    """Who the guard let in; RuntimeError in a view that is `@public`."""
    principal: Principal | None = g.get("principal")
    if principal is None:
        raise RuntimeError("current_principal() needs @require_permission on the view.")
    return principal


def ensure_standing(principal: Principal) -> None:
    """Refuse a caller whose session has ended since; for streams, jobs and sockets."""
    _check_standing(security_of(current_app), principal.standing, reading=True)


def caller_headers() -> dict[str, str]:
    """The headers by which another service knows the caller of the request in hand."""
    carried = ("Authorization", "X-API-Key", "X-Tenant-ID", "traceparent")
    headers = {name: request.headers[name] for name in carried if name in request.headers}
    return headers | {"X-Request-ID": request_id()}


def _api_key(carried: Credentials) -> str | None:
    """The API key in *carried*: in its own header, or as a Bearer, as OpenAI's clients send it."""
    scheme, _, credential = carried.authorization.partition(" ")
    credential = credential.strip()
    if scheme.lower() == "bearer" and credential.startswith(API_KEY_PREFIX):
        return credential
    return carried.api_key if carried.api_key and not credential else None


def _access_token(carried: Credentials) -> str:
    scheme, _, credential = carried.authorization.partition(" ")
    if not scheme:
        raise unauthenticated(
            "not_authenticated",
            "Send an access token as 'Authorization: Bearer …' or a key as 'X-API-Key'.",
        )
    if scheme.lower() != "bearer":
        raise unauthenticated("not_authenticated", "The only scheme understood is Bearer.")
    return credential.strip()


def _exchanged(security: Security, key: str) -> str:
    if len(key) > _MAX_API_KEY_CHARACTERS or not key.isascii():
        raise unauthenticated("invalid_api_key", "The API key is malformed.")
    try:
        return security.api_keys.access_token(key)
    except InvalidToken as error:
        raise unauthenticated("invalid_api_key", str(error)) from error
    except KeysUnavailable as error:
        raise unavailable("auth_unavailable", "The auth service does not answer.") from error


def _verified(security: Security, token: str) -> Claims:
    try:
        return security.tokens.verify(token)
    except InvalidToken as error:
        raise unauthenticated("invalid_token", str(error)) from error
    except KeysUnavailable as error:
        raise unavailable("auth_unavailable", "The auth service does not answer.") from error


def _standing(claims: Claims, membership: Membership) -> Standing:
    return Standing(
        session_id=claims.session_id,
        user_id=claims.user_id,
        user_generation=claims.generation,
        tenant_id=membership.tenant_id,
        tenant_generation=membership.generation,
    )


def _check_standing(security: Security, standing: Standing, *, reading: bool) -> None:
    verdict = security.revocations.verdict(standing)
    now = time.monotonic()
    if verdict is Verdict.GOOD:
        if len(security.seen) > _KEY_CACHE_ENTRIES:
            security.seen.clear()
        security.seen[standing.session_id] = now
    elif verdict is Verdict.REVOKED:
        security.seen.pop(standing.session_id, None)
        raise unauthenticated("session_ended", "This session has ended; sign in again.")
    elif (
        not reading
        or now - security.seen.get(standing.session_id, -_GRACE_SECONDS) >= _GRACE_SECONDS
    ):
        raise unavailable(
            "revocations_unavailable",
            "Whether this session still stands can't be told right now; try again.",
        )


def refuse_unless(principal: Principal, permission: str) -> None:
    """403 unless *principal* has *permission*."""
    if permission not in principal.permissions:
        raise Refusal(
            403,
            "permission_denied",
            "Not allowed",
            f"This needs the permission {permission}, which you do not have here.",
        )
