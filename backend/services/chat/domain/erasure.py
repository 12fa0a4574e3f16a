"""Deletion of what a person wrote, in batches."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from backend.chassis.database.sessions import Database
from backend.services.chat.store import history as store

_MESSAGES: Final = 500


def erase_messages(
    database: Database, tenant_id: str, actor: str, now: Callable[[], datetime]
) -> int:
    """Delete the messages of *actor* in short transactions. Returns their number.

    Each transaction also marks the days whose statistics change and queues the deletion of the
    agent's copies. A call after an interruption deletes the remaining messages.
    """
    count = 0
    while True:
        with database.write(tenant_id) as session:
            deleted = store.delete_messages_of_author(session, tenant_id, actor, _MESSAGES, now())
        count += deleted
        if deleted < _MESSAGES:
            return count
