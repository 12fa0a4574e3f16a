"""Publication of session revocations to all services."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from backend.chassis.database.sessions import Database
from backend.security.api_keys import API_KEY_SESSION_PREFIX
from backend.security.revocation import RevocationHistory, Revocations
from backend.services.auth.store import accounts, service_accounts, sessions, tenants
from backend.services.auth.store.credentials import api_keys

_log = logging.getLogger(__name__)
# Services may accept a token slightly longer than its lifetime because of clock skew.
_MARGIN = timedelta(seconds=60)
_COMPARISON_INTERVAL_SECONDS = 5.0
# Longer than the interval, and than the clocks of two hosts should differ.
_COMPARED_PERIOD = timedelta(minutes=2)


class RevocationPublisher:
    """Publish session revocations to Redis.

    The database is the source: `publish_missing` publishes what Redis does not have, also changes
    of other processes such as the command line, which may have ended before it could publish them.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        database: Database,
        revocations: Revocations,
        access_lifetime: timedelta,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._revocations = revocations
        # Older revocations are irrelevant: every token that they concern has expired.
        self._retention = access_lifetime + _MARGIN
        self._now = now
        self._clock = clock
        self._has_unpublished = threading.Event()
        self._next_comparison_at = 0.0

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
        """Publish all relevant revocations again if Redis lost its data or one is missing."""
        if (
            not self._has_unpublished.is_set()
            and self._revocations.is_populated()
            and self._has_recent_revocations()
        ):
            return
        self._has_unpublished.clear()
        history = self._read_history(self._retention)
        self._publish(lambda: self._revocations.repopulate(history))

    def _has_recent_revocations(self) -> bool:
        """Return whether Redis has the latest revocations, compared every few seconds.

        The first comparison includes all relevant ones: a process may have been killed before it
        could publish its last changes.
        """
        now = self._clock()
        if now < self._next_comparison_at:
            return True
        is_first = self._next_comparison_at == 0.0
        history = self._read_history(self._retention if is_first else _COMPARED_PERIOD)
        has_all = self._revocations.contains(history)
        self._next_comparison_at = now + _COMPARISON_INTERVAL_SECONDS
        return has_all

    def _read_history(self, period: timedelta) -> RevocationHistory:
        """Return the revocations of the last *period*."""
        since = self._now() - period
        with self._database.read() as session:
            return RevocationHistory(
                revoked_session_ids=[
                    *sessions.get_session_ids_ended_since(session, since),
                    *(
                        f"{API_KEY_SESSION_PREFIX}{key_id}"
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

    def _publish(self, publish: Callable[[], None]) -> None:
        try:
            publish()
        except RedisError as error:
            # The revocation is stored in the database, and `publish_missing` publishes it. While
            # Redis does not respond, services reject requests, except that a session which was
            # valid less than 30 seconds ago may read.
            self._has_unpublished.set()
            _log.warning("a revocation could not be published: %s", type(error).__name__)
