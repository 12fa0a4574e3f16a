"""Stores the events of a webhook in one transaction, each of them once."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from backend.chassis.database.sessions import Session, acquire_transaction_lock
from backend.services.chat.domain.channels.events import ChannelEvent
from backend.services.chat.domain.channels.fields import InvalidPayload, get_id, get_object
from backend.services.chat.domain.channels.registry import build_dedup_key
from backend.services.chat.domain.message_log import MessageLog
from backend.services.chat.domain.webhooks.account_events import (
    apply_account,
    apply_handover,
    apply_identity,
    apply_participants,
    apply_preference,
    apply_template,
)
from backend.services.chat.domain.webhooks.change_events import apply_change
from backend.services.chat.domain.webhooks.message_events import apply_message
from backend.services.chat.domain.webhooks.scope import EventScope, get_chat_key
from backend.services.chat.domain.webhooks.status_events import apply_status
from backend.services.chat.store import inbound
from backend.services.chat.store.inbound import RawWebhook
from backend.services.chat.store.tables import Account, Message

_MAX_ID: Final = 255
_IDS: Final = ("external_id", "target", "conversation_key", "old_id", "new_id", "delivery_ref")
# Nothing of these is stored: a challenge is answered, and typing is over at once.
_TRANSIENT: Final = frozenset({"ignored", "challenge", "typing"})


def store_events(
    session: Session,
    account: Account,
    events: Sequence[ChannelEvent],
    log: MessageLog,
    now: datetime,
    *,
    raw: RawWebhook | None = None,
    request_key: str = "",
) -> int:
    """Apply *events* in their order. Returns the number of those that were not stored before.

    Args:
        raw: the sealed webhook; it is kept with the first new event.
        request_key: distinguishes requests whose events have no id, such as input of a caller.

    Raises:
        InvalidPayload: an id is longer than any provider's.
    """
    stored = [event for event in events if event.kind not in _TRANSIENT]
    for event in stored:
        _check_ids(event)
    _lock_conversations(session, account, stored)
    scope = EventScope(session, account, log, now)
    count = 0
    for event in stored:
        key = build_dedup_key(event)
        if request_key and "external_id" not in event.fields:
            key = f"{event.kind}:{request_key}"
        if inbound.add_inbound(session, account, key, event.kind, now, raw=raw) is None:
            continue
        raw = None
        count += 1
        apply_event(scope, event)
    return count


def apply_event(scope: EventScope, event: ChannelEvent) -> None:
    """Apply one event. After a message, the events that waited for it are applied."""
    if event.kind == "message":
        message = apply_message(scope, event)
        if message is not None:
            apply_early_events(scope, event, message)
        return
    handler = _HANDLERS.get(event.kind)
    if handler is not None:
        handler(scope, event)


def apply_early_events(scope: EventScope, event: ChannelEvent, message: Message) -> None:
    """Apply the events that arrived before *message*, in the order of their times."""
    if not message.external_id:
        return
    rows = [
        row
        for row in inbound.list_early_events(scope.session, scope.account.id, message.external_id)
        if _is_same_chat(row.event, event)
    ]
    for row in sorted(rows, key=lambda row: (str(row.event.get("at", "")), row.id)):
        apply_event(scope, _restore_event(row.event))
    if rows:
        inbound.delete_early_events(scope.session, [row.id for row in rows])


def _is_same_chat(early: Mapping[str, object], event: ChannelEvent) -> bool:
    restored = _restore_event(early)
    key, chat = event.get_text("conversation_key"), get_chat_key(restored)
    # The ids of a user's messages are unique in the account, but the user's id can change.
    return not chat or chat.startswith("user:") or key == chat or key.startswith(f"{chat}:")


def _restore_event(stored: Mapping[str, object]) -> ChannelEvent:
    fields = {name: value for name, value in stored.items() if name not in {"kind", "context"}}
    return ChannelEvent(
        stored["kind"],  # type: ignore[arg-type] # stored by `EventScope.keep_early`
        fields,  # type: ignore[arg-type]
        get_object(dict(stored), "context"),  # type: ignore[arg-type]
    )


def _check_ids(event: ChannelEvent) -> None:
    sender = get_object(event.fields, "sender")
    identifiers = [event.get_text(name) for name in _IDS] + [get_id(sender, "id")]
    identifiers += [value for value in get_object(sender, "ids").values() if isinstance(value, str)]
    if any(len(identifier) > _MAX_ID for identifier in identifiers):
        raise InvalidPayload(f"An id has more than {_MAX_ID} characters.")


def _lock_conversations(session: Session, account: Account, events: Sequence[ChannelEvent]) -> None:
    """Let only one transaction at a time add contacts and messages of the same conversation.

    Without it, two first messages of a contact would create two contacts on PostgreSQL. The locks
    are taken in one order, so that two webhooks cannot wait for each other.
    """
    names: set[str] = set()
    for event in events:
        sender = get_object(event.fields, "sender")
        keys = (get_chat_key(event), get_id(sender, "id"), *get_object(sender, "ids").values())
        names |= {f"{account.id}:{key}" for key in keys if key}
    for name in sorted(names):
        acquire_transaction_lock(session, name)


_HANDLERS: Final[Mapping[str, Callable[[EventScope, ChannelEvent], None]]] = MappingProxyType(
    {
        "edit": apply_change,
        "delete": apply_change,
        "undelete": apply_change,
        "reaction": apply_change,
        "status": apply_status,
        "identity": apply_identity,
        "preference": apply_preference,
        "optin": apply_preference,
        "participants": apply_participants,
        "handover": apply_handover,
        "template": apply_template,
        "account": apply_account,
    }
)
