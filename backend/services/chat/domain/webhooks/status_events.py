"""States of outbound messages: they only move forward, and wait if they arrive too early."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from backend.services.chat.domain.channels.events import ChannelEvent
from backend.services.chat.domain.channels.fields import get_object
from backend.services.chat.domain.sending.states import apply_status as apply_status_to_delivery
from backend.services.chat.domain.sending.states import move_delivery
from backend.services.chat.domain.webhooks.scope import EventScope, parse_time
from backend.services.chat.model import STATE_ORDER, moves_forward
from backend.services.chat.store import external_messages
from backend.services.chat.store.delivery_claims import list_parts
from backend.services.chat.store.tables import Conversation, Message

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
    state, error = event.get_text("status"), _get_error(event)
    if apply_status_to_delivery(
        scope.session,
        scope.log,
        scope.account.id,
        state,
        scope.now,
        ref=event.get_text("delivery_ref") or None,
        external_id=target,
        error=error,
    ):
        return
    found = external_messages.find_external_message(scope.session, scope.account.id, target)
    if found is None:
        single = ChannelEvent("status", {**event.fields, "target": target, "targets": None})
        scope.keep_early(single, target)
        return
    conversation, message = found
    _set_message_state(scope, conversation, message, state, error)


def _set_message_state(
    scope: EventScope,
    conversation: Conversation,
    message: Message,
    state: str,
    error: Mapping[str, Any] | None,
) -> None:
    """Move the state of an outbound message forward."""
    if message.direction != "outbound":
        return
    scope.log.set_state(
        scope.session, conversation, message, state, error if state == "failed" else None
    )


def _apply_until(scope: EventScope, event: ChannelEvent, watermark: datetime) -> None:
    contact = scope.find_known_contact(event.get_text("recipient"))
    if contact is None:
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
        for part in list_parts(scope.session, message.id):
            move_delivery(scope.session, scope.log, part, state, scope.now)
        _set_message_state(scope, conversation, message, state, None)


def _get_error(event: ChannelEvent) -> dict[str, Any] | None:
    error = get_object(event.fields, "error")
    found = {name: error[name] for name in _ERROR_MEMBERS if name in error}
    return found or None
