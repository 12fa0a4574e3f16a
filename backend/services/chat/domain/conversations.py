"""List, read, change and delete conversations."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session
from backend.services.chat.domain.access import Caller, find_visible, find_writable
from backend.services.chat.domain.conversation_views import load_conversation_views
from backend.services.chat.domain.inbox import change_mode
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.views import (
    Change,
    ConversationDetail,
    ConversationView,
    MessageView,
    load_message_views,
    to_participant_view,
)
from backend.services.chat.errors import (
    ConversationNotFound,
    ConversationTaken,
    ReplyPermissionRequired,
)
from backend.services.chat.model import ConversationFilter
from backend.services.chat.store import conversations as store
from backend.services.chat.store import messages
from backend.services.chat.store.tables import Conversation

DETAIL_MESSAGES: Final = 50
_MAX_CHANGES: Final = 200


class Unset:
    """The type of UNSET: a field that is not changed."""


UNSET: Final = Unset()


@dataclass(frozen=True, slots=True)
class ConversationUpdate:
    """Changes of a conversation. UNSET and None leave a field; None releases the assignee.

    Unless `expected_assignee_id` is UNSET, the change fails if another user than this one and the
    caller is assigned; with None, if any other user is.
    """

    title: str | None = None
    status: str | None = None
    mode: str | None = None
    assignee_id: str | Unset | None = UNSET
    expected_assignee_id: str | Unset | None = UNSET


class ConversationService:
    """Conversations that the caller owns or, with `chat:read`, of the tenant."""

    def __init__(
        self, database: Database, message_log: MessageLog, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._message_log = message_log
        self._now = now

    def list_conversations(
        self,
        caller: Caller,
        conditions: ConversationFilter,
        limit: int,
        after: tuple[datetime, str] | None,
    ) -> list[ConversationView]:
        """Return conversations, most recently updated first."""
        if not caller.can_read_all:
            conditions = replace(conditions, owner_id=caller.user_id)
        with self._database.read(caller.tenant_id) as session:
            rows = store.list_conversations(session, caller.tenant_id, conditions, limit, after)
            return load_conversation_views(session, caller, rows)

    def get_conversation(self, caller: Caller, conversation_id: str) -> ConversationDetail:
        """Return a conversation with its last messages."""
        with self._database.read(caller.tenant_id) as session:
            conversation = find_visible(session, caller, conversation_id)
            rows = messages.list_messages(
                session,
                conversation.id,
                DETAIL_MESSAGES,
                with_internal=caller.can_read_all,
            )
            return ConversationDetail(
                self._view(session, caller, conversation),
                load_message_views(session, rows),
                [
                    to_participant_view(row)
                    for row in store.list_participants(session, conversation.id)
                ],
            )

    def list_messages(
        self,
        caller: Caller,
        conversation_id: str,
        limit: int,
        after_seq: int | None,
        before_seq: int | None,
    ) -> list[MessageView]:
        """Return messages in ascending order: after *after_seq*, or before *before_seq*."""
        with self._database.read(caller.tenant_id) as session:
            conversation = find_visible(session, caller, conversation_id)
            rows = messages.list_messages(
                session,
                conversation.id,
                limit,
                after_seq=after_seq,
                before_seq=before_seq,
                with_internal=caller.can_read_all,
            )
            return load_message_views(session, rows)

    def list_changes(self, caller: Caller, conversation_id: str, after: int) -> list[Change]:
        """Return what changed after change *after*, in order, each in its current state."""
        with self._database.read(caller.tenant_id) as session:
            conversation = find_visible(session, caller, conversation_id)
            if conversation.change_seq <= after:
                return []
            rows = messages.list_changed_messages(
                session,
                conversation.id,
                after,
                _MAX_CHANGES,
                with_internal=caller.can_read_all,
            )
            changes = [
                Change(view.change_seq, "message", view)
                for view in load_message_views(session, rows)
            ]
            is_complete = len(rows) < _MAX_CHANGES
            last = changes[-1].number if changes and not is_complete else None
            others = [
                Change(row.change_seq, "read", to_participant_view(row))
                for row in store.list_changed_participants(session, conversation.id, after)
            ]
            if conversation.changed_seq > after:
                view = self._view(session, caller, conversation)
                others.append(Change(conversation.changed_seq, "conversation", view))
            changes += [change for change in others if last is None or change.number <= last]
            return sorted(changes, key=lambda change: change.number)

    def get_change_seq(self, caller: Caller, conversation_id: str) -> int:
        """Return the number of the last change."""
        with self._database.read(caller.tenant_id) as session:
            return find_visible(session, caller, conversation_id).change_seq

    def get_view(self, caller: Caller, conversation_id: str) -> ConversationView:
        """Return a conversation without its messages."""
        with self._database.read(caller.tenant_id) as session:
            return self._view(session, caller, find_visible(session, caller, conversation_id))

    def update_conversation(
        self, caller: Caller, conversation_id: str, update: ConversationUpdate
    ) -> ConversationView:
        """Change title, status, mode and assignee.

        Raises:
            ConversationNotFound: the caller does not see the conversation.
            ReplyPermissionRequired: the caller may not change it: mode and assignee need
                `chat:reply` also in an own conversation.
            ConversationTaken: another person has claimed it.
        """
        with self._database.write(caller.tenant_id) as session:
            find_writable(session, caller, conversation_id)
            conversation = store.lock_conversation(session, caller.tenant_id, conversation_id)
            if conversation is None:
                raise ConversationNotFound
            columns = self._collect_changes(caller, conversation, update)
            self._message_log.change_conversation(session, conversation, **columns)
            return self._view(session, caller, conversation)

    def _collect_changes(
        self, caller: Caller, conversation: Conversation, update: ConversationUpdate
    ) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        if update.title is not None:
            columns["title"] = update.title
        if update.status is not None:
            columns["status"] = update.status
        changes_hands = update.mode is not None or not isinstance(update.assignee_id, Unset)
        if not changes_hands:
            return columns
        if not caller.can_reply:
            raise ReplyPermissionRequired
        is_taken = conversation.assignee_id not in (None, caller.user_id)
        expected = update.expected_assignee_id
        is_unexpected = not isinstance(expected, Unset) and expected != conversation.assignee_id
        if is_taken and (is_unexpected or not caller.can_manage):
            raise ConversationTaken
        if update.mode is not None:
            columns |= change_mode(conversation, update.mode, self._now())
        if not isinstance(update.assignee_id, Unset):
            columns["assignee_id"] = update.assignee_id
            if update.assignee_id is not None:
                columns["shared_at"] = conversation.shared_at or self._now()
        return columns

    def delete_conversation(self, caller: Caller, conversation_id: str) -> None:
        """Delete a conversation with all messages. One of others needs `chat:manage`."""
        with self._database.write(caller.tenant_id) as session:
            conversation = find_visible(session, caller, conversation_id)
            if not (caller.owns(conversation) or caller.can_manage):
                raise ReplyPermissionRequired
            self._message_log.delete_conversation(session, conversation)

    def move_read_position(self, caller: Caller, conversation_id: str, seq: int) -> int:
        """Move the caller's read position forward. Returns the position."""
        with self._database.write(caller.tenant_id) as session:
            conversation = find_visible(session, caller, conversation_id)
            return self._message_log.move_read_position(session, conversation, caller.actor, seq)

    def ensure_visible(self, caller: Caller, conversation_id: str) -> None:
        """Raise ConversationNotFound unless the caller sees the conversation."""
        with self._database.read(caller.tenant_id) as session:
            find_visible(session, caller, conversation_id)

    def _view(
        self, session: Session, caller: Caller, conversation: Conversation
    ) -> ConversationView:
        return load_conversation_views(session, caller, [conversation])[0]
