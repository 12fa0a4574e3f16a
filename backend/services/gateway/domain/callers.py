"""Who asks, as far as the gateway needs to know: to count, and to turn away early.

Every service verifies the caller again; nothing said here is believed behind us.
"""

from backend.security import Principal
from backend.security.authentication import Credentials, Security, identify
from backend.security.http_errors import unauthenticated
from backend.security.revocation import Verdict
from backend.services.gateway.domain.limits import Asker
from backend.services.gateway.domain.table import Route


class Callers:
    """Turns credentials into a principal, or into the refusal that they get."""

    def __init__(self, security: Security) -> None:
        self._security = security

    @property
    def epoch(self) -> int:
        """Grows when a session has ended somewhere: answers remembered from before are void."""
        return self._security.revocations.epoch

    def identify(self, carried: Credentials) -> Principal:
        """Whom *carried* proves; a Refusal if nobody. May ask auth and Redis."""
        principal = identify(self._security, carried)
        # When nobody can say whether the session stands, the service decides what may
        # still be done; here it is only counted.
        if self._security.revocations.verdict(principal.standing) is Verdict.REVOKED:
            raise unauthenticated("session_ended", "This session has ended; sign in again.")
        return principal


def must_be_known(route: Route, path: str) -> bool:
    """Whether a request has to show who makes it before it is let through."""
    return not route.is_public(path)


def asker(address: str, principal: Principal | None) -> Asker:
    if principal is None:
        return Asker(address)
    return Asker(address, principal.user_id, principal.tenant_id)
