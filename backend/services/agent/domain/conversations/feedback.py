"""Feedback of users on answers. Users read their own feedback, administrators their tenant's."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import uuid4

from backend.chassis.database.sessions import Database, Session, acquire_transaction_lock
from backend.services.agent.domain.conversations.branches import get_branch
from backend.services.agent.domain.conversations.conversations import get_own_conversation
from backend.services.agent.errors import FeedbackNotFound, MessageNotFound, NotAnAssistantMessage
from backend.services.agent.model import Caller
from backend.services.agent.store import feedback as store
from backend.services.agent.store import messages
from backend.services.agent.store.feedback import FeedbackFilters
from backend.services.agent.store.tables import Conversation, Feedback, Message

Thumb = Literal["up", "down"]

__all__ = ["FeedbackEntry", "FeedbackFilters", "FeedbackService", "Thumb"]


@dataclass(frozen=True, slots=True)
class FeedbackEntry:
    """Feedback of one user on one answer."""

    id: str
    session_id: str
    message_id: str
    user_id: str
    thumb: Thumb
    text: str
    model: str | None
    created_at: datetime
    updated_at: datetime


class FeedbackService:
    """Stores at most one feedback entry per user and answer; users can change theirs."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def submit_feedback(
        self,
        caller: Caller,
        conversation_id: str,
        thumb: Thumb,
        text: str,
        message_id: str | None = None,
    ) -> tuple[FeedbackEntry, bool]:
        """Create or replace the caller's feedback on an answer.

        Args:
            message_id: the answer; None for the last answer of the active branch.

        Returns:
            The entry, and whether it was created.
        """
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            message = _find_answer(
                session, get_own_conversation(session, caller, conversation_id), message_id
            )
            acquire_transaction_lock(session, f"feedback {message.id} {caller.user_id}")
            row = store.find_feedback(session, message.id, caller.user_id)
            is_new = row is None
            if row is None:
                row = Feedback(
                    id=f"fb_{uuid4().hex}",
                    tenant_id=caller.tenant_id,
                    user_id=caller.user_id,
                    conversation_id=conversation_id,
                    message_id=message.id,
                    created_at=now,
                )
                session.add(row)
            row.thumb, row.text, row.model, row.updated_at = thumb, text, message.model, now
            session.flush()
            return _to_entry(row), is_new

    def delete_feedback(self, caller: Caller, conversation_id: str, message_id: str) -> None:
        """Delete the caller's feedback on an answer, or raise FeedbackNotFound."""
        with self._database.write(caller.tenant_id) as session:
            get_own_conversation(session, caller, conversation_id)
            row = store.find_feedback(session, message_id, caller.user_id)
            if row is None or row.conversation_id != conversation_id:
                raise FeedbackNotFound
            session.delete(row)

    def list_own_feedback(
        self, caller: Caller, conversation_id: str, limit: int, after: tuple[datetime, str] | None
    ) -> list[FeedbackEntry]:
        """Return the caller's feedback on the answers of a conversation, latest first."""
        filters = FeedbackFilters(user_id=caller.user_id, conversation_id=conversation_id)
        with self._database.read(caller.tenant_id) as session:
            get_own_conversation(session, caller, conversation_id)
            rows = store.list_feedback(session, caller.tenant_id, filters, limit, after)
            return [_to_entry(row) for row in rows]

    def list_tenant_feedback(
        self,
        tenant_id: str,
        filters: FeedbackFilters,
        limit: int,
        after: tuple[datetime, str] | None,
    ) -> list[FeedbackEntry]:
        """Return the feedback of all users of a tenant, latest first. For administrators."""
        with self._database.read(tenant_id) as session:
            rows = store.list_feedback(session, tenant_id, filters, limit, after)
            return [_to_entry(row) for row in rows]


def _find_answer(session: Session, conversation: Conversation, message_id: str | None) -> Message:
    if message_id is None:
        rows = messages.list_messages(session, conversation.id)
        rows_by_id = {row.id: row for row in rows}
        branch = [rows_by_id[row_id] for row_id in get_branch(rows, conversation.leaf_id)]
        last = next((row for row in reversed(branch) if row.role == "assistant"), None)
        if last is None:
            raise MessageNotFound
        return last
    message = messages.find_message(session, conversation.id, message_id)
    if message is None:
        raise MessageNotFound
    if message.role != "assistant":
        raise NotAnAssistantMessage
    return message


def _to_entry(row: Feedback) -> FeedbackEntry:
    thumb: Thumb = "up" if row.thumb == "up" else "down"
    return FeedbackEntry(
        id=row.id,
        session_id=row.conversation_id,
        message_id=row.message_id,
        user_id=row.user_id,
        thumb=thumb,
        text=row.text,
        model=row.model,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
