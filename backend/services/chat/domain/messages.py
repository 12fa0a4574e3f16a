"""Post, edit and delete messages, and react to them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from backend.chassis.database.sessions import Database, Session
from backend.services.chat.domain.access import Caller, find_visible, find_writable
from backend.services.chat.domain.content_text import get_text
from backend.services.chat.domain.delivery_queue import is_delivered, queue_delivery
from backend.services.chat.domain.inbox import claim, expect_answer
from backend.services.chat.domain.media.forwarding import (
    SourceFile,
    attach_files,
    describe_files,
    find_files,
    has_files,
)
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.new_messages import NewMessage
from backend.services.chat.domain.templates import ensure_template_usable
from backend.services.chat.domain.views import MessageView, load_message_view
from backend.services.chat.domain.windows import ensure_window_open
from backend.services.chat.errors import (
    ConversationNotFound,
    InvalidContent,
    MessageNotEditable,
    MessageNotFound,
    ReplyPermissionRequired,
)
from backend.services.chat.model import user_actor
from backend.services.chat.store import accounts, messages
from backend.services.chat.store import conversations as store
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Conversation, Message, Participant
from backend.services.chat.store.work import announce_work

_MAX_TITLE_CHARACTERS: Final = 80
NO_SILENCE: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class WebMessage:
    """A message that a user of the suite sends.

    Attributes:
        user_id: None for the caller; another user's needs `chat:reply`.
        conversation_id: None to start a conversation.
        silence: time to wait for further messages before the agent answers.
    """

    content: Mapping[str, Any]
    user_id: str | None = None
    conversation_id: str | None = None
    client_id: str | None = None
    reply_to_id: str | None = None
    silence: timedelta = NO_SILENCE


@dataclass(frozen=True, slots=True)
class PostedMessage:
    """A stored message. `is_new` is False if the client had sent it before."""

    message: MessageView
    is_new: bool


class MessageService:
    """Messages of the conversations that the caller may see."""

    def __init__(
        self, database: Database, message_log: MessageLog, now: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._message_log = message_log
        self._now = now

    def send_message(self, caller: Caller, new: WebMessage) -> PostedMessage:
        """Store a message of a user, which the agent will answer unless a person has taken over.

        Raises:
            ReplyPermissionRequired: the message is for another user.
            ConversationNotFound: the user has no such conversation.
            MessageNotFound: the conversation has no message `reply_to_id`.
        """
        user_id = new.user_id or caller.user_id
        if user_id != caller.user_id and not caller.can_reply:
            raise ReplyPermissionRequired
        with self._database.write(caller.tenant_id) as session:
            conversation = self._open_conversation(session, caller, user_id, new)
            self._ensure_message(session, conversation, new.reply_to_id)
            now = self._now()
            columns = expect_answer(conversation, now, silence=new.silence)
            if user_id == caller.user_id:
                # The agent may use the rights of this session after the request has ended.
                columns["session_id"] = caller.session_id
            elif conversation.shared_at is None:
                columns["shared_at"] = now
            author = user_actor(user_id)
            message, is_new = self._message_log.add_message(
                session,
                conversation,
                NewMessage(
                    "inbound",
                    author,
                    new.content,
                    source="web" if user_id == caller.user_id else f"api:{caller.user_id}",
                    client_id=new.client_id,
                    reply_to_id=new.reply_to_id,
                ),
                **columns,
            )
            if is_new:
                participant = store.join(session, conversation, author, now)
                if user_id == caller.user_id:
                    mark_read(participant, message)
                announce_work(session)
            return PostedMessage(load_message_view(session, message), is_new)

    def post_message(
        self,
        caller: Caller,
        conversation_id: str,
        content: Mapping[str, Any],
        client_id: str | None,
        reply_to_id: str | None,
        *,
        is_internal: bool,
        silence: timedelta,
    ) -> PostedMessage:
        """Post a message as a person: the owner's own, a colleague's answer, or an internal note.

        Raises:
            ConversationNotFound: the caller does not see the conversation.
            ReplyPermissionRequired: the caller may not answer.
            ConversationTaken: another person has claimed the conversation.
            WindowClosed: the channel accepts only templates now.
            TemplateNotApproved: the provider refuses the template.
            InvalidContent: a file is not stored, or the owner sends files.
        """
        with self._database.read(caller.tenant_id) as session:
            conversation = find_writable(session, caller, conversation_id)
            is_owner = caller.owns(conversation)
        if is_owner and not is_internal:
            if has_files(content):
                raise InvalidContent("#/content/type", "Only colleagues can send files.")
            new = WebMessage(
                content, None, conversation_id, client_id, reply_to_id, silence=silence
            )
            return self.send_message(caller, new)
        if not caller.can_reply:
            raise ReplyPermissionRequired
        with self._database.write(caller.tenant_id) as session:
            locked = store.lock_conversation(session, caller.tenant_id, conversation_id)
            if locked is None:
                raise ConversationNotFound
            self._ensure_message(session, locked, reply_to_id)
            now = self._now()
            columns: dict[str, Any] = {}
            files: Sequence[SourceFile] = ()
            if has_files(content):
                posted = self._find_posted(session, caller, locked, client_id)
                if posted is not None:
                    return posted
                files = find_files(session, caller, locked, content, now)
                content = describe_files(content, files)
            if not is_internal:
                ensure_window_open(locked, content, now)
                ensure_template_usable(session, locked, content)
                columns = claim(locked, caller, now)
                mode = {name: columns.pop(name) for name in ("assignee_id", "mode")}
                self._message_log.change_conversation(session, locked, **mode)
            participant = store.join(session, locked, caller.actor, now)
            message, is_new = self._message_log.add_message(
                session,
                locked,
                NewMessage(
                    "outbound",
                    caller.actor,
                    content,
                    source="inbox",
                    is_internal=is_internal,
                    client_id=client_id,
                    reply_to_id=reply_to_id,
                ),
                **columns,
            )
            if is_new:
                mark_read(participant, message)
                attach_files(session, message, files, now)
            return PostedMessage(load_message_view(session, message), is_new)

    def _find_posted(
        self, session: Session, caller: Caller, conversation: Conversation, client_id: str | None
    ) -> PostedMessage | None:
        """Return the message with this client id. Its uploads are no longer there."""
        if client_id is None:
            return None
        found = messages.find_by_client_id(session, conversation.id, caller.actor, client_id)
        return None if found is None else PostedMessage(load_message_view(session, found), False)

    def edit_message(
        self, caller: Caller, conversation_id: str, message_id: str, content: Mapping[str, Any]
    ) -> MessageView:
        """Replace the content of an own message, also at the channel.

        Raises:
            MessageNotEditable: another actor wrote it.
        """
        with self._database.write(caller.tenant_id) as session:
            conversation, message = self._find_own(session, caller, conversation_id, message_id)
            if self._message_log.edit_message(session, conversation, message, content):
                self._queue_change(
                    session, conversation, message, "edit", {"content": dict(content)}
                )
            return load_message_view(session, message)

    def delete_message(self, caller: Caller, conversation_id: str, message_id: str) -> None:
        """Delete an own message, also at the channel. Managers delete all messages.

        Raises:
            MessageNotEditable: another actor wrote it.
        """
        with self._database.write(caller.tenant_id) as session:
            conversation, message = self._find_own(
                session, caller, conversation_id, message_id, for_deletion=True
            )
            if self._message_log.delete_message(session, conversation, message):
                self._queue_change(session, conversation, message, "delete", {})

    def set_reaction(
        self, caller: Caller, conversation_id: str, message_id: str, emoji: str, *, is_added: bool
    ) -> MessageView:
        """Add or remove the caller's reaction."""
        with self._database.write(caller.tenant_id) as session:
            conversation = find_writable(session, caller, conversation_id)
            message = _find_message(session, caller, conversation, message_id)
            if self._message_log.change_reaction(
                session, conversation, message, caller.actor, emoji, is_added=is_added
            ):
                action = "add" if is_added else "remove"
                payload = {"emoji": emoji, "action": action}
                self._queue_change(session, conversation, message, "reaction", payload)
            return load_message_view(session, message)

    def _open_conversation(
        self, session: Session, caller: Caller, user_id: str, new: WebMessage
    ) -> Conversation:
        if new.conversation_id is not None:
            found = store.lock_conversation(session, caller.tenant_id, new.conversation_id)
            if found is None or found.owner_id != user_id:
                raise ConversationNotFound
            return found
        now = self._now()
        account_id = accounts.ensure_web_account(session, caller.tenant_id, now)
        conversation, is_new = store.get_or_create_conversation(
            session,
            {
                "tenant_id": caller.tenant_id,
                "account_id": account_id,
                "channel": "web",
                "key": _build_key(user_id, new.client_id),
                "owner_id": user_id,
                "title": build_title(new.content),
                "is_group": False,
                "status": "open",
                "mode": "bot",
                "last_seq": 0,
                "change_seq": 0,
                "answered_seq": 0,
                "changed_seq": 0,
                "answer_attempts": 0,
                "details": {},
                "created_at": now,
                "updated_at": now,
            },
        )
        if is_new:
            self._message_log.record_creation(session, conversation)
        return conversation

    def _ensure_message(
        self, session: Session, conversation: Conversation, message_id: str | None
    ) -> None:
        if message_id is not None and not messages.find_message(
            session, conversation.id, message_id
        ):
            raise MessageNotFound

    def _find_own(
        self,
        session: Session,
        caller: Caller,
        conversation_id: str,
        message_id: str,
        *,
        for_deletion: bool = False,
    ) -> tuple[Conversation, Message]:
        conversation = find_visible(session, caller, conversation_id)
        message = _find_message(session, caller, conversation, message_id)
        may_manage = for_deletion and caller.can_manage
        if message.author != caller.actor and not may_manage:
            raise MessageNotEditable
        return conversation, message

    def _queue_change(
        self,
        session: Session,
        conversation: Conversation,
        message: Message,
        kind: str,
        payload: dict[str, Any],
    ) -> None:
        if is_delivered(conversation) and not message.is_internal:
            queue_delivery(session, conversation, message, kind, payload, self._now())


def mark_read(participant: Participant, message: Message) -> None:
    """Move the read position of the author to the new message."""
    participant.read_seq = message.seq
    participant.change_seq = message.change_seq


def _find_message(
    session: Session, caller: Caller, conversation: Conversation, message_id: str
) -> Message:
    message = messages.find_message(session, conversation.id, message_id)
    if message is None or (message.is_internal and not caller.can_read_all):
        raise MessageNotFound
    return message


def _build_key(user_id: str, client_id: str | None) -> str:
    """Return the key of a new web conversation. A repeated first message finds it again."""
    return f"user:{user_id}:{client_id or new_id('key')}"


def build_title(content: Mapping[str, Any]) -> str:
    """Return the title of a conversation that starts with *content*."""
    title = " ".join(get_text(content).split())
    if len(title) <= _MAX_TITLE_CHARACTERS:
        return title
    return f"{title[: _MAX_TITLE_CHARACTERS - 1]}…"
