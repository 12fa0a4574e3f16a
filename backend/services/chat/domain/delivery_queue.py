"""Queues what is sent to a channel: messages of the agent and of colleagues, and their changes."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from backend.chassis.database.sessions import Session
from backend.services.chat.domain.rendering.contents import SignLink
from backend.services.chat.domain.sending.parts import get_transport, plan_deliveries
from backend.services.chat.store import deliveries as store
from backend.services.chat.store.base import new_id
from backend.services.chat.store.tables import Conversation, Delivery, Message
from backend.services.chat.store.work import announce_work

# A delivery that was not sent by then fails.
DELIVERY_LIFETIME: Final = timedelta(hours=24)


def is_delivered(conversation: Conversation) -> bool:
    """Return whether messages of *conversation* are sent to a provider.

    Web chat is read here, and the answers of a call are said in the responses to its webhooks.
    """
    is_call = conversation.channel == "twilio" and conversation.key.startswith("call:")
    return conversation.channel != "web" and not is_call


def queue_delivery(
    session: Session,
    conversation: Conversation,
    message: Message,
    kind: str,
    payload: Mapping[str, Any],
    now: datetime,
    sign_link: SignLink = lambda _attachment_id: None,
) -> list[Delivery]:
    """Queue the parts of a message, or a change of one, after all others of the conversation.

    Returns:
        The deliveries; none if the channel does not support *kind*, or shows nothing of a message.

    Args:
        kind: message, edit, delete or reaction.
        payload: {"content": …}, or {"emoji": …, "action": "add" or "remove"} of a reaction.
        sign_link: makes links to files for channels that show them as links.
    """
    transport = get_transport(conversation.channel, conversation.key, conversation.details)
    planned = plan_deliveries(conversation.channel, transport, kind, payload, sign_link)
    deliveries = [
        Delivery(
            id=new_id("dlv"),
            tenant_id=conversation.tenant_id,
            account_id=conversation.account_id,
            conversation_id=conversation.id,
            message_id=message.id,
            kind=kind,
            part=part,
            state="queued",
            ref=new_id("ref"),
            payload=plan.payload,
            degradations=list(plan.degradations),
            next_attempt_at=now,
            expires_at=now + DELIVERY_LIFETIME,
            created_at=now,
            updated_at=now,
        )
        for part, plan in enumerate(planned)
    ]
    for delivery in deliveries:
        store.add_delivery(session, delivery)
    if deliveries:
        announce_work(session)
    return deliveries
