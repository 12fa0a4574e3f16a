"""Tell all services which sessions have ended; tell it again when it was forgotten."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from backend.chassis.database.sessions import Database
from backend.security.revocation import History, Revocations
from backend.services.auth.store import accounts, api_keys, sessions, tenants

_log = logging.getLogger(__name__)
# A token may be believed a little longer than it lives: clocks differ.
_MARGIN = timedelta(seconds=60)


class Revoker:
    """Passes on what has ended. The database remembers what could not be passed on."""

    def __init__(
        self,
        database: Database,
        revocations: Revocations,
        access_lifetime: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._revocations = revocations
        # What ended longer ago than this has outlived every token it concerns.
        self._memory = access_lifetime + _MARGIN
        self._now = now
        self._behind = threading.Event()

    @property
    def is_behind(self) -> bool:
        """Whether something could not be told yet."""
        return self._behind.is_set()

    def end_session(self, session_id: str) -> None:
        self._tell(
            lambda: self._revocations.end_session(session_id, int(self._memory.total_seconds()))
        )

    def raise_user(self, user_id: str, generation: int) -> None:
        self._tell(lambda: self._revocations.raise_user(user_id, generation))

    def catch_up(self) -> None:
        """Tell everything that matters again, if some of it was not told or was forgotten."""
        if not self._behind.is_set() and self._revocations.knows_all():
            return
        self._behind.clear()
        since = self._now() - self._memory
        with self._database.read() as session:
            history = History(
                ended_sessions=[
                    *sessions.ended_since(session, since),
                    *(f"key:{each}" for each in api_keys.deleted_since(session, since)),
                ],
                users=accounts.generations_raised_since(session, since),
                tenants=tenants.generations_raised_since(session, since),
                lifetime_seconds=int(self._memory.total_seconds()),
            )
        self._tell(lambda: self._revocations.tell_all(history))

    def _tell(self, telling: Callable[[], None]) -> None:
        try:
            telling()
        except RedisError as error:
            # It stands in the database, and catch_up passes it on. Meanwhile the
            # services refuse rather than guess.
            self._behind.set()
            _log.warning("a revocation could not be passed on: %s", type(error).__name__)
