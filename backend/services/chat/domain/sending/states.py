"""States of deliveries and of their messages. They only move forward, except for a new try."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from backend.chassis.database.sessions import Session
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.model import STATE_ORDER, moves_forward
from backend.services.chat.store import delivery_claims as store
from backend.services.chat.store.messages import find_by_external_ids, get_message
from backend.services.chat.store.tables import Delivery


def summarize_states(states: Sequence[str]) -> str:
    """Return the state of a message whose parts have *states*."""
    active = [state for state in states if state != "cancelled"]
    if not active:
        return "cancelled"
    for state in ("failed", "unknown"):
        if state in active:
            return state
    waiting = {"queued", "sending"}.intersection(active)
    if waiting:
        return "queued" if set(active) == {"queued"} else "sending"
    return min(active, key=STATE_ORDER.__getitem__)


def update_message(session: Session, log: MessageLog, delivery: Delivery) -> None:
    """Move the state of the delivery's message to that of its parts."""
    if delivery.kind != "message" or delivery.message_id is None:
        return
    message = get_message(session, delivery.message_id)
    if message is None:
        return
    conversation = store.get_conversation(session, message.conversation_id)
    if conversation is None:
        return
    parts = store.list_parts(session, message.id)
    state = summarize_states([part.state for part in parts])
    error = next((part.error for part in parts if part.state == state and part.error), None)
    external_id = delivery.external_id
    if message.external_id is None and external_id and delivery.part == 0:
        # An echo that came without our reference can have been stored as a message of its own.
        if not find_by_external_ids(session, [(conversation.id, external_id)]):
            message.external_id = external_id
        message.delivery_ref = delivery.ref
    log.set_state(session, conversation, message, state, error)


def move_delivery(
    session: Session,
    log: MessageLog,
    delivery: Delivery,
    state: str,
    now: datetime,
    *,
    external_id: str | None = None,
    error: Mapping[str, Any] | None = None,
) -> bool:
    """Move a delivery to *state*, and its message with it. Returns False if it is further already.

    A failure keeps the first error that names a reason.
    """
    if external_id and delivery.external_id is None:
        delivery.external_id = external_id
    if not moves_forward(delivery.state, state):
        if delivery.state == state == "failed" and not delivery.error and error:
            delivery.error = dict(error)
        update_message(session, log, delivery)
        return False
    delivery.state, delivery.updated_at = state, now
    delivery.next_attempt_at = delivery.lease_holder = delivery.lease_until = None
    delivery.error = dict(error) if error else None
    update_message(session, log, delivery)
    return True


def apply_status(
    session: Session,
    log: MessageLog,
    account_id: str,
    status: str,
    now: datetime,
    *,
    ref: str | None = None,
    external_id: str | None = None,
    error: Mapping[str, Any] | None = None,
) -> bool:
    """Apply a status or an echo of the provider. Returns False if it is for no delivery of ours.

    It also settles an unknown outcome. A delivery that is being sent is settled as well: the end of
    the attempt then changes nothing, because the state only moves forward.

    Args:
        ref: our reference, which the provider returns.
        external_id: the provider's id of the message.
    """
    delivery = store.find_by_reference(session, account_id, ref, external_id)
    if delivery is None:
        return False
    move_delivery(session, log, delivery, status, now, external_id=external_id, error=error)
    return True


def cancel_later_parts(
    session: Session, log: MessageLog, delivery: Delivery, now: datetime
) -> None:
    """Cancel the parts after one that has failed: they make no sense without it."""
    if delivery.kind != "message" or delivery.message_id is None:
        return
    for part in store.list_parts(session, delivery.message_id):
        if part.part > delivery.part and part.state == "queued":
            error = {"code": "earlier_part_failed"}
            move_delivery(session, log, part, "cancelled", now, error=error)
