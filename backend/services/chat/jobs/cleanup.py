"""Deletes what webhooks leave behind: sealed bodies, old keys, events without a message."""

import logging
from collections.abc import Callable
from datetime import datetime

from backend.chassis.database.sessions import Database
from backend.services.chat.domain.webhooks.retention import WebhookRetention

_log = logging.getLogger(__name__)


class WebhookCleanup:
    """The job that applies the retention of webhooks."""

    name = "webhook cleanup"
    threads = 1

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._retention = WebhookRetention(database, now)

    def has_due_work(self) -> bool:
        return False

    def run_once(self) -> bool:
        """Delete what has expired. Returns False: the next time is later."""
        expired = self._retention.delete_expired()
        if expired.early_events:
            _log.warning(
                "%d webhook events were dropped: their message is unknown after 24 hours",
                expired.early_events,
            )
        return False

    def get_next_due_time(self) -> datetime | None:
        return self._retention.get_next_expiry()
