"""Retention of received webhooks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backend.chassis.database.sessions import Database
from backend.services.chat.store import inbound

# Providers send a webhook again for up to seven days (Meta); later the key is not needed.
KEY_LIFETIME: Final = timedelta(days=30)
_INTERVAL: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Expired:
    """Numbers of what was deleted."""

    bodies: int = 0
    keys: int = 0
    early_events: int = 0


class WebhookRetention:
    """Deletes bodies after 7 days, keys after 30 days, and early events after 24 hours.

    Args:
        database: the tables; rows of all tenants are deleted.
        now: the clock.
    """

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database.across_tenants()
        self._now = now
        self._next_run: datetime | None = None

    def delete_expired(self) -> Expired:
        """Delete what has expired, at most once in ten minutes."""
        now = self._now()
        if self._next_run is not None and now < self._next_run:
            return Expired()
        self._next_run = now + _INTERVAL
        with self._database.write() as session:
            return Expired(
                inbound.delete_expired_bodies(session, now),
                inbound.delete_old_inbound(session, now - KEY_LIFETIME),
                inbound.delete_expired_early_events(session, now),
            )

    def get_next_expiry(self) -> datetime | None:
        """Return the time at which something expires and may be deleted, or None."""
        with self._database.read() as session:
            expiry = inbound.get_next_expiry(session)
        if expiry is None or self._next_run is None:
            return expiry
        return max(expiry, self._next_run)
