"""Adds and changes messages: numbers them, indexes their words, records events, signals readers.

Every change of a conversation goes through here, in the transaction of its caller: of a route, of
a webhook or of a job.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from backend.chassis.database.sessions import Session, call_after_commit
from backend.chassis.messaging.event_types import EventData
from backend.chassis.messaging.outbox import EventRecorder
from backend.services.chat import events
from backend.services.chat.domain.changes import ChangeSignals
from backend.services.chat.domain.content_text import get_text
from backend.services.chat.domain.delivery_queue import queue_delivery
from backend.services.chat.domain.hook_queue import HookQueue
from backend.services.chat.domain.milestones import record_milestones
from backend.services.chat.domain.new_messages import (
    MessageAddition,
    MessageKey,
    NewMessage,
    build_message,
    get_key,
    is_queued,
    measure_response,
)
from backend.services.chat.domain.rendering.contents import SignLink
from backend.services.chat.domain.search_words import index_words
from backend.services.chat.model import moves_forward
from backend.services.chat.store import conversations as store
from backend.services.chat.store import messages as store_messages
from backend.services.chat.store import voice_jobs
from backend.services.chat.store.conversations import NewMessages
from backend.services.chat.store.daily_stats import mark_conversations, mark_days
from backend.services.chat.store.ended_sessions import end_sessions
from backend.services.chat.store.tables import Account, Conversation, Message

_EVENTS: Final = EventRecorder("chat")
# Key in `Session.info`: ids of the conversations whose changes are signalled after the commit.
_CHANGED: Final = "changed conversations"


class MessageLog:
    """Changes messages and conversations. Each method runs in the caller's transaction.

    Args:
        signals: receives a signal after each commit.
        now: the clock.
        sign_link: makes links to files for channels that show them as links.
        hook_queue: queues events for hooks of the tenant.
    """

    def __init__(
        self,
        signals: ChangeSignals,
        now: Callable[[], datetime],
        sign_link: SignLink = lambda _attachment_id: None,
        hook_queue: HookQueue | None = None,
    ) -> None:
        self._hook_queue = hook_queue or HookQueue(now)
        self._signals = signals
        self._now = now
        self._sign_link = sign_link

    def add_message(
        self, session: Session, conversation: Conversation, new: NewMessage, **values: Any
    ) -> tuple[Message, bool]:
        """Add a message. Returns it and True, or the message with the same id and False.

        An outbound message of a channel is queued for delivery, unless it has a state already.

        Args:
            values: columns of the conversation to set in the same statement.
        """
        return self.add_messages(session, [MessageAddition(conversation, new, values)])[0]

    def add_messages(
        self, session: Session, additions: Sequence[MessageAddition]
    ) -> list[tuple[Message, bool]]:
        """Add messages in their order, each as `add_message`, with few statements for all."""
        now = self._now()
        known = self._find_existing(session, additions)
        # Of messages with the same id, the first one is added.
        fresh: dict[MessageKey, MessageAddition] = {}
        for addition in additions:
            key = get_key(addition)
            if key not in known:
                fresh.setdefault(key, addition)
        messages = self._build_messages(session, list(fresh.values()), now)
        inserted = store_messages.add_messages(session, messages) if messages else {}
        if len(inserted) < len(messages):
            # Other transactions have added some since. Their numbers are not used again: gaps are
            # allowed, because readers compare numbers only.
            known |= self._find_existing(session, list(fresh.values()))
        for (key, addition), columns in zip(fresh.items(), messages, strict=True):
            message = inserted.get(columns["id"])
            if message is not None:
                known[key] = message
                addition.context.run(self._complete_addition, session, addition, message, now)
        results: list[tuple[Message, bool]] = []
        for addition in additions:
            key = get_key(addition)
            message = known[key]
            results.append((message, fresh.get(key) is addition and message.id in inserted))
        return results

    def _build_messages(
        self, session: Session, additions: Sequence[MessageAddition], now: datetime
    ) -> list[dict[str, Any]]:
        """Number the messages, and return their columns in the same order."""
        responses = [
            measure_response(session, addition.conversation, addition.new, now)
            for addition in additions
        ]
        by_conversation: dict[str, NewMessages] = {}
        for addition in additions:
            conversation_id = addition.conversation.id
            record_milestones(session, addition.conversation, addition.values, now)
            known = by_conversation.get(conversation_id, NewMessages(0, {}))
            by_conversation[conversation_id] = NewMessages(
                known.count + 1, {**known.values, **addition.values}
            )
        last = store.number_messages(session, now, by_conversation) if additions else {}
        remaining = {name: new.count for name, new in by_conversation.items()}
        messages: list[dict[str, Any]] = []
        for addition, response in zip(additions, responses, strict=True):
            conversation_id = addition.conversation.id
            remaining[conversation_id] -= 1
            offset, position = remaining[conversation_id], last[conversation_id]
            seq, change_seq = position.seq - offset, position.change_seq - offset
            messages.append(build_message(addition, response, seq, change_seq, now))
        return messages

    def _complete_addition(
        self, session: Session, addition: MessageAddition, message: Message, now: datetime
    ) -> None:
        """Record the event of a new message, and queue its delivery."""
        conversation = addition.conversation
        self._record(
            session,
            conversation,
            events.MessageCreated(
                conversation_id=conversation.id,
                message_id=message.id,
                change_seq=message.change_seq,
                seq=message.seq,
                direction=message.direction,
                author=message.author,
                content_type=str(addition.new.content.get("type", "")),
                internal=message.is_internal,
            ),
        )
        if is_queued(addition):
            payload = {"content": message.content}
            queue_delivery(session, conversation, message, "message", payload, now, self._sign_link)

    def edit_message(
        self,
        session: Session,
        conversation: Conversation,
        message: Message,
        content: Mapping[str, Any],
        *,
        at: datetime | None = None,
    ) -> bool:
        """Replace the content. Returns False if it is the same, or the message is deleted."""
        if content.get("type") == "audio" == message.content.get("type"):
            content = {**content, **_get_recordings(message.content)}
        if message.deleted_at is not None or message.content == content:
            return False
        now = self._now()
        store_messages.add_revision(session, message, now)
        message.content = dict(content)
        message.words = index_words(get_text(content))
        message.edited_at = at or now
        self._change(session, conversation, message)
        self._record(
            session,
            conversation,
            events.MessageEdited(
                **self._describe(message), content_type=str(content.get("type", ""))
            ),
        )
        return True

    def delete_message(
        self, session: Session, conversation: Conversation, message: Message
    ) -> bool:
        """Delete the content, also of earlier revisions. Returns False if it is deleted."""
        if message.deleted_at is not None:
            return False
        message.content = {"type": "text", "text": ""}
        message.words = ""
        message.citations = []
        message.steps = []
        message.deleted_at = self._now()
        store_messages.delete_revisions(session, message.id)
        voice_jobs.delete_jobs(session, message.id)
        self._change(session, conversation, message)
        self._record(session, conversation, events.MessageDeleted(**self._describe(message)))
        return True

    def restore_message(
        self,
        session: Session,
        conversation: Conversation,
        message: Message,
        content: Mapping[str, Any],
    ) -> bool:
        """Undo a deletion with *content*. Returns False if the message is not deleted."""
        if message.deleted_at is None:
            return False
        message.content = dict(content)
        message.words = index_words(get_text(content))
        message.deleted_at = None
        self._change(session, conversation, message)
        self._record(
            session,
            conversation,
            events.MessageEdited(
                **self._describe(message), content_type=str(content.get("type", ""))
            ),
        )
        return True

    def announce_attachment(
        self, session: Session, conversation: Conversation, message: Message
    ) -> None:
        """Let the readers of a conversation read a message again: one of its files has changed."""
        self._change(session, conversation, message)
        self._signal(session, conversation)

    def set_transcript(
        self,
        session: Session,
        conversation: Conversation,
        message: Message,
        attachment_id: str,
        text: str,
    ) -> None:
        """Set the text of a recording, and add it to the search index.

        The content has the text of each recording, and that of all of them as `transcript`. It is
        in no other column, because encryption at rest covers the content.
        """
        files = [
            {**file, "spoken_text": text} if file.get("id") == attachment_id else file
            for file in message.content.get("attachments") or ()
        ]
        texts = [file["spoken_text"] for file in files if file.get("spoken_text")]
        message.content = {
            **message.content,
            "attachments": files,
            "transcript": "\n".join(texts),
        }
        message.words = index_words(get_text(message.content))
        self.announce_attachment(session, conversation, message)

    def set_state(
        self,
        session: Session,
        conversation: Conversation,
        message: Message,
        state: str,
        error: Mapping[str, Any] | None = None,
    ) -> bool:
        """Move the state forward. Returns False if the message is in this or a later state.

        A failed message keeps the first error that names a reason.
        """
        if not moves_forward(message.state, state):
            if message.state == state == "failed" and error and not message.error:
                message.error = dict(error)
                self._change(session, conversation, message)
            return False
        if "failed" in (message.state, state):
            mark_days(session, message.tenant_id, (message.created_at.date(),))
        message.state = state
        message.error = None if error is None else dict(error)
        self._change(session, conversation, message)
        self._record(
            session,
            conversation,
            events.MessageStateChanged(**self._describe(message), state=state),
        )
        return True

    def requeue_message(self, session: Session, message_id: str | None) -> None:
        """Set the state to queued, because a person lets a failed message be sent again."""
        message = None if message_id is None else store_messages.get_message(session, message_id)
        if message is None or message.state == "queued":
            return
        conversation = store.find_conversation(session, message.tenant_id, message.conversation_id)
        if conversation is None:
            return
        mark_days(session, message.tenant_id, (message.created_at.date(),))
        message.state, message.error = "queued", None
        self._change(session, conversation, message)
        self._record(
            session,
            conversation,
            events.MessageStateChanged(**self._describe(message), state="queued"),
        )

    def change_reaction(
        self,
        session: Session,
        conversation: Conversation,
        message: Message,
        actor: str,
        emoji: str | None,
        *,
        is_added: bool,
    ) -> bool:
        """Add or remove a reaction. Returns False if nothing changed.

        Args:
            emoji: None to remove all reactions of *actor*.
        """
        if message.deleted_at is not None:
            return False
        if is_added and emoji is not None:
            changed = [emoji] * store_messages.add_reaction(
                session, message, actor, emoji, self._now()
            )
        else:
            changed = list(store_messages.remove_reactions(session, message.id, actor, emoji))
        if not changed:
            return False
        self._change(session, conversation, message)
        for changed_emoji in changed:
            self._record(
                session,
                conversation,
                events.ReactionChanged(
                    **self._describe(message),
                    actor=actor,
                    emoji=changed_emoji,
                    action="add" if is_added else "remove",
                ),
            )
        return True

    def move_read_position(
        self, session: Session, conversation: Conversation, actor: str, seq: int
    ) -> int:
        """Move the read position of *actor* forward to *seq*. Returns the position."""
        now = self._now()
        locked = store.lock_conversation(session, conversation.tenant_id, conversation.id)
        participant = store.join(session, conversation, actor, now)
        target = min(seq, locked.last_seq if locked is not None else seq)
        if target <= participant.read_seq:
            return participant.read_seq
        position = store.advance(session, conversation.id, now, new_message=False)
        participant.read_seq = target
        participant.change_seq = position.change_seq
        self._record(
            session,
            conversation,
            events.ReadMoved(
                conversation_id=conversation.id,
                change_seq=position.change_seq,
                actor=actor,
                seq=target,
            ),
        )
        return target

    def change_conversation(
        self, session: Session, conversation: Conversation, **values: Any
    ) -> bool:
        """Set columns such as title, status, mode and assignee. Returns False without a change."""
        changed = {
            name: value for name, value in values.items() if getattr(conversation, name) != value
        }
        if not changed:
            return False
        had_mode = conversation.mode
        now = self._now()
        record_milestones(session, conversation, changed, now)
        columns = dict(changed)
        if "title" in changed:
            columns |= store.seal_title(session, conversation, changed["title"])
        position = store.advance(
            session,
            conversation.id,
            now,
            new_message=False,
            changed_seq=Conversation.change_seq + 1,
            **columns,
        )
        session.refresh(conversation)
        description: dict[str, Any] = {
            "conversation_id": conversation.id,
            "change_seq": position.change_seq,
            "mode": conversation.mode,
            "assignee_id": conversation.assignee_id,
        }
        if conversation.mode != had_mode:
            self._record(session, conversation, events.HandedOver(**description))
        self._record(
            session,
            conversation,
            events.ConversationChanged(**description, status=conversation.status),
        )
        return True

    def record_creation(self, session: Session, conversation: Conversation) -> None:
        """Record the event of a new conversation."""
        self._record(
            session,
            conversation,
            events.ConversationCreated(
                conversation_id=conversation.id,
                channel=conversation.channel,
                account_id=conversation.account_id,
            ),
        )

    def record_account_change(
        self, session: Session, account: Account, *, deleted: bool = False
    ) -> None:
        """Record the event of a new, changed or deleted account."""
        event = events.AccountChanged(
            account_id=account.id, channel=account.channel, state=account.state, deleted=deleted
        )
        # The key of an event has at most 64 characters; ids of web accounts can be longer.
        _EVENTS.record_event(
            session,
            event,
            subject=account.id,
            key=account.id[:64],
            tenant_id=account.tenant_id,
            time=self._now(),
        )
        self._hook_queue.queue_event(session, account.tenant_id, event)

    def delete_conversation(self, session: Session, conversation: Conversation) -> None:
        """Delete the conversation with all its messages."""
        event = events.ConversationChanged(
            conversation_id=conversation.id,
            change_seq=conversation.change_seq + 1,
            status=conversation.status,
            mode=conversation.mode,
            deleted=True,
        )
        self._record(session, conversation, event)
        mark_conversations(session, conversation.tenant_id, [conversation.id])
        end_sessions(session, self._now(), conversation_ids=[conversation.id])
        store.delete_conversation(session, conversation.id)

    def _find_existing(
        self, session: Session, additions: Sequence[MessageAddition]
    ) -> dict[MessageKey, Message]:
        """Return the messages with the ids of *additions*, by their keys."""
        found: dict[MessageKey, Message] = {}
        external: dict[tuple[str, str], MessageKey] = {}
        for addition in additions:
            conversation_id, new = addition.conversation.id, addition.new
            if new.client_id is not None:
                message = store_messages.find_by_client_id(
                    session, conversation_id, new.author, new.client_id
                )
                if message is not None:
                    found[get_key(addition)] = message
                    continue
            if new.external_id is not None:
                external[(conversation_id, new.external_id)] = get_key(addition)
        for pair, message in store_messages.find_by_external_ids(session, external).items():
            found[external[pair]] = message
        return found

    def _change(self, session: Session, conversation: Conversation, message: Message) -> None:
        position = store.advance(session, conversation.id, self._now(), new_message=False)
        message.change_seq = position.change_seq
        session.flush()

    def _describe(self, message: Message) -> dict[str, Any]:
        return {
            "conversation_id": message.conversation_id,
            "message_id": message.id,
            "change_seq": message.change_seq,
        }

    def _record(self, session: Session, conversation: Conversation, event: EventData) -> None:
        _EVENTS.record_event(
            session,
            event,
            subject=getattr(event, "message_id", conversation.id),
            key=conversation.id,
            tenant_id=conversation.tenant_id,
            time=self._now(),
        )
        self._hook_queue.queue_event(session, conversation.tenant_id, event)
        self._signal(session, conversation)

    def _signal(self, session: Session, conversation: Conversation) -> None:
        """Signal the change after the commit, together with others of the transaction."""
        changed: dict[str, None] = session.info.setdefault(_CHANGED, {})
        if not changed:
            call_after_commit(session, lambda: self._signals.publish_changes(list(changed)))
        changed[conversation.id] = None


def _get_recordings(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an edit does not change: it replaces the caption, not the recordings.

    A later transcript refers to the ids of the files.
    """
    return {name: content[name] for name in ("attachments", "transcript") if name in content}
