"""Publication of session revocations to all services."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from backend.chassis.database.sessions import Database
from backend.security.revocation import RevocationHistory, Revocations
from backend.services.auth.store import accounts, service_accounts, sessions, tenants
from backend.services.auth.store.credentials import api_keys

_log = logging.getLogger(__name__)
# Services may accept a token slightly longer than its lifetime because of clock skew.
_MARGIN = timedelta(seconds=60)


class RevocationPublisher:
    """Publish session revocations to Redis.

    Revocations that could not be published stay in the database and are published by
    `publish_missing`.
    """

    def __init__(
        self,
        database: Database,
        revocations: Revocations,
        access_lifetime: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._revocations = revocations
        # Older revocations are irrelevant: every token that they concern has expired.
        self._retention = access_lifetime + _MARGIN
        self._now = now
        self._has_unpublished = threading.Event()

    @property
    def has_unpublished(self) -> bool:
        """True if a revocation could not be published yet."""
        return self._has_unpublished.is_set()

    def publish_ended_session(self, session_id: str) -> None:
        self._publish(
            lambda: self._revocations.revoke_session(
                session_id, int(self._retention.total_seconds())
            )
        )

    def publish_user_generation(self, user_id: str, generation: int) -> None:
        self._publish(lambda: self._revocations.raise_user_generation(user_id, generation))

    def publish_tenant_generation(self, tenant_id: str, generation: int) -> None:
        self._publish(lambda: self._revocations.raise_tenant_generation(tenant_id, generation))

    def publish_missing(self) -> None:
        """Publish all relevant revocations again if one is unpublished or Redis lost its data."""
        if not self._has_unpublished.is_set() and self._revocations.is_populated():
            return
        self._has_unpublished.clear()
        since = self._now() - self._retention
        with self._database.read() as session:
            history = RevocationHistory(
                revoked_session_ids=[
                    *sessions.get_session_ids_ended_since(session, since),
                    *(
                        f"key:{key_id}"
                        for key_id in (
                            *api_keys.get_key_ids_deleted_since(session, since),
                            *service_accounts.get_key_ids_revoked_since(session, since),
                        )
                    ),
                ],
                user_generations=accounts.get_user_generations_raised_since(session, since),
                tenant_generations=tenants.get_tenant_generations_raised_since(session, since),
                lifetime_seconds=int(self._retention.total_seconds()),
            )
        self._publish(lambda: self._revocations.repopulate(history))

    def _publish(self, publish: Callable[[], None]) -> None:
        try:
            publish()
        except RedisError as error:
            # The revocation is stored in the database, and `publish_missing` publishes it.
            # Until then services reject requests rather than accept a revoked token.
            self._has_unpublished.set()
            _log.warning("a revocation could not be published: %s", type(error).__name__)
