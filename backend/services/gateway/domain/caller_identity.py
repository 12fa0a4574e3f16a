"""Identify the caller of a request, for rate limits and to reject invalid credentials early.

Every service verifies the caller again and does not rely on this check.
"""

import time
from dataclasses import dataclass, replace

from backend.security import HttpError, Principal
from backend.security.authentication import Credentials, SecurityContext, identify_principal
from backend.security.http_errors import unauthenticated
from backend.security.revocation import SessionStatus
from backend.services.gateway.clients.external_tokens import ExchangedToken, ExternalTokenExchange
from backend.services.gateway.domain.external_tokens import find_external_token, read_issuer
from backend.services.gateway.domain.rate_limits import RateLimitSubject
from backend.services.gateway.domain.routing.route_table import Route

_SESSION_ENDED = "session_ended"


@dataclass(frozen=True, slots=True)
class ExternalIssuer:
    """The identity provider whose session tokens are exchanged for ours."""

    issuer: str
    exchange: ExternalTokenExchange


@dataclass(frozen=True, slots=True)
class AuthenticatedCaller:
    """A principal.

    Attributes:
        authorization: value of the Authorization header for the service if it is not the client's,
            else "".
    """

    principal: Principal
    authorization: str = ""


class CallerAuthenticator:
    """Verifies credentials and rejects ended sessions.

    Args:
        external: the identity provider whose tokens are accepted, if any.
    """

    def __init__(self, security: SecurityContext, external: ExternalIssuer | None = None) -> None:
        self._security = security
        self._external = external

    @property
    def revocation_epoch(self) -> int:
        """Number that increases when a session is revoked: older cached results are invalid."""
        return self._security.revocations.epoch

    def authenticate_caller(
        self, credentials: Credentials, address: str = ""
    ) -> AuthenticatedCaller:
        """Return the caller with *credentials*. May send requests to auth and Redis.

        Args:
            address: the client's address, for the audit log.

        Raises:
            HttpError: the credentials are missing or invalid, or their session has ended.
        """
        token = None
        if self._external is not None:
            token = find_external_token(credentials.authorization)
        if self._external is None or token is None:
            return AuthenticatedCaller(self._authenticate(credentials))
        exchanged = self._external.exchange.exchange_token(token, address)
        try:
            return self._authenticate_exchanged(exchanged, credentials)
        except HttpError as error:
            if error.problem_code != _SESSION_ENDED:
                raise
        # The cached access token may be outdated: the user's roles changed after it was issued.
        self._external.exchange.invalidate_token(token)
        exchanged = self._external.exchange.exchange_token(token, address)
        return self._authenticate_exchanged(exchanged, credentials)

    def is_external(self, authorization: str) -> bool:
        """Return True if *authorization* has a token that auth would have to exchange."""
        return self._external is not None and find_external_token(authorization) is not None

    def accepts_on_public_paths(self, authorization: str) -> bool:
        """Return True if *authorization* has a token that is exchanged on public paths too.

        There, services verify some callers themselves. Tokens of other issuers, such as those of
        webhooks, are passed on as they are.
        """
        if self._external is None or not authorization:
            return False
        token = find_external_token(authorization)
        return token is not None and read_issuer(token) == self._external.issuer

    def _authenticate_exchanged(
        self, exchanged: ExchangedToken, credentials: Credentials
    ) -> AuthenticatedCaller:
        authorization = f"Bearer {exchanged.access_token}"
        principal = self._authenticate(replace(credentials, authorization=authorization))
        expires_at = min(principal.expires_at, time.time() + exchanged.lifetime_seconds)
        return AuthenticatedCaller(replace(principal, expires_at=expires_at), authorization)

    def _authenticate(self, credentials: Credentials) -> Principal:
        principal = identify_principal(self._security, credentials)
        # While the status of the session is unknown, the service decides what is still allowed;
        # the gateway only applies limits.
        if (
            self._security.revocations.session_status(principal.session_claims)
            is SessionStatus.REVOKED
        ):
            raise unauthenticated(_SESSION_ENDED, "This session has ended. Sign in again.")
        return principal


def requires_authentication(route: Route, path: str) -> bool:
    """Return True if requests for *path* need valid credentials to be forwarded."""
    return not route.is_public(path)


def rate_limit_subject(address: str, principal: Principal | None) -> RateLimitSubject:
    """Return the subject that requests of *principal*, or from *address*, are charged to."""
    if principal is None:
        return RateLimitSubject(address)
    return RateLimitSubject(address, principal.user_id, principal.tenant_id)
