"""Authentication: from the credentials of a request to a `Principal`."""

import math
import threading
import time
from dataclasses import dataclass, replace

from flask import Flask, current_app, g, request

from backend.security.api_keys import (
    API_KEY_PREFIX,
    API_KEY_SESSION_PREFIX,
    MAX_API_KEY_CHARACTERS,
    ApiKeyExchange,
    RemoteApiKeyExchange,
)
from backend.security.http_errors import (
    HttpError,
    unauthenticated,
    unavailable,
)
from backend.security.permissions import DELEGATED_PERMISSIONS, FORWARDING_SERVICES
from backend.security.redis import connect
from backend.security.request_ids import request_id
from backend.security.revocation import (
    LocalRevocations,
    Revocations,
    SessionClaims,
    SessionStatus,
    SharedRevocations,
)
from backend.security.service_tokens import GATEWAY_HEADER, HEADER, ServiceTokens
from backend.security.settings import SecuritySettings
from backend.security.tokens import (
    Claims,
    InvalidToken,
    KeysUnavailable,
    Membership,
    RemoteKeys,
    TokenVerifier,
)

_MAX_ADDRESS_CHARACTERS = 64
_MAX_VALID_SESSIONS = 4096
# While Redis does not respond, a session that was valid this recently may still read.
_READ_GRACE_SECONDS = 30.0
_READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_EXTENSION = "backend.security"


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller of a request, the selected tenant and the permissions in it."""

    user_id: str
    tenant_id: str
    session_id: str
    permissions: frozenset[str]
    session_claims: SessionClaims
    expires_at: float = math.inf
    """Expiry of the credentials, in seconds since the epoch."""
    actor: str | None = None
    """The service that acts for the user with a delegated token; None for the user."""

    @property
    def uses_api_key(self) -> bool:
        return self.session_id.startswith(API_KEY_SESSION_PREFIX)

    @property
    def api_key_id(self) -> str | None:
        """Id of the API key with which the caller authenticated; None for a session."""
        key_id = self.session_id.removeprefix(API_KEY_SESSION_PREFIX)
        return key_id if self.uses_api_key else None


@dataclass(frozen=True, slots=True)
class SecurityContext:
    """Verifiers of one app; created from the environment unless `set_security_context` is used.

    Attributes:
        last_valid_at: session id → monotonic time in seconds at which it was last found valid.
        service_tokens: None if the services share no secret.
    """

    tokens: TokenVerifier
    api_keys: ApiKeyExchange
    revocations: Revocations
    last_valid_at: dict[str, float]
    service_tokens: ServiceTokens | None = None

    @classmethod
    def from_settings(cls, settings: SecuritySettings, service: str) -> "SecurityContext":
        keys = RemoteKeys(f"{settings.auth_url}/.well-known/jwks.json")
        return cls(
            tokens=TokenVerifier(keys, settings.issuer, settings.audience),
            api_keys=RemoteApiKeyExchange(settings.auth_url),
            revocations=open_revocations(settings.redis_url),
            last_valid_at={},
            service_tokens=open_service_tokens(settings, service),
        )


def open_revocations(redis_url: str | None) -> Revocations:
    """Return revocations shared through *redis_url*, or local to this process without it."""
    return SharedRevocations(connect(redis_url)) if redis_url else LocalRevocations()


def open_service_tokens(settings: SecuritySettings, service: str) -> ServiceTokens | None:
    """Return the service tokens of *service*, or None without a shared secret."""
    secret = settings.service_secret
    return ServiceTokens(secret, service) if secret else None


def set_security_context(app: Flask, security: SecurityContext) -> None:
    """Use *security* for *app* instead of a context created from the environment."""
    app.extensions[_EXTENSION] = security


_context_lock = threading.Lock()


def get_security_context(app: Flask) -> SecurityContext:
    """Return the security context of *app*; it is created at the first call."""
    extensions = app.extensions
    if _EXTENSION not in extensions:
        with _context_lock:
            if _EXTENSION not in extensions:
                extensions[_EXTENSION] = SecurityContext.from_settings(
                    SecuritySettings.from_env(), app.name
                )
    security: SecurityContext = extensions[_EXTENSION]
    return security


def is_subscribed_to_revocations(app: Flask) -> bool | None:
    """Return whether *app* is subscribed to revocations, or None.

    It is None if the app has not checked a session yet, or if its revocations are not shared.
    """
    security = app.extensions.get(_EXTENSION)
    return getattr(security and security.revocations, "is_subscribed", None)


class NotAMember(HttpError):
    """The credentials are valid, but not in the tenant that the request selects.

    Attributes:
        user_id: the authenticated user, for the audit log.
    """

    def __init__(self, user_id: str) -> None:
        super().__init__(
            403,
            "not_a_member",
            "Not allowed",
            "You are not a member of the tenant in X-Tenant-ID. Use one of your own tenants.",
        )
        self.user_id = user_id


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials of a request and the tenant it selects."""

    authorization: str = ""
    api_key: str = ""
    tenant: str | None = None


def authenticate(*, reading: bool | None = None) -> Principal:
    """Return the principal of the current request.

    Args:
        reading: True if the request changes nothing; None to decide it by the HTTP method.

    Raises:
        HttpError: 401 for invalid credentials, 403 if the caller is not a member of the selected
            tenant, 503 if auth or Redis does not respond.
    """
    if "principal" not in g:
        security = get_security_context(current_app)
        credentials = Credentials(
            request.headers.get("Authorization", ""),
            request.headers.get("X-API-Key", ""),
            request.headers.get("X-Tenant-ID"),
        )
        try:
            principal = identify_principal(security, credentials, with_delegated=True)
        except NotAMember as error:
            g.denied_user_id = error.user_id
            raise
        service = calling_service()
        if principal.actor is not None and service not in {principal.actor, *FORWARDING_SERVICES}:
            raise _delegated_token_rejected()
        if service:
            allowed = principal.permissions & DELEGATED_PERMISSIONS[service]
            principal = replace(principal, permissions=allowed)
        if reading is None:
            reading = request.method in _READ_METHODS
        _check_session(security, principal.session_claims, reading=reading)
        g.principal = principal
    authenticated: Principal = g.principal
    return authenticated


def calling_service() -> str | None:
    """Return the name of the calling service, or None for a caller from outside.

    Raises:
        HttpError: 401 for an invalid service token.
    """
    token = request.headers.get(HEADER)
    if token is None:
        return None
    services = get_security_context(current_app).service_tokens
    if services is None:
        raise unauthenticated(
            "invalid_service_token",
            "This service accepts no service tokens: SECRET_KEY is not set.",
        )
    try:
        return services.verify_caller(token)
    except InvalidToken as error:
        raise unauthenticated("invalid_service_token", str(error)) from error


def identify_principal(
    security: SecurityContext, credentials: Credentials, *, with_delegated: bool = False
) -> Principal:
    """Verify *credentials* and return their principal, even if its session was revoked.

    Args:
        with_delegated: also accept a token that auth has issued to a service for work after the
            user's request. The caller must then compare `actor` with the calling service.

    Raises:
        HttpError: 401, 403 or 503, as in `authenticate`.
    """
    key = _api_key(credentials)
    if key is None:
        principal = _principal(security, _access_token(credentials), credentials.tenant)
        if principal.actor is not None and not with_delegated:
            raise _delegated_token_rejected()
        return principal
    principal = _principal(security, _exchange_key(security, key), credentials.tenant)
    if security.revocations.session_status(principal.session_claims) is SessionStatus.REVOKED:
        # The cached token may be outdated: the owner's permissions changed after it was issued.
        security.api_keys.invalidate_key(key)
        principal = _principal(security, _exchange_key(security, key), credentials.tenant)
    return principal


def _principal(security: SecurityContext, token: str, tenant: str | None) -> Principal:
    claims = _verify_token(security, token)
    membership = claims.get_membership(tenant)
    if membership is None:
        raise NotAMember(claims.user_id)
    return Principal(
        user_id=claims.user_id,
        tenant_id=membership.tenant_id,
        session_id=claims.session_id,
        permissions=membership.scope,
        session_claims=_session_claims(claims, membership),
        expires_at=claims.expires_at,
        actor=claims.actor,
    )


def _delegated_token_rejected() -> HttpError:
    return unauthenticated(
        "invalid_token", "The token was issued to a service, which must send it itself."
    )


def current_principal() -> Principal:
    """Return the principal of the current request.

    Raises:
        RuntimeError: the view has no guard that authenticates.
    """
    principal: Principal | None = g.get("principal")
    if principal is None:
        raise RuntimeError("current_principal() needs @require_permission on the view.")
    return principal


def ensure_session_valid(principal: Principal) -> None:
    """Raise a 401 error if the session was revoked, or 503 if its status is unavailable.

    Long-lived streams, jobs and sockets check the session again with it.
    """
    _check_session(get_security_context(current_app), principal.session_claims, reading=True)


def caller_headers() -> dict[str, str]:
    """Return the headers that pass the caller of the current request on to another service."""
    names = ("Authorization", "X-API-Key", "X-Tenant-ID", "traceparent")
    headers = {name: request.headers[name] for name in names if name in request.headers}
    return headers | {"X-Forwarded-For": get_client_address(), "X-Request-ID": request_id()}


def get_client_address() -> str:
    """Return the client address from X-Forwarded-For, or the address of the TCP peer.

    The header is used only if the gateway or another service sent it: other callers could choose
    a new address for each password guess and each audit event.
    """
    if "client_address" not in g:
        g.client_address = _read_client_address()
    address: str = g.client_address
    return address


def _read_client_address() -> str:
    peer = request.remote_addr or ""
    forwarded = request.headers.get("X-Forwarded-For", "")
    services = get_security_context(current_app).service_tokens
    if not forwarded or services is None:
        return peer
    if not services.is_from_gateway(request.headers.get(GATEWAY_HEADER, "")):
        try:
            services.verify_caller(request.headers.get(HEADER, ""))
        except InvalidToken:
            return peer
    return forwarded[:_MAX_ADDRESS_CHARACTERS]


def _api_key(credentials: Credentials) -> str | None:
    """Return the API key: from X-API-Key, or sent as a Bearer token as OpenAI clients do."""
    scheme, _, credential = credentials.authorization.partition(" ")
    credential = credential.strip()
    if scheme.lower() == "bearer" and credential.startswith(API_KEY_PREFIX):
        return credential
    return credentials.api_key if credentials.api_key and not credential else None


def _access_token(credentials: Credentials) -> str:
    scheme, _, credential = credentials.authorization.partition(" ")
    if not scheme:
        raise unauthenticated(
            "not_authenticated",
            "Send an access token as 'Authorization: Bearer …' or a key as 'X-API-Key'.",
        )
    if scheme.lower() != "bearer":
        raise unauthenticated("not_authenticated", "Unsupported authentication scheme. Use Bearer.")
    return credential.strip()


def _exchange_key(security: SecurityContext, key: str) -> str:
    if len(key) > MAX_API_KEY_CHARACTERS or not key.isascii():
        raise unauthenticated("invalid_api_key", "The API key is malformed.")
    try:
        return security.api_keys.exchange_key(key)
    except InvalidToken as error:
        raise unauthenticated("invalid_api_key", str(error)) from error
    except KeysUnavailable as error:
        raise unavailable(
            "auth_unavailable", "The auth service does not respond. Retry later."
        ) from error


def _verify_token(security: SecurityContext, token: str) -> Claims:
    try:
        return security.tokens.verify(token)
    except InvalidToken as error:
        raise unauthenticated("invalid_token", str(error)) from error
    except KeysUnavailable as error:
        raise unavailable(
            "auth_unavailable", "The auth service does not respond. Retry later."
        ) from error


def _session_claims(claims: Claims, membership: Membership) -> SessionClaims:
    return SessionClaims(
        session_id=claims.session_id,
        user_id=claims.user_id,
        user_generation=claims.generation,
        tenant_id=membership.tenant_id,
        tenant_generation=membership.generation,
    )


def _check_session(security: SecurityContext, claims: SessionClaims, *, reading: bool) -> None:
    status = security.revocations.session_status(claims)
    now = time.monotonic()
    if status is SessionStatus.VALID:
        if len(security.last_valid_at) > _MAX_VALID_SESSIONS:
            security.last_valid_at.clear()
        security.last_valid_at[claims.session_id] = now
    elif status is SessionStatus.REVOKED:
        security.last_valid_at.pop(claims.session_id, None)
        raise unauthenticated("session_ended", "The session was revoked. Sign in again.")
    elif (
        not reading
        or now - security.last_valid_at.get(claims.session_id, -_READ_GRACE_SECONDS)
        >= _READ_GRACE_SECONDS
    ):
        raise unavailable(
            "revocations_unavailable",
            "Session status is unavailable because Redis does not respond. Retry later.",
        )


def ensure_permission(principal: Principal, permission: str) -> None:
    """Raise a 403 error unless *principal* has *permission*."""
    if permission not in principal.permissions:
        raise HttpError(
            403,
            "permission_denied",
            "Not allowed",
            f"You need the permission {permission} in this tenant.",
        )
