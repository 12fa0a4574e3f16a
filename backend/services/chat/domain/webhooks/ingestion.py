"""Stores the events of webhooks in one transaction, each of them once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from backend.chassis.database.sessions import Session, acquire_transaction_locks
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
from backend.services.chat.domain.webhooks.message_events import (
    ReceivedMessage,
    apply_echo,
    apply_messages,
    is_of_contact,
)
from backend.services.chat.domain.webhooks.scope import EventScope, get_chat_key
from backend.services.chat.domain.webhooks.status_events import apply_status
from backend.services.chat.store import inbound
from backend.services.chat.store.inbound import NewInbound, RawWebhook
from backend.services.chat.store.tables import Account, EarlyStatus

_MAX_ID: Final = 255
_IDS: Final = ("external_id", "target", "conversation_key", "old_id", "new_id", "delivery_ref")
# Nothing of these is stored: a challenge is answered, and typing is over at once.
_TRANSIENT: Final = frozenset({"ignored", "challenge", "typing"})


@dataclass(frozen=True, slots=True)
class ReceivedEvents:
    """The events of one webhook that are stored, and what is stored with them.

    Attributes:
        account: belongs to no session.
        keys: the deduplication key of each event.
        raw: the sealed webhook; it is kept with the first new event.
        context: the context of the request, in which changes are recorded.
    """

    account: Account
    events: Sequence[ChannelEvent]
    keys: Sequence[str]
    raw: RawWebhook | None
    context: Context


def prepare_events(
    account: Account,
    events: Sequence[ChannelEvent],
    *,
    raw: RawWebhook | None = None,
    request_key: str = "",
) -> ReceivedEvents:
    """Return those of *events* that are stored, for `store_events`.

    Args:
        request_key: distinguishes requests whose events have no id, such as input of a caller.

    Raises:
        InvalidPayload: an id is longer than any provider's.
    """
    stored = [event for event in events if event.kind not in _TRANSIENT]
    keys: list[str] = []
    for event in stored:
        _check_ids(event)
        is_input = bool(request_key) and "external_id" not in event.fields
        keys.append(f"{event.kind}:{request_key}" if is_input else build_dedup_key(event))
    return ReceivedEvents(account, stored, keys, raw, copy_context())


def store_events(
    session: Session, webhooks: Sequence[ReceivedEvents], log: MessageLog, now: datetime
) -> None:
    """Apply the events of *webhooks* in their order, each of them once.

    Consecutive messages of contacts are stored together.
    """
    _lock_conversations(session, webhooks)
    messages: list[ReceivedMessage] = []
    for webhook, event in _add_new_events(session, webhooks, now):
        arrival = ReceivedMessage(
            EventScope(session, webhook.account, log, now), event, webhook.context
        )
        is_message = is_of_contact(event)
        # A reply needs the message before it.
        if messages and (not is_message or event.get_text("reply_to")):
            _store_messages(session, messages)
            _forget_rows(session)
            messages = []
        if is_message:
            messages.append(arrival)
        else:
            webhook.context.run(apply_event, arrival.scope, event)
            _forget_rows(session)
    if messages:
        _store_messages(session, messages)


def _forget_rows(session: Session) -> None:
    """Let the next events read rows again: statements may have changed them."""
    session.flush()
    session.expire_all()


def _add_new_events(
    session: Session, webhooks: Sequence[ReceivedEvents], now: datetime
) -> list[tuple[ReceivedEvents, ChannelEvent]]:
    """Add the keys of all events. Returns the events that are not stored already."""
    received = [(webhook, index) for webhook in webhooks for index in range(len(webhook.events))]
    rows = [
        NewInbound(
            webhook.account,
            webhook.keys[index],
            webhook.events[index].kind,
            webhook.raw if index == 0 else None,
        )
        for webhook, index in received
    ]
    ids = inbound.add_inbound(session, rows, now)
    new: list[tuple[ReceivedEvents, ChannelEvent]] = []
    has_body: set[int] = set()
    for (webhook, index), inbound_id in zip(received, ids, strict=True):
        if inbound_id is None:
            continue
        if index > 0 and webhook.raw is not None and id(webhook) not in has_body:
            inbound.keep_body(session, inbound_id, webhook.raw)
        has_body.add(id(webhook))
        new.append((webhook, webhook.events[index]))
    return new


def _store_messages(session: Session, arrivals: Sequence[ReceivedMessage]) -> None:
    """Store messages of contacts, then apply the events that waited for them."""
    messages = apply_messages(arrivals)
    targets = {
        (arrival.scope.account.id, message.external_id): None
        for arrival, message in zip(arrivals, messages, strict=True)
        if message is not None and message.external_id
    }
    early = inbound.list_early_events(session, targets)
    for arrival, message in zip(arrivals, messages, strict=True):
        if message is None or not message.external_id:
            continue
        rows = early.get((arrival.scope.account.id, message.external_id))
        if rows:
            arrival.context.run(_apply_early_events, arrival.scope, arrival.event, rows)


def apply_event(scope: EventScope, event: ChannelEvent) -> None:
    """Apply one event that is no message of a contact."""
    if event.kind == "message":
        message = apply_echo(scope, event)
        if message is not None and message.external_id:
            target = (scope.account.id, message.external_id)
            rows = inbound.list_early_events(scope.session, [target]).get(target, ())
            _apply_early_events(scope, event, rows)
        return
    handler = _HANDLERS.get(event.kind)
    if handler is not None:
        handler(scope, event)


def _apply_early_events(
    scope: EventScope, event: ChannelEvent, waiting: Iterable[EarlyStatus]
) -> None:
    """Apply those of *waiting* that arrived before the message *event*, in their order of time."""
    rows = [row for row in waiting if _is_same_chat(row.event, event)]
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


def _lock_conversations(session: Session, webhooks: Iterable[ReceivedEvents]) -> None:
    """Let only one transaction at a time add contacts and messages of the same conversation.

    Without it, two first messages of a contact would create two contacts on PostgreSQL.
    """
    names: set[str] = set()
    for webhook in webhooks:
        for event in webhook.events:
            sender = get_object(event.fields, "sender")
            keys = (get_chat_key(event), get_id(sender, "id"), *get_object(sender, "ids").values())
            names |= {f"{webhook.account.id}:{key}" for key in keys if key}
    acquire_transaction_locks(session, names)


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
