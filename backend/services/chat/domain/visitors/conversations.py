"""The conversation of a visitor: send a message, and find the conversation."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session
from backend.services.chat.domain.answer_limits import ContactLimits, LimitReached
from backend.services.chat.domain.inbox import expect_answer
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.messages import (
    NO_SILENCE,
    PostedMessage,
    build_title,
    mark_read,
)
from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.domain.views import load_message_view
from backend.services.chat.domain.visitors.sessions import IDENTITY_SCHEME, Visitor
from backend.services.chat.errors import ConversationNotFound, TooManyMessages, VisitorBlocked
from backend.services.chat.store import accounts, messages
from backend.services.chat.store import conversations as store
from backend.services.chat.store.external_messages import find_conversation_by_key
from backend.services.chat.store.tables import Contact, Conversation
from backend.services.chat.store.work import announce_work

# Retry-After when the limit of the day is reached.
_DAY_LIMIT_SECONDS: Final = 3600


class VisitorConversations:
    """Conversations of visitors. Each visitor has one, from the first message on."""

    def __init__(
        self, database: Database, message_log: MessageLog, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._message_log = message_log
        self._now = now

    def find_id(self, visitor: Visitor) -> str | None:
        """Return the id of the visitor's conversation, or None before the first message."""
        with self._database.read(visitor.tenant_id) as session:
            conversation = find_conversation_by_key(
                session, visitor.account_id, visitor.conversation_key
            )
            return None if conversation is None else conversation.id

    def get_id(self, visitor: Visitor) -> str:
        """Return the id as `find_id`. Raises ConversationNotFound if there is none."""
        conversation_id = self.find_id(visitor)
        if conversation_id is None:
            raise ConversationNotFound
        return conversation_id

    def send_message(
        self, visitor: Visitor, content: Mapping[str, Any], client_id: str | None
    ) -> tuple[PostedMessage, Visitor]:
        """Store a message, which the agent will answer unless a person has taken over.

        Returns the message, and the visitor with its contact, which the first message creates.

        Raises:
            VisitorBlocked: the team ignores the contact.
            TooManyMessages: the contact has reached a limit of the account.
        """
        with self._database.write(visitor.tenant_id) as session:
            contact = self._open_contact(session, visitor)
            if contact.is_blocked:
                raise VisitorBlocked
            visitor = replace(visitor, contact_id=contact.id)
            conversation = self._open_conversation(session, visitor, content)
            is_repeated = client_id is not None and messages.find_by_client_id(
                session, conversation.id, visitor.actor, client_id
            )
            if not is_repeated:
                self._ensure_within_limits(session, visitor)
            now = self._now()
            message, is_new = self._message_log.add_message(
                session,
                conversation,
                NewMessage("inbound", visitor.actor, content, source="widget", client_id=client_id),
                **expect_answer(conversation, now, silence=NO_SILENCE),
            )
            if is_new:
                mark_read(store.join(session, conversation, visitor.actor, now), message)
                announce_work(session)
            return PostedMessage(load_message_view(session, message), is_new), visitor

    def _open_contact(self, session: Session, visitor: Visitor) -> Contact:
        identity = (IDENTITY_SCHEME, visitor.visitor_id)
        tenant_id, account_id = visitor.tenant_id, visitor.account_id
        created = accounts.get_or_create_contact(
            session, tenant_id, account_id, [identity], "", self._now()
        )
        # Another request may have created the contact at the same time: its identity is kept.
        stored = accounts.find_contact_by_identity(session, tenant_id, account_id, *identity)
        if stored is None or stored.id == created.id:
            return created
        accounts.delete_contact(session, created)
        return stored

    def _open_conversation(
        self, session: Session, visitor: Visitor, content: Mapping[str, Any]
    ) -> Conversation:
        now = self._now()
        conversation, is_new = store.get_or_create_conversation(
            session,
            {
                "tenant_id": visitor.tenant_id,
                "account_id": visitor.account_id,
                "channel": "web",
                "key": visitor.conversation_key,
                "contact_id": visitor.contact_id,
                "title": build_title(content),
                "is_group": False,
                "details": {},
                "created_at": now,
                "updated_at": now,
            },
        )
        if is_new:
            self._message_log.record_creation(session, conversation)
            return conversation
        # The mode must be that of the transaction in which the message is stored.
        locked = store.lock_conversation(session, visitor.tenant_id, conversation.id)
        return locked or conversation

    def _ensure_within_limits(self, session: Session, visitor: Visitor) -> None:
        settings = {} if visitor.account is None else visitor.account.settings
        now = self._now()
        reached = ContactLimits.from_settings(settings).find_message_limit(
            session, visitor.tenant_id, visitor.actor, now, new_messages=1
        )
        if reached is not None:
            raise TooManyMessages(_get_retry_seconds(reached, now))


def _get_retry_seconds(reached: LimitReached, now: datetime) -> int:
    if reached.until is None:
        return _DAY_LIMIT_SECONDS
    return max(1, round((reached.until - now).total_seconds()))
