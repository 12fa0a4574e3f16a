"""Deletion of sessions whose conversations the chat service has deleted."""

from collections.abc import Sequence

from backend.chassis.database.sessions import Database
from backend.services.agent.store import conversations as store
from backend.services.agent.store.events import EventStore


class ChatSessionDeletion:
    """Deletes sessions with the origin `chat`. *database* must bypass row-level security."""

    def __init__(self, database: Database, event_store: EventStore) -> None:
        self._database = database
        self._event_store = event_store

    def delete_sessions(self, ids: Sequence[str]) -> None:
        """Delete the sessions of *ids* that chat created. Unknown ones are ignored."""
        with self._database.write() as session:
            deleted = store.delete_chat_sessions(session, ids)
        for session_id in deleted:
            self._event_store.delete_events(session_id)
