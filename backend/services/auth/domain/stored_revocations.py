"""Revocation checks against auth's own tables, for an installation without Redis."""

from backend.chassis.database.sessions import Database
from backend.security.revocation import LocalRevocations, SessionClaims, SessionStatus
from backend.services.auth.domain.credentials.api_keys import parse_key_session_id
from backend.services.auth.store import revocations as store


class StoredRevocations(LocalRevocations):
    """Check each token against the tables.

    Revocations by the command line and by other instances of auth take effect at once.
    """

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    def session_status(self, claims: SessionClaims) -> SessionStatus:
        with self._database.read() as session:
            is_revoked = store.is_revoked(
                session,
                claims.session_id,
                parse_key_session_id(claims.session_id),
                (claims.user_id, claims.user_generation),
                (claims.tenant_id, claims.tenant_generation),
            )
        return SessionStatus.REVOKED if is_revoked else super().session_status(claims)
