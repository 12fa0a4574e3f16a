"""Identify the caller of a request, for rate limits and to reject invalid credentials early.

Every service verifies the caller again and does not rely on this check.
"""

from backend.security import Principal
from backend.security.authentication import Credentials, SecurityContext, identify_principal
from backend.security.http_errors import unauthenticated
from backend.security.revocation import SessionStatus
from backend.services.gateway.domain.rate_limits import RateLimitSubject
from backend.services.gateway.domain.routing.route_table import Route


class CallerAuthenticator:
    """Verifies credentials and rejects ended sessions."""

    def __init__(self, security: SecurityContext) -> None:
        self._security = security

    @property
    def revocation_epoch(self) -> int:
        """Number that increases when a session is revoked: older cached results are invalid."""
        return self._security.revocations.epoch

    def authenticate_caller(self, credentials: Credentials) -> Principal:
        """Return the principal of *credentials*. May send requests to auth and Redis.

        Raises:
            HttpError: the credentials are missing or invalid, or their session has ended.
        """
        principal = identify_principal(self._security, credentials)
        # While the status of the session is unknown, the service decides what is still allowed;
        # the gateway only applies limits.
        if (
            self._security.revocations.session_status(principal.session_claims)
            is SessionStatus.REVOKED
        ):
            raise unauthenticated("session_ended", "This session has ended. Sign in again.")
        return principal


def requires_authentication(route: Route, path: str) -> bool:
    """Return True if requests for *path* need valid credentials to be forwarded."""
    return not route.is_public(path)


def rate_limit_subject(address: str, principal: Principal | None) -> RateLimitSubject:
    """Return the subject that requests of *principal*, or from *address*, are charged to."""
    if principal is None:
        return RateLimitSubject(address)
    return RateLimitSubject(address, principal.user_id, principal.tenant_id)
