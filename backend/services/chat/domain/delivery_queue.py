"""Queues what is sent to a channel: messages of the agent and of colleagues, and their changes."""

from datetime import datetime, timedelta
from typing import Any, Final

from backend.chassis.database.sessions import Session
from backend.services.chat.store import deliveries as store
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Conversation, Delivery, Message
from backend.services.chat.store.work import announce_work

# A delivery that was not sent by then fails.
DELIVERY_LIFETIME: Final = timedelta(hours=24)


def is_delivered(conversation: Conversation) -> bool:
    """Return whether messages of *conversation* are sent to a provider. Web chat is read here."""
    return conversation.channel != "web"


def queue_delivery(
    session: Session,
    conversation: Conversation,
    message: Message,
    kind: str,
    payload: dict[str, Any],
    now: datetime,
) -> Delivery:
    """Queue one delivery after all others of the conversation.

    Args:
        kind: message, edit, delete or reaction.
        payload: what is sent, such as {"content": …}.
    """
    delivery = Delivery(
        id=new_id("dlv"),
        tenant_id=conversation.tenant_id,
        account_id=conversation.account_id,
        conversation_id=conversation.id,
        message_id=message.id,
        kind=kind,
        state="queued",
        ref=new_id("ref"),
        payload=payload,
        next_attempt_at=now,
        expires_at=now + DELIVERY_LIFETIME,
        created_at=now,
        updated_at=now,
    )
    store.add_delivery(session, delivery)
    announce_work(session)
    return delivery
