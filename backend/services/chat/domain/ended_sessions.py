"""Deletion of the agent's sessions of deleted conversations."""

from datetime import datetime
from typing import Final

from backend.chassis.database.sessions import Database
from backend.chassis.http import UpstreamError
from backend.services.chat.clients.agent import AgentClient
from backend.services.chat.store import ended_sessions as store

_BATCH: Final = 100


class EndedSessions:
    """Sessions of the agent whose conversations were deleted. *database* sees every tenant."""

    def __init__(self, database: Database, agent: AgentClient) -> None:
        self._database = database
        self._agent = agent

    def delete_next(self) -> UpstreamError | None:
        """Delete a batch at the agent. Returns the error if that fails."""
        with self._database.read() as session:
            ids = store.list_ended_sessions(session, _BATCH)
        if not ids:
            return None
        try:
            self._agent.delete_sessions(ids)
        except UpstreamError as error:
            return error
        with self._database.write() as session:
            store.remove_ended_sessions(session, ids)
        return None

    def get_due_time(self) -> datetime | None:
        """Return when the first session ended that is not deleted yet, or None."""
        with self._database.read() as session:
            return store.get_first_end(session)
