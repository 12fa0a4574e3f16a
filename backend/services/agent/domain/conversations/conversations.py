"""List, search, update and delete conversations. Only the owner has access."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session
from backend.services.agent.domain.conversations.approvals import Approval
from backend.services.agent.domain.conversations.branches import (
    find_latest_leaf,
    get_branch,
    group_children,
)
from backend.services.agent.errors import ConversationNotFound, MessageNotFound, RunNotFound
from backend.services.agent.model import Caller, ToolCall
from backend.services.agent.store import conversations as store
from backend.services.agent.store import messages
from backend.services.agent.store.events import EventStore
from backend.services.agent.store.tables import Conversation, Message

CANCELLED: Final = "cancelled"
INTERRUPTED: Final = "interrupted"
WRITING: Final = "writing"


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A conversation without its messages; `state` is idle, answering or waiting."""

    id: str
    title: str
    created_at: datetime
    updated_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class MessageUsage:
    """Tokens of one answer."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class SavedMessage:
    """A stored message; `alternatives` are the ids of all children of its parent."""

    id: str
    parent_id: str | None
    alternatives: Sequence[str]
    role: str
    content: str
    status: str
    finish_reason: str | None
    model: str | None
    citations: Sequence[Mapping[str, Any]]
    steps: Sequence[Mapping[str, Any]]
    usage: MessageUsage
    took_ms: int
    run_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ConversationWithMessages:
    """A conversation with the messages of its active branch and the calls waiting for approval."""

    summary: ConversationSummary
    messages: Sequence[SavedMessage]
    waiting: Sequence[ToolCall]
    approval: Approval | None


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run with its message and the calls waiting for approval."""

    id: str
    conversation_id: str
    message: SavedMessage
    waiting: Sequence[ToolCall]


class ConversationService:
    """Conversations of the caller. Those of other users raise ConversationNotFound."""

    def __init__(
        self, database: Database, event_store: EventStore, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._event_store = event_store
        self._now = now

    def list_conversations(
        self,
        caller: Caller,
        limit: int,
        after: tuple[datetime, str] | None,
        search_text: str | None = None,
    ) -> list[ConversationSummary]:
        """Return the caller's conversations, most recently updated first.

        Args:
            after: (updated_at, id) of the last conversation of the previous page, or None.
            search_text: return only conversations with this text in the title or a message.
        """
        with self._database.read(caller.tenant_id) as session:
            rows = store.list_conversations(
                session, caller.tenant_id, caller.user_id, limit, after, search_text
            )
            return [self._to_summary(row) for row in rows]

    def get_conversation(self, caller: Caller, conversation_id: str) -> ConversationWithMessages:
        """Return a conversation with the messages of its active branch."""
        with self._database.read(caller.tenant_id) as session:
            return self._to_conversation_with_messages(
                session, get_own_conversation(session, caller, conversation_id)
            )

    def get_run(self, caller: Caller, conversation_id: str, run_id: str | None) -> SavedRun:
        """Return the run *run_id* of a conversation; None for the current or else the latest run.

        Raises:
            RunNotFound: the conversation has no such run.
        """
        with self._database.read(caller.tenant_id) as session:
            conversation = get_own_conversation(session, caller, conversation_id)
            message = messages.find_run_message(
                session, conversation_id, run_id or conversation.run_id
            )
            if message is None or message.run_id is None:
                raise RunNotFound
            waiting = message.status == "waiting" and conversation.paused
            return SavedRun(
                message.run_id,
                conversation_id,
                _to_saved_message(
                    message, (), is_active=message.run_id == self._get_active_run_id(conversation)
                ),
                [ToolCall(**call) for call in waiting["calls"]] if waiting else (),
            )

    def update_conversation(
        self, caller: Caller, conversation_id: str, title: str | None, active_message_id: str | None
    ) -> ConversationWithMessages:
        """Change the title, or activate the newest branch through *active_message_id*."""
        with self._database.write(caller.tenant_id) as session:
            conversation = get_own_conversation(session, caller, conversation_id, for_update=True)
            if title is not None:
                conversation.title = title
            if active_message_id is not None:
                nodes = messages.list_messages(session, conversation_id)
                if active_message_id not in {node.id for node in nodes}:
                    raise MessageNotFound
                conversation.leaf_id = find_latest_leaf(nodes, active_message_id)
            session.flush()
            return self._to_conversation_with_messages(session, conversation)

    def delete_conversation(self, caller: Caller, conversation_id: str) -> None:
        """Delete the conversation. A run in progress is stopped."""
        with self._database.write(caller.tenant_id) as session:
            store.delete_conversation(
                session, get_own_conversation(session, caller, conversation_id).id
            )
        self._event_store.delete_events(conversation_id)

    def cancel_run(self, caller: Caller, conversation_id: str) -> None:
        """Request cancellation of the current run, if any, and discard a paused one."""
        with self._database.write(caller.tenant_id) as session:
            conversation = get_own_conversation(session, caller, conversation_id, for_update=True)
            conversation.cancel_asked = conversation.run_id is not None
            discard_paused_run(session, conversation)

    def _to_conversation_with_messages(
        self, session: Session, conversation: Conversation
    ) -> ConversationWithMessages:
        rows = messages.list_messages(session, conversation.id)
        rows_by_id, children = {row.id: row for row in rows}, group_children(rows)
        summary = self._to_summary(conversation)
        branch = [rows_by_id[row_id] for row_id in get_branch(rows, conversation.leaf_id)]
        paused = conversation.paused or {}
        return ConversationWithMessages(
            summary,
            [
                _to_saved_message(
                    row, children[row.parent_id], is_active=summary.state == "answering"
                )
                for row in branch
            ],
            [ToolCall(**call) for call in paused.get("calls", ())],
            Approval.from_json(paused["approval"]) if paused else None,
        )

    def _to_summary(self, conversation: Conversation) -> ConversationSummary:
        is_active = self._get_active_run_id(conversation) is not None
        state = "answering" if is_active else "waiting" if conversation.paused else "idle"
        return ConversationSummary(
            conversation.id,
            conversation.title,
            conversation.created_at,
            conversation.updated_at,
            state,
        )

    def _get_active_run_id(self, conversation: Conversation) -> str | None:
        """Return the id of the run that holds the lease; None if the lease has expired."""
        until = conversation.run_until
        return None if until is None or until <= self._now() else conversation.run_id


def get_own_conversation(
    session: Session, caller: Caller, conversation_id: str, *, for_update: bool = False
) -> Conversation:
    """Return the caller's conversation, locked with *for_update*, or raise ConversationNotFound."""
    conversation = store.find_conversation(
        session, caller.tenant_id, caller.user_id, conversation_id, for_update=for_update
    )
    if conversation is None:
        raise ConversationNotFound
    return conversation


def discard_paused_run(session: Session, conversation: Conversation) -> None:
    """Discard the calls that wait for approval. The text written before them is kept."""
    if conversation.paused is None:
        return
    message = messages.find_message(session, conversation.id, conversation.paused["message_id"])
    if message is not None:
        message.status = message.finish_reason = CANCELLED
    conversation.paused = None


def _to_saved_message(
    message: Message, siblings: Sequence[str], *, is_active: bool
) -> SavedMessage:
    # A killed worker cannot change the status; it stays "writing" until the next run starts.
    status = INTERRUPTED if message.status == WRITING and not is_active else message.status
    return SavedMessage(
        id=message.id,
        parent_id=message.parent_id,
        alternatives=siblings,
        role=message.role,
        content=message.text,
        status=status,
        finish_reason=message.finish_reason,
        model=message.model,
        citations=message.citations,
        steps=message.steps,
        usage=MessageUsage(message.prompt_tokens, message.completion_tokens),
        took_ms=message.took_ms,
        run_id=message.run_id,
        created_at=message.created_at,
    )
