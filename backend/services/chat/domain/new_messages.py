"""Messages that are added to conversations, before they are stored."""

from collections.abc import Hashable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Session
from backend.services.chat.domain.content_text import get_text
from backend.services.chat.domain.delivery_queue import is_delivered
from backend.services.chat.domain.search_words import index_words
from backend.services.chat.model import SYSTEM_ACTOR
from backend.services.chat.store import messages
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Conversation

# What tells whether a message was added before.
MessageKey = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to add.

    Attributes:
        direction: inbound (to the suite) or outbound.
        author: an actor of `model.py`.
        content: the content in its stored form.
        source: where it comes from: api, web, webhook, agent, or an app of the provider.
        state: None for received (inbound), sent (web) or queued (channels).
        sent_at: time at the provider; None for now.
    """

    direction: str
    author: str
    content: Mapping[str, Any]
    source: str = "api"
    is_internal: bool = False
    client_id: str | None = None
    external_id: str | None = None
    delivery_ref: str | None = None
    reply_to_id: str | None = None
    state: str | None = None
    sent_at: datetime | None = None
    citations: Sequence[Mapping[str, Any]] = ()
    steps: Sequence[Mapping[str, Any]] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class MessageAddition:
    """A message to add to a conversation.

    Attributes:
        values: columns of the conversation to set in the same statement.
        context: in which its events are recorded.
    """

    conversation: Conversation
    new: NewMessage
    values: Mapping[str, Any] = field(default_factory=dict)
    context: Context = field(default_factory=copy_context)


@dataclass(frozen=True, slots=True)
class Response:
    """Time since the first message that waits for an answer; None if none waits."""

    milliseconds: int | None = None
    is_first: bool = False


def get_key(addition: MessageAddition) -> MessageKey:
    """Return what the same message has too. A message without ids is never the same."""
    conversation_id, new = addition.conversation.id, addition.new
    if new.client_id is not None:
        return (conversation_id, new.author, new.client_id)
    return (conversation_id, id(addition) if new.external_id is None else new.external_id)


def is_queued(addition: MessageAddition) -> bool:
    """Return whether the message is delivered over the conversation's channel."""
    new = addition.new
    return (
        new.direction == "outbound"
        and not new.is_internal
        and new.state is None
        and is_delivered(addition.conversation)
    )


def measure_response(
    session: Session, conversation: Conversation, new: NewMessage, now: datetime
) -> Response:
    """Return for how long the contact has waited for *new*."""
    if new.direction != "outbound" or new.is_internal or new.author == SYSTEM_ACTOR:
        return Response()
    waiting_since, has_answer = messages.find_waiting_since(session, conversation.id)
    if waiting_since is None:
        return Response()
    milliseconds = max(0, round((now - waiting_since).total_seconds() * 1000))
    return Response(milliseconds, is_first=not has_answer)


def build_message(
    addition: MessageAddition, response: Response, seq: int, change_seq: int, now: datetime
) -> dict[str, Any]:
    """Return the columns of a message with its numbers in the conversation."""
    conversation, new = addition.conversation, addition.new
    return {
        "id": new_id("msg"),
        "tenant_id": conversation.tenant_id,
        "conversation_id": conversation.id,
        "seq": seq,
        "change_seq": change_seq,
        "direction": new.direction,
        "author": new.author,
        "source": new.source,
        "is_internal": new.is_internal,
        "external_id": new.external_id,
        "client_id": new.client_id,
        "delivery_ref": new.delivery_ref,
        "content": dict(new.content),
        "words": index_words(get_text(new.content)),
        "reply_to_id": new.reply_to_id,
        "error": None,
        "edited_at": None,
        "deleted_at": None,
        "state": new.state or _get_initial_state(addition),
        "citations": [dict(citation) for citation in new.citations],
        "steps": [dict(step) for step in new.steps],
        "details": dict(new.details),
        "response_ms": response.milliseconds,
        "is_first_response": response.is_first,
        "sent_at": new.sent_at or now,
        "created_at": now,
    }


def _get_initial_state(addition: MessageAddition) -> str:
    if addition.new.direction == "inbound":
        return "received"
    return "queued" if is_queued(addition) else "sent"
