"""Verification of the credentials of a connection."""

from backend.security import Principal
from backend.security.authentication import Credentials, SecurityContext, identify_principal
from backend.security.http_errors import unauthenticated, unavailable
from backend.security.revocation import SessionStatus


def authenticate_connection(security: SecurityContext, credentials: Credentials) -> Principal:
    """Return the principal of *credentials*. May send requests to auth and Redis.

    Raises:
        HttpError: 401 for invalid credentials or an ended session, 403 if the caller is not a
            member of the selected tenant, 503 if auth or Redis does not respond.
    """
    principal = identify_principal(security, credentials)
    ensure_session_valid(security, principal)
    return principal


def ensure_session_valid(security: SecurityContext, principal: Principal) -> None:
    """Raise a 401 error if the session was revoked, or 503 if its status is unavailable."""
    match security.revocations.session_status(principal.session_claims):
        case SessionStatus.REVOKED:
            raise unauthenticated("session_ended", "This session has ended. Sign in again.")
        case SessionStatus.UNKNOWN:
            raise unavailable(
                "revocations_unavailable",
                "Session status is unavailable because Redis does not respond. Retry later.",
            )
