"""Feedback: what people think of answers. Each sees their own, administrators their tenant's."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import uuid4

from backend.chassis.database.sessions import Database, Session, take_turns
from backend.services.agent.clients.runs import Caller
from backend.services.agent.domain.branches import branch
from backend.services.agent.domain.conversations import own
from backend.services.agent.errors import FeedbackNotFound, MessageNotFound, NotAnAnswer
from backend.services.agent.store import feedback as store
from backend.services.agent.store import messages
from backend.services.agent.store.feedback import Filters
from backend.services.agent.store.tables import Conversation, Feedback, Message

Thumb = Literal["up", "down"]

__all__ = ["Filters", "Opinion", "Opinions", "Thumb"]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one person thinks of one answer."""

    id: str
    session_id: str
    message_id: str
    user_id: str
    thumb: Thumb
    text: str
    model: str | None
    created_at: datetime
    updated_at: datetime


class Opinions:
    """One opinion of each person on each answer, changed as often as they like."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    def give(
        self,
        caller: Caller,
        conversation_id: str,
        thumb: Thumb,
        text: str,
        message_id: str | None = None,
    ) -> tuple[Opinion, bool]:
        """Keep the caller's opinion on an answer, the last one for None; whether it is new."""
        now = self._now()
        with self._database.write(caller.tenant_id) as session:
            message = _answer(session, own(session, caller, conversation_id), message_id)
            take_turns(session, f"feedback {message.id} {caller.user_id}")
            kept = store.find(session, message.id, caller.user_id)
            is_new = kept is None
            if kept is None:
                kept = Feedback(
                    id=f"fb_{uuid4().hex}",
                    tenant_id=caller.tenant_id,
                    user_id=caller.user_id,
                    conversation_id=conversation_id,
                    message_id=message.id,
                    created_at=now,
                )
                session.add(kept)
            kept.thumb, kept.text, kept.model, kept.updated_at = thumb, text, message.model, now
            session.flush()
            return _opinion(kept), is_new

    def withdraw(self, caller: Caller, conversation_id: str, message_id: str) -> None:
        """Delete the caller's opinion on an answer."""
        with self._database.write(caller.tenant_id) as session:
            own(session, caller, conversation_id)
            kept = store.find(session, message_id, caller.user_id)
            if kept is None or kept.conversation_id != conversation_id:
                raise FeedbackNotFound
            session.delete(kept)

    def in_conversation(
        self, caller: Caller, conversation_id: str, limit: int, after: tuple[datetime, str] | None
    ) -> list[Opinion]:
        """The caller's opinions on the answers of one conversation, the latest first."""
        wanted = Filters(user_id=caller.user_id, conversation_id=conversation_id)
        with self._database.read(caller.tenant_id) as session:
            own(session, caller, conversation_id)
            found = store.page_of(session, caller.tenant_id, wanted, limit, after)
            return [_opinion(each) for each in found]

    def in_tenant(
        self, tenant_id: str, filters: Filters, limit: int, after: tuple[datetime, str] | None
    ) -> list[Opinion]:
        """All opinions in a tenant, the latest first: for those who administer it."""
        with self._database.read(tenant_id) as session:
            found = store.page_of(session, tenant_id, filters, limit, after)
            return [_opinion(each) for each in found]


def _answer(session: Session, conversation: Conversation, message_id: str | None) -> Message:
    if message_id is None:
        found = {each.id: each for each in messages.of(session, conversation.id)}
        shown = [found[each] for each in branch(list(found.values()), conversation.leaf_id)]
        last = next((each for each in reversed(shown) if each.role == "assistant"), None)
        if last is None:
            raise MessageNotFound
        return last
    message = messages.find(session, conversation.id, message_id)
    if message is None:
        raise MessageNotFound
    if message.role != "assistant":
        raise NotAnAnswer
    return message


def _opinion(kept: Feedback) -> Opinion:
    thumb: Thumb = "up" if kept.thumb == "up" else "down"
    return Opinion(
        id=kept.id,
        session_id=kept.conversation_id,
        message_id=kept.message_id,
        user_id=kept.user_id,
        thumb=thumb,
        text=kept.text,
        model=kept.model,
        created_at=kept.created_at,
        updated_at=kept.updated_at,
    )
