"""States of outbound messages: they only move forward, and wait if they arrive too early."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from backend.services.chat.domain.channels.events import ChannelEvent
from backend.services.chat.domain.channels.fields import get_object
from backend.services.chat.domain.webhooks.scope import EventScope, parse_time
from backend.services.chat.model import STATE_ORDER, moves_forward
from backend.services.chat.store import external_messages
from backend.services.chat.store.accounts import find_contact
from backend.services.chat.store.conversations import find_conversation
from backend.services.chat.store.tables import Conversation, Delivery, Message

_MAX_MESSAGES: Final = 200
# A time up to which everything was read or delivered says nothing about these.
_FINAL: Final = frozenset({"failed", "cancelled"})
_ERROR_MEMBERS: Final = ("code", "title")


def apply_status(scope: EventScope, event: ChannelEvent) -> None:
    """Apply the state to its messages: the target, several targets, or all until a time."""
    for target in _get_targets(event):
        _apply_to_target(scope, event, target)
    watermark = parse_time(event.get_text("watermark"))
    if watermark is not None:
        _apply_until(scope, event, watermark)


def _get_targets(event: ChannelEvent) -> list[str]:
    targets = event.fields.get("targets")
    several = (
        [item for item in targets if isinstance(item, str)] if isinstance(targets, list) else []
    )
    target = event.get_text("target")
    return [target, *several] if target else several


def _apply_to_target(scope: EventScope, event: ChannelEvent, target: str) -> None:
    delivery = external_messages.find_delivery(
        scope.session, scope.account.id, target, event.get_text("delivery_ref")
    )
    state, error = event.get_text("status"), _get_error(event)
    if delivery is not None:
        delivery.external_id = delivery.external_id or target
        move_delivery(scope, delivery, state, error)
        return
    found = external_messages.find_external_message(scope.session, scope.account.id, target)
    if found is None:
        single = ChannelEvent("status", {**event.fields, "target": target, "targets": None})
        scope.keep_early(single, target)
        return
    conversation, message = found
    set_message_state(scope, conversation, message, state, error)


def move_delivery(
    scope: EventScope, delivery: Delivery, state: str, error: Mapping[str, Any] | None = None
) -> None:
    """Move the state of a delivery forward, and that of its message if all its parts have it."""
    if moves_forward(delivery.state, state):
        delivery.state, delivery.updated_at = state, scope.now
        delivery.error = None if error is None else dict(error)
        # It is settled: no worker sends or looks it up again.
        delivery.next_attempt_at = delivery.lease_holder = delivery.lease_until = None
    elif delivery.state == state == "failed" and delivery.error is None and error is not None:
        delivery.error = dict(error)
    if delivery.kind != "message" or delivery.message_id is None or not delivery.conversation_id:
        return
    conversation = find_conversation(
        scope.session, scope.account.tenant_id, delivery.conversation_id
    )
    message = external_messages.find_message_by_id(scope.session, delivery.message_id)
    if conversation is None or message is None:
        return
    scope.session.flush()
    states = [part.state for part in external_messages.list_parts(scope.session, message.id)]
    combined = "failed" if "failed" in states else min(states, key=lambda item: STATE_ORDER[item])
    set_message_state(scope, conversation, message, combined, error)


def set_message_state(
    scope: EventScope,
    conversation: Conversation,
    message: Message,
    state: str,
    error: Mapping[str, Any] | None,
) -> None:
    """Move the state of a message forward. The first error of a failed message stays."""
    if message.direction != "outbound":
        return
    if message.state == state == "failed" and message.error is None and error is not None:
        message.error = dict(error)
        return
    scope.log.set_state(
        scope.session, conversation, message, state, error if state == "failed" else None
    )


def _apply_until(scope: EventScope, event: ChannelEvent, watermark: datetime) -> None:
    contact = scope.find_known_contact(event.get_text("recipient"))
    if contact is None or find_contact(scope.session, contact.tenant_id, contact.id) is None:
        return
    conversation = external_messages.find_conversation_of_contact(
        scope.session, scope.account.id, contact.id
    )
    if conversation is None:
        return
    state = event.get_text("status")
    earlier = [name for name in STATE_ORDER if moves_forward(name, state) and name not in _FINAL]
    for message in external_messages.list_sent_until(
        scope.session, conversation.id, watermark, earlier, _MAX_MESSAGES
    ):
        for part in external_messages.list_parts(scope.session, message.id):
            if moves_forward(part.state, state):
                part.state, part.updated_at = state, scope.now
        set_message_state(scope, conversation, message, state, None)


def _get_error(event: ChannelEvent) -> dict[str, Any] | None:
    error = get_object(event.fields, "error")
    found = {name: error[name] for name in _ERROR_MEMBERS if name in error}
    return found or None
