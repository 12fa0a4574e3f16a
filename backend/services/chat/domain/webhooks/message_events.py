"""Messages of contacts, and messages that colleagues wrote in the provider's own app."""

import copy
from collections.abc import Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from backend.chassis.database.sessions import Session
from backend.services.chat.domain.channels.events import ChannelEvent
from backend.services.chat.domain.channels.fields import (
    get_id,
    get_object,
    get_objects,
    get_text,
)
from backend.services.chat.domain.new_messages import MessageAddition, NewMessage
from backend.services.chat.domain.sending.states import apply_status
from backend.services.chat.domain.typed_answers import is_typed_answer, resolve_typed_answer
from backend.services.chat.domain.webhooks.scope import (
    EventScope,
    account_actor,
    parse_time,
    resolve_contacts,
)
from backend.services.chat.model import contact_actor
from backend.services.chat.store import external_messages
from backend.services.chat.store.base import new_id
from backend.services.chat.store.conversations import get_or_create_conversation, join
from backend.services.chat.store.messages import find_last_outbound
from backend.services.chat.store.tables import Attachment, Contact, Conversation, Message
from backend.services.chat.store.work import announce_work

# The agent answers after this time without another message.
SILENCE: Final = timedelta(seconds=1.5)
HUMAN_MODE_LIFETIME: Final = timedelta(hours=24)
_MAX_TITLE: Final = 200
# What is needed to write into the conversation, or to answer a single message.
_CONVERSATION_DETAILS: Final = (
    "service_url",
    "teams_id",
    "locale",
    "chat_id",
    "topic",
    "business_connection_id",
    "channel",
    "thread",
    "receiver",
)
_MESSAGE_DETAILS: Final = (
    "album",
    "callback_query_id",
    "response_url",
    "call_sid",
    "mentioned",
    "story",
)


@dataclass(eq=False, slots=True)
class ReceivedMessage:
    """A message of a contact that is being stored.

    Attributes:
        context: the context of its request, in which its events are recorded.
        conversation: None for a message that is not stored.
    """

    scope: EventScope
    event: ChannelEvent
    context: Context
    author: str = ""
    conversation: Conversation | None = None
    is_new_conversation: bool = False


def is_of_contact(event: ChannelEvent) -> bool:
    """Return whether *event* is a message that `apply_messages` stores."""
    return event.kind == "message" and event.get_text("direction") != "outbound"


def apply_messages(arrivals: Sequence[ReceivedMessage]) -> list[Message | None]:
    """Store messages of contacts in their order, with few statements for all of them.

    No message replies to one before it.

    Returns:
        For each the message, or None if it is stored already, or is not for us to store.
    """
    session, log = arrivals[0].scope.session, arrivals[0].scope.log
    contacts = resolve_contacts([(arrival.scope, arrival.event) for arrival in arrivals])
    wanted = [
        (arrival, contact)
        for arrival, contact in zip(arrivals, contacts, strict=True)
        if arrival.event.get_text("conversation_key")
        and not (contact is not None and contact.is_blocked)
        and not _is_unwanted(arrival.scope, arrival.event)
    ]
    _open_conversations(session, wanted)
    stored = [arrival for arrival, _ in wanted]
    added = log.add_messages(session, _build_additions(session, stored))
    messages: dict[ReceivedMessage, Message] = {}
    for arrival, (message, is_new) in zip(stored, added, strict=True):
        if is_new:
            messages[arrival] = message
            _complete_message(arrival, message)
    if messages:
        announce_work(session)
    return [messages.get(arrival) for arrival in arrivals]


def _complete_message(arrival: ReceivedMessage, message: Message) -> None:
    scope, conversation = arrival.scope, arrival.conversation
    _add_attachments(scope, arrival.event, message)
    if conversation is not None and (arrival.is_new_conversation or conversation.is_group):
        join(scope.session, conversation, arrival.author, scope.now)


def _build_additions(
    session: Session, arrivals: Sequence[ReceivedMessage]
) -> list[MessageAddition]:
    asking = {
        arrival.conversation.id: None
        for arrival in arrivals
        if arrival.conversation is not None and _can_be_answer(arrival.event)
    }
    asked = find_last_outbound(session, asking) if asking else {}
    additions: list[MessageAddition] = []
    details: dict[str, Mapping[str, Any]] = {}
    for arrival in arrivals:
        scope, event, conversation = arrival.scope, arrival.event, arrival.conversation
        if conversation is None:
            continue
        arrival.context.run(_end_human_mode, scope, conversation)
        new = _build_message(scope, event, conversation, "inbound", arrival.author)
        if _can_be_answer(event):
            question = asked.get(conversation.id)
            new = replace(new, content=resolve_typed_answer(new.content, question, scope.now))
        values = {"last_inbound_at": scope.now, **_plan_answer(scope, event, conversation)}
        known = details.get(conversation.id, conversation.details)
        news = _select(event, _CONVERSATION_DETAILS)
        # Only if the event has news: other processes also write the column.
        if not news.items() <= known.items():
            values["details"] = details[conversation.id] = {**known, **news}
        additions.append(MessageAddition(conversation, new, values, arrival.context))
    return additions


def _can_be_answer(event: ChannelEvent) -> bool:
    content = get_object(event.fields, "content")
    return is_typed_answer(content, is_call="call_sid" in event.context)


def apply_echo(scope: EventScope, event: ChannelEvent) -> Message | None:
    """Apply a message of our account: it confirms a delivery, or a colleague has written it.

    Returns None if it is stored already.
    """
    if not event.get_text("conversation_key"):
        return None
    external_id = event.get_text("external_id")
    if apply_status(
        scope.session,
        scope.log,
        scope.account.id,
        "sent",
        scope.now,
        ref=event.get_text("delivery_ref") or None,
        external_id=external_id or None,
    ):
        return None
    own_app = get_id(scope.account.settings, "app_id")
    if own_app and event.get_text("source") == f"app:{own_app}":
        return None
    if scope.find_message(event, external_id) is not None:
        return None
    conversation = _find_echo_conversation(scope, event)
    until = scope.now + HUMAN_MODE_LIFETIME
    message, is_new = scope.log.add_message(
        scope.session,
        conversation,
        _build_message(scope, event, conversation, "outbound", account_actor(scope.account)),
        answer_due_at=None,
    )
    if not is_new:
        return None
    _add_attachments(scope, event, message)
    scope.log.change_conversation(scope.session, conversation, mode="human", mode_until=until)
    return message


def _is_unwanted(scope: EventScope, event: ChannelEvent) -> bool:
    """Return whether the account stores messages of groups only if they mention it."""
    is_for_others = (
        event.context.get("group") is True and event.context.get("mentioned") is not True
    )
    return is_for_others and scope.account.settings.get("group_messages") == "mentioned"


def _open_conversations(
    session: Session, arrivals: Sequence[tuple[ReceivedMessage, Contact | None]]
) -> None:
    """Find or create the conversations of messages."""
    by_contact: dict[tuple[str, str], None] = {}
    by_key: dict[tuple[str, str], None] = {}
    for arrival, contact in arrivals:
        account_id = arrival.scope.account.id
        if contact is not None and _has_one_conversation(arrival.scope, arrival.event):
            by_contact[(account_id, contact.id)] = None
        else:
            by_key[(account_id, arrival.event.get_text("conversation_key"))] = None
    of_contacts = external_messages.list_conversations_of_contacts(session, by_contact)
    of_keys = external_messages.list_conversations_by_keys(session, by_key)
    for arrival, contact in arrivals:
        scope, event = arrival.scope, arrival.event
        arrival.author = contact_actor(contact.id) if contact else account_actor(scope.account)
        if contact is not None and _has_one_conversation(scope, event):
            known = of_contacts.get((scope.account.id, contact.id))
        else:
            known = of_keys.get((scope.account.id, event.get_text("conversation_key")))
        if known is not None:
            arrival.conversation = known
        else:
            arrival.conversation, arrival.is_new_conversation = arrival.context.run(
                _open_conversation, scope, event, contact
            )


def _has_one_conversation(scope: EventScope, event: ChannelEvent) -> bool:
    """Return whether a contact has one conversation at the account, whatever its key.

    The key is the business-scoped id or the phone number, whichever the webhook has.
    """
    return scope.account.channel == "whatsapp" and event.context.get("group") is not True


def _open_conversation(
    scope: EventScope, event: ChannelEvent, contact: Contact | None
) -> tuple[Conversation, bool]:
    """Return the conversation of *event*, and whether it is new."""
    is_group = event.context.get("group") is True
    if contact is not None and _has_one_conversation(scope, event):
        found = external_messages.find_conversation_of_contact(
            scope.session, scope.account.id, contact.id
        )
        if found is not None:
            return found, False
    conversation, is_new = get_or_create_conversation(
        scope.session,
        {
            "tenant_id": scope.account.tenant_id,
            "account_id": scope.account.id,
            "channel": scope.account.channel,
            "key": event.get_text("conversation_key"),
            "is_group": is_group,
            "contact_id": contact.id if contact and not is_group else None,
            "title": (contact.name if contact else "")[:_MAX_TITLE],
            "details": _select(event, _CONVERSATION_DETAILS),
            "created_at": scope.now,
            "updated_at": scope.now,
        },
    )
    if is_new:
        scope.log.record_creation(scope.session, conversation)
    return conversation, is_new


def _plan_answer(
    scope: EventScope, event: ChannelEvent, conversation: Conversation
) -> dict[str, Any]:
    """Return the time of the agent's answer, if the message needs one.

    In groups the agent answers only if it is mentioned, and never while a person has taken over.
    """
    content = get_object(event.fields, "content")
    is_addressed = event.context.get("group") is not True or event.context.get("mentioned") is True
    is_readable = get_text(content, "type") != "unsupported"
    if conversation.mode != "bot" or not is_addressed or not is_readable:
        return {}
    # A caller has ended the sentence when the provider sends it.
    is_call = event.get_text("via") == "voice"
    return {"answer_due_at": scope.now if is_call else scope.now + SILENCE}


def _end_human_mode(scope: EventScope, conversation: Conversation) -> None:
    """Give the conversation back to the agent once the time of the colleague is over."""
    until = conversation.mode_until
    values: dict[str, Any] = {}
    if conversation.mode == "human" and until is not None and until <= scope.now:
        values |= {"mode": "bot", "mode_until": None, "assignee_id": None}
    if conversation.status == "resolved":
        values["status"] = "open"
    if values:
        scope.log.change_conversation(scope.session, conversation, **values)


def _build_message(
    scope: EventScope,
    event: ChannelEvent,
    conversation: Conversation,
    direction: str,
    author: str,
) -> NewMessage:
    details = _select(event, _MESSAGE_DETAILS)
    details |= {
        name: event.fields[name] for name in ("flags", "referral", "via") if name in event.fields
    }
    return NewMessage(
        direction=direction,
        author=author,
        content=_build_stored_content(event),
        source=event.get_text("source")[:80] or "webhook",
        external_id=event.get_text("external_id") or None,
        delivery_ref=event.get_text("delivery_ref") or None,
        reply_to_id=_find_reply(scope, event, conversation),
        state="sent" if direction == "outbound" else "received",
        sent_at=parse_time(event.get_text("at")),
        details=details,
    )


def _build_stored_content(event: ChannelEvent) -> dict[str, Any]:
    """Return the content with an id for each attachment and without URLs, which carry secrets."""
    content = copy.deepcopy(dict(get_object(event.fields, "content")))
    for attachment in get_objects(content, "attachments"):
        if isinstance(attachment, dict):
            attachment.pop("url", None)
            attachment["id"] = new_id("att")
    return content


def _find_reply(scope: EventScope, event: ChannelEvent, conversation: Conversation) -> str | None:
    replied = event.get_text("reply_to")
    if not replied:
        return None
    found = external_messages.find_external_message(
        scope.session, scope.account.id, replied, conversation.key
    )
    if found is None:
        found = external_messages.find_delivered_message(
            scope.session, scope.account.id, replied, conversation.key
        )
    return None if found is None else found[1].id


def _add_attachments(scope: EventScope, event: ChannelEvent, message: Message) -> None:
    """Add the references to the files of a message, which a job downloads."""
    sources = get_objects(get_object(event.fields, "content"), "attachments")
    if not sources:
        return
    stored = get_objects(message.content, "attachments")
    external_messages.add_attachments(
        scope.session,
        [
            Attachment(
                id=get_id(target, "id"),
                tenant_id=message.tenant_id,
                conversation_id=message.conversation_id,
                message_id=message.id,
                position=position,
                name=get_text(source, "name")[:255],
                mime=get_text(source, "mime")[:100],
                size_bytes=_get_size(source),
                media_id=get_id(source, "media_id")[:500] or None,
                url=get_text(source, "url") or None,
                state="pending",
                next_attempt_at=scope.now,
                created_at=scope.now,
            )
            for position, (source, target) in enumerate(zip(sources, stored, strict=True))
        ],
    )


def _get_size(source: Mapping[str, Any]) -> int | None:
    size = source.get("size")
    return size if isinstance(size, int) else None


def _select(event: ChannelEvent, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: event.context.get(name) for name in names}
    return {name: value for name, value in found.items() if value}


def _find_echo_conversation(scope: EventScope, event: ChannelEvent) -> Conversation:
    """Return the conversation to which a colleague wrote; the receiver becomes its contact."""
    key = event.get_text("conversation_key")
    kind, _, identifier = key.partition(":")
    contact = None
    if kind == "user":
        contact = scope.find_known_contact(identifier)
        if contact is None:
            recipient = dict(get_object(event.context, "recipient")) or {"id": identifier}
            contact = scope.resolve_contact(ChannelEvent("message", {"sender": recipient}))
    return _open_conversation(scope, event, contact)[0]
